"""The session that scores a growing answer at the cost of its new tokens.

Three things are kept: each prompt's start, across requests; the accepted text, within a session;
and the last round's candidates, until one of them is accepted. Nothing kept is ever written to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from eta_guard import counts
from eta_guard.evaluators.bounded_cache import BoundedCache
from eta_guard.evaluators.reward.cached_backbone import CachedBackbone, Prefix, Run
from eta_guard.evaluators.reward.chat_tokens import ChatTokens
from eta_guard.evaluators.reward.response_sessions import AnswerSession

ReadOut = Callable[[Tensor], Tensor]
"""Hidden states [rows, width] → scores [rows]."""


@dataclass(frozen=True)
class PromptStart:
    """What a prompt's answers have in common."""

    prefix: Prefix
    read_out: ReadOut
    after: int
    """How many ids the chat template puts after an answer."""


class PromptStarts:
    """The starts of the prompts met so far. Safe to share between threads.

    Args:
        backbone: Runs the model.
        chat: Tokenises.
        read_out: Makes a prompt's read-out from the ids that its answers share and their hidden
            states [ids, width].
        kept: Most prompts kept; a policy has two.
    """

    def __init__(
        self,
        backbone: CachedBackbone,
        chat: ChatTokens,
        read_out: Callable[[list[int], Tensor], ReadOut],
        *,
        kept: int = 8,
    ) -> None:
        self.backbone = backbone
        self.chat = chat
        self._read_out = read_out
        self._kept: BoundedCache[str, PromptStart] = BoundedCache(kept)

    def find(self, prompt: str) -> PromptStart | None:
        """The prompt's start, if the prompt has been met."""
        return self._kept.get(prompt)

    def compute(self, prompt: str, rows: list[list[int]]) -> tuple[PromptStart, Run]:
        """The start of a prompt that is first met, and in the same forward the run over ``rows``.

        A row shares the prompt's ids as it shares those of any row; all but the last of them if
        the answer's first characters melt into it.
        """
        ids, after = self.chat.prompt_ids(prompt)
        run = self.backbone.run([*rows, ids])
        read_out = self._read_out(ids, run.states_of(len(rows)))
        start = PromptStart(run.keep(len(rows), len(ids)), read_out, after)
        self._kept.put(prompt, start)
        return start, run


class IncrementalSession(AnswerSession):
    """Scores candidates after the longest run of ids they share with what is kept."""

    def __init__(self, starts: PromptStarts, prompt: str) -> None:
        super().__init__(starts.chat, prompt)
        self._starts = starts
        self._start: PromptStart | None = None
        self._prefix: Prefix | None = None
        self._run: Run | None = None
        self._texts: list[str] = []

    def accept(self, text: str) -> None:
        """Appends ``text``; if it was a candidate just scored, its keys and values are kept."""
        super().accept(text)
        if self._start and self._run and self._accepted in self._texts:
            row = self._texts.index(self._accepted)
            # Where the template closes the turn, the answer will go on.
            length = len(self._run.rows[row]) - self._start.after
            self._prefix = self._run.keep(row, length)
        self._run, self._texts = None, []

    def _score_rows(self, rows: dict[str, list[int]]) -> Tensor:
        counts.add("incremental_scores", len(rows))
        ids, self._texts = list(rows.values()), list(rows)
        self._start = self._start or self._starts.find(self._prompt)
        if self._start is None:
            self._start, self._run = self._starts.compute(self._prompt, ids)
        else:
            self._run = self._starts.backbone.run(ids, self._prefix or self._start.prefix)
        return self._start.read_out(self._run.last_states[: len(ids)])

    def _score_window(self, ids: list[int]) -> float:
        # Nothing of it is kept: the next window shares the prompt alone, the next round nothing.
        self._start = self._start or self._starts.find(self._prompt)
        if self._start is None:
            self._start, _ = self._starts.compute(self._prompt, [ids])
        run = self._starts.backbone.run([ids], self._start.prefix)
        return float(self._start.read_out(run.last_states))
