"""Draws answers on a tree: the fast route, for models that attend to all they have read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import LogitsProcessorList, StoppingCriteriaList

from eta_guard import counts
from eta_guard.engines.local.running_model import RunningModel
from eta_guard.engines.local.stopping import RowEnds
from eta_guard.engines.local.tree import Branch, Tree

if TYPE_CHECKING:
    from transformers import LogitsProcessor


class Drawing:
    """Some branches that are drawn together, step by step."""

    def __init__(self, rows: list[Branch], ids: list[int]) -> None:
        """Begins after ``ids``, where each row stands."""
        self.rows, self._start = rows, len(ids)
        self.live = list(range(len(rows)))
        self.chosen: list[int] = []
        self._ids: Any = None
        self._logits = torch.stack([_logits(row) for row in rows])

    def prepare(
        self,
        model: Any,
        input_ids: Tensor,
        logits_processor: LogitsProcessorList,
        stopping_criteria: StoppingCriteriaList,
        **_: Any,
    ) -> Tensor:
        """Takes what ``generate`` has made ready, in the place of its own loop."""
        self._ids = input_ids
        self._processors, self._criteria = logits_processor, stopping_criteria
        return input_ids

    def choose(self) -> None:
        """Draws the next token of every row, of which the live ones are to be read."""
        if self.chosen:  # not read yet: the step that should have done so failed
            return
        for row in self.live:
            self._logits[row] = _logits(self.rows[row])
        tokens = self._processors(self._ids, self._logits).argmax(dim=-1)
        ids = torch.cat([self._ids, tokens[:, None]], dim=1)
        done = self._criteria(ids, None).tolist()
        self._ids = ids
        self.live = [row for row in self.live if not done[row]]
        chosen = tokens.tolist()
        self.chosen = [chosen[row] for row in self.live]

    @property
    def branches(self) -> list[Branch]:
        """Those that go on."""
        return [self.rows[row] for row in self.live]

    @property
    def drawn(self) -> list[list[int]]:
        """The ids drawn in each row, up to the longest row's end."""
        ids: list[list[int]] = self._ids[:, self._start :].tolist()
        return ids


class TreeReader:
    """A prompt that is read once and whole, and the answer that grows after it.

    Every token that is kept is read once; one that was drawn only to see a sentence's end is not
    read at all.
    """

    def __init__(self, running: RunningModel, inputs: dict[str, Tensor]) -> None:
        """Takes the model's inputs, one row; nothing is computed yet."""
        self._running, self._inputs = running, inputs
        self._read: Tree | None = None
        self._answer = Branch()
        self._drawing: Drawing | None = None
        self._aside: Drawing | None = None

    @property
    def _tree(self) -> Tree:
        if self._read is None:
            self._read = self._running.read_prompt(self._inputs)
            counts.add("tree_prompts")
        return self._read

    def restart(self) -> None:
        """Begins the answer anew, after the prompt alone."""
        self._answer, self._drawing = self._tree.prompt.fork(), None
        self._keep()

    def begin_aside(
        self, ids: list[int], *, limit: int, sampler: LogitsProcessor | None, ends: RowEnds
    ) -> None:
        """Begins one answer from the prompt, drawn in the same steps as what ``draw`` draws."""
        self._aside = self._prepared(self._tree.prompt, ids, 1, limit, sampler, ends)

    def finish_aside(self) -> list[list[int]]:
        """The ids of the answer drawn aside, which is drawn to its end."""
        assert self._aside is not None, "begin_aside() comes first"
        aside, self._aside = self._aside, None
        self._run(aside)
        self._keep()
        return aside.drawn

    @property
    def ended_aside(self) -> bool:
        """Whether the answer drawn aside has come to its end."""
        return self._aside is not None and not self._aside.live

    def draw(
        self,
        ids: list[int],
        rows: int,
        *,
        limit: int,
        sampler: LogitsProcessor | None,
        ends: RowEnds,
    ) -> list[list[int]]:
        """Draws continuations of prompt and answer so far, as one batch.

        Args:
            ids: Prompt and answer so far; what of it is unread is read first.
            rows: How many continuations.
            limit: Most tokens of each.
            sampler: Draws them; greedily without it.
            ends: Says where each row ends.

        Returns:
            The ids drawn in each row, up to the longest row's end.
        """
        answer = self._answer
        unread = ids[self._tree.length + len(answer.columns) :]
        if not unread and answer.logits is None:
            unread = [ids[-1]]
            answer.columns.pop()
        with self._running.turn:
            if unread:
                self._tree.read(answer, unread)
                self._running.between_steps()
            self._drawing = self._prepared(answer, ids, rows, limit, sampler, ends)
            self._run(self._drawing, self._aside)
        return self._drawing.drawn

    def keep(self, row: int, tokens: int) -> None:
        """Keeps one row of the last draw, and of that the first ``tokens``."""
        assert self._drawing is not None, "draw() comes first"
        branch, read = self._drawing.rows[row], len(self._answer.columns) + tokens
        if len(branch.columns) > read:  # what comes after them is not known any more
            branch = Branch(branch.columns[:read])
        self._answer, self._drawing = branch, None
        self._keep()

    def _keep(self) -> None:
        drawn = [one for one in (self._drawing, self._aside) if one]
        self._tree.keep([self._answer, *(row for one in drawn for row in one.rows)])

    def _prepared(
        self,
        after: Branch,
        ids: list[int],
        rows: int,
        limit: int,
        sampler: LogitsProcessor | None,
        ends: RowEnds,
    ) -> Drawing:
        drawing = Drawing([after.fork() for _ in range(rows)], ids)
        self._running.prepare(
            drawing.prepare, self._tree.cache, ids, rows, limit=limit, sampler=sampler, ends=ends
        )
        return drawing

    def _run(self, drawing: Drawing, aside: Drawing | None = None) -> None:
        """Draws every row to its end, and as much of the one aside as that takes."""
        together = len(drawing.rows) + (len(aside.rows) if aside else 0)
        with self._running.turn:
            while drawing.live:
                drawing.choose()
                if aside and drawing.live and aside.live:
                    aside.choose()
                if not drawing.live:
                    break
                drawn = [one for one in (drawing, aside) if one and one.live]
                branches = [branch for one in drawn for branch in one.branches]
                tokens = [token for one in drawn for token in one.chosen]
                self._tree.extend(branches, tokens, rows=together)
                for one in drawn:
                    one.chosen = []
                self._running.between_steps()


def _logits(branch: Branch) -> Tensor:
    assert branch.logits is not None
    return branch.logits
