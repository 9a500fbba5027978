"""A KV cache that holds a prompt once, and the texts that branch off from it, in a single row.

Every token takes one column of the row. A branch is a list of columns; a 4-D attention mask shows
each branch the prompt and itself and hides the others, and positions are counted along the branch.
So the candidates of a sentence cost their own tokens and not a copy of the prompt each, and what is
dropped is simply written over.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from eta_guard import counts
from eta_guard.cache_argument import cache_argument

SLACK = 8
"""A full row grows by an eighth of the prompt, so that little lies idle and growing is rare."""


@dataclass
class Branch:
    """A text after the prompt, as far as it is read."""

    columns: list[int] = field(default_factory=list)
    """Where in the row its tokens stand; ascending."""
    logits: Tensor | None = field(default=None, repr=False)
    """What may come next, float32 [vocabulary]; None where only a forward can tell."""

    def fork(self) -> Branch:
        """Another branch that begins with the same columns."""
        return Branch(list(self.columns), self.logits)


class TreeLayer(DynamicLayer):  # type: ignore[misc, no-untyped-call, unused-ignore]
    """Keys and values [1, heads, capacity, width] of one layer, written in place."""

    keys: Any
    values: Any

    def __init__(self, read: Any, capacity: int) -> None:
        """Takes over what an ordinary layer has read."""
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
        self.lazy_initialization(read.keys, read.values)
        self.used: int = read.get_seq_length()
        self.keys = _grown(read.keys, self.used, capacity)
        self.values = _grown(read.values, self.used, capacity)

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Writes the new columns after the used ones; returns all that are used."""
        begin, self.used = self.used, self.used + key_states.shape[-2]
        self.keys[:, :, begin : self.used] = key_states
        self.values[:, :, begin : self.used] = value_states
        return self.keys[:, :, : self.used], self.values[:, :, : self.used]

    def get_seq_length(self) -> int:
        """How many columns are used."""
        return self.used

    def grow(self, capacity: int) -> None:
        """Makes room for ``capacity`` columns."""
        self.keys = _grown(self.keys, self.used, capacity)
        self.values = _grown(self.values, self.used, capacity)

    def gather(self, columns: Tensor, begin: int) -> None:
        """Moves columns to ``begin`` and after, and forgets all others from there on."""
        self.used = begin + len(columns)
        columns = columns.to(self.keys.device)  # a model may be spread over several
        for states in (self.keys, self.values):
            states[:, :, begin : self.used] = states[:, :, columns]


class Tree:
    """What a model has read of one request: the prompt, and branches after it."""

    def __init__(self, model: Any, cache: Cache, position: Tensor, logits: Tensor) -> None:
        """Takes over a prompt that was read in the ordinary way.

        Args:
            model: Reads on.
            cache: Of the prompt, one row, every layer plain attention over all of its positions.
            position: Of the prompt's last token, [..., 1, 1]: some families count on several
                axes, or not by the token.
            logits: After the prompt, [vocabulary].
        """
        self._model, self._cache_name = model, cache_argument(type(model))
        self._prompt = cache.get_seq_length()
        self._cache = self._take_over(cache)
        self._next_position = position + 1
        self.prompt = Branch([], logits)
        self._longest = self._prompt

    def _take_over(self, cache: Cache) -> Cache:
        capacity = self._prompt + self._slack
        for index, layer in enumerate(cache.layers):
            cache.layers[index] = TreeLayer(layer, capacity)  # frees each before the next
        return cache

    @property
    def _slack(self) -> int:
        return max(self._prompt // SLACK, 16)

    @property
    def _layers(self) -> list[Any]:
        return self._cache.layers

    @property
    def _capacity(self) -> int:
        return int(self._layers[0].keys.shape[-2])

    @property
    def length(self) -> int:
        """Of the prompt."""
        return self._prompt

    @property
    def cache(self) -> Cache:
        """The row itself."""
        return self._cache

    @property
    def _used(self) -> int:
        return self._cache.get_seq_length()

    def leave_out(self, positions: int) -> None:
        """Counts the branches on as if so many more tokens stood between them and the prompt."""
        self._next_position = self._next_position + positions

    @torch.no_grad()
    def read(self, branch: Branch, ids: Sequence[int]) -> None:
        """Reads ids on one branch, in one forward."""
        depths = range(len(branch.columns), len(branch.columns) + len(ids))
        begin = self._used
        columns = [*branch.columns, *range(begin, begin + len(ids))]
        sees = [columns[: depth + 1] for depth in depths]
        with self._whole_or_not_at_all():
            logits = self._forward(ids, depths, sees)
        # Copied: a view would hold the logits of all ids.
        branch.columns, branch.logits = columns, logits[-1].clone()

    @torch.no_grad()
    def extend(
        self, branches: Sequence[Branch], ids: Sequence[int], *, rows: int | None = None
    ) -> None:
        """Reads one id on each of several branches, in one forward.

        Args:
            branches: To go on.
            ids: One each.
            rows: How many branches there may be at once, for steps whose width is fixed.
        """
        depths = [len(branch.columns) for branch in branches]
        begin = self._used
        sees = [[*branch.columns, column] for column, branch in enumerate(branches, begin)]
        with self._whole_or_not_at_all():
            logits = self._step(ids, depths, sees, rows or len(ids))
        for branch, columns, row in zip(branches, sees, logits, strict=True):
            branch.columns, branch.logits = columns, row

    @contextmanager
    def _whole_or_not_at_all(self) -> Iterator[None]:
        """A forward that fails half-way, for want of memory say, has read nothing."""
        used = self._used
        try:
            yield
        except BaseException:
            for layer in self._layers:
                layer.used = used
            raise

    @torch.no_grad()
    def keep(self, branches: Sequence[Branch]) -> None:
        """Keeps the columns of these branches, and moves them together."""
        columns = sorted({column for branch in branches for column in branch.columns})
        if columns != list(range(self._prompt, self._used)):
            wanted = torch.tensor(columns, dtype=torch.long, device=self._model.device)
            for layer in self._layers:
                layer.gather(wanted, self._prompt)
        places = {column: place for place, column in enumerate(columns, self._prompt)}
        for branch in branches:
            branch.columns = [places[column] for column in branch.columns]

    def _step(
        self, ids: Sequence[int], depths: Sequence[int], sees: Sequence[Sequence[int]], rows: int
    ) -> Tensor:
        return self._forward(ids, depths, sees)

    def _forward(
        self, ids: Sequence[int], depths: Sequence[int], sees: Sequence[Sequence[int]]
    ) -> Tensor:
        """Logits [len(ids), vocabulary] in float32."""
        total = self._used + len(ids)
        self._make_room(total, longest=self._prompt + max(depths) + 1)
        out = self._model(
            input_ids=self._row(ids),
            attention_mask=self._mask(sees, total),
            position_ids=self._next_position + self._row(depths),
            use_cache=True,
            **{self._cache_name: self._cache},
        )
        logits: Tensor = out.logits[0].float()
        return logits

    def _row(self, values: Sequence[int]) -> Tensor:
        return torch.tensor([list(values)], device=self._model.device)

    def _mask(self, sees: Sequence[Sequence[int]], total: int) -> Tensor | None:
        """Which columns each token sees: a term of the attention scores, [1, 1, tokens, total]."""
        if len(sees) == 1 and len(sees[0]) == total - self._prompt:
            return None  # the only text there is
        return self._shown(sees, total)

    def _shown(self, sees: Sequence[Sequence[int]], total: int) -> Tensor:
        hidden = torch.finfo(self._model.dtype).min
        mask = torch.full((len(sees), total), hidden, dtype=self._model.dtype)
        for row, columns in zip(mask, sees, strict=True):
            # Columns ascend: as long as none is left out, their number tells where they stand.
            places = range(len(columns))
            run = bisect_right(places, self._prompt, key=lambda at: columns[at] - at)
            row[: self._prompt + run] = 0
            row[list(columns[run:])] = 0
        return mask[None, None].to(self._model.device)

    def _make_room(self, total: int, *, longest: int) -> None:
        if total > self._capacity:
            for layer in self._layers:
                layer.grow(total + self._slack)
        self._longest = max(self._longest, longest)
        counts.add("peak_cache_rows", self._capacity / self._longest)


def _grown(states: Tensor, used: int, capacity: int) -> Tensor:
    rows, heads, _, width = states.shape
    larger = states.new_empty(rows, heads, capacity, width)
    larger[:, :, :used] = states[:, :, :used]
    return larger
