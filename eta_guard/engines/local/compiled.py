"""Decode steps of fixed shapes, compiled: on a GPU they are replayed as CUDA graphs.

In eager mode launching a forward's kernels takes longer than running them. What is replayed must
have the same shapes and addresses every time: so a row has its full capacity from the start, rows
are kept and handed out again, and a step has one width, or 1 where a single branch is left.
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from eta_guard import counts
from eta_guard.cache_argument import cache_argument
from eta_guard.engines.local.tree import Tree, TreeLayer

ROUND = 512
"""Capacities are multiples of this, so that few different ones are compiled."""

COMPILATIONS = 64
"""Most of them, for all capacities and widths: more than PyTorch allows by itself."""

KEPT = 2
"""Most idle rows of one capacity: each holds as much memory as an answer."""


class SlotLayer(TreeLayer):  # type: ignore[no-untyped-call, unused-ignore]
    """A layer whose new columns go to given places; attention always runs over the whole row."""

    def __init__(self, like: Any, capacity: int, slots: dict[int, Tensor]) -> None:
        """Takes over what an ordinary layer has read, in a row of full capacity.

        Args:
            like: A layer of the same model that has read something.
            capacity: Columns.
            slots: Where the columns of a step of each width go; shared by a row's layers.
        """
        super().__init__(like, capacity)
        self.slots = slots
        for states in (self.keys, self.values):
            states[:, :, self.used :] = 0  # what is hidden counts 0 times, but not if it is NaN
            torch._dynamo.mark_static_address(states)

    def take_over(self, like: Any) -> None:
        """Begins anew with what another layer has read."""
        self.used = like.get_seq_length()
        self.keys[:, :, : self.used] = like.keys[:, :, : self.used]
        self.values[:, :, : self.used] = like.values[:, :, : self.used]

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Writes the new columns to the step's slots; returns the whole row."""
        slots = self.slots[key_states.shape[-2]]
        self.keys.index_copy_(2, slots, key_states)
        self.values.index_copy_(2, slots, value_states)
        return self.keys, self.values


class CompiledDecoding:
    """The compiled step of one model, and the rows that it works on."""

    def __init__(self, model: Any) -> None:
        """Compiles nothing yet; that comes with the first step of each width."""
        self._model, self._cache = model, cache_argument(type(model))
        self._free: dict[int, list[DynamicCache]] = defaultdict(list)
        self._step = torch.compile(
            self._forward, mode="reduce-overhead", fullgraph=True, dynamic=False
        )

    def take(self, read: Any, columns: int) -> DynamicCache:
        """A row with room for ``columns`` that begins with what the cache ``read`` holds."""
        capacity = -(-columns // ROUND) * ROUND
        if self._free[capacity]:
            row = self._free[capacity].pop()
            for layer, like in zip(row.layers, read.layers, strict=True):
                layer.take_over(like)  # type: ignore[union-attr]
            return row
        slots: dict[int, Tensor] = {}
        row = DynamicCache()
        row.layers = [SlotLayer(layer, capacity, slots) for layer in read.layers]
        return row

    def give_back(self, rows: list[DynamicCache]) -> None:
        """Takes rows back for other requests; more than a few are not kept."""
        for row in rows:
            layer: Any = row.layers[0]
            free = self._free[layer.keys.shape[-2]]
            if len(free) < KEPT:
                free.append(row)

    def step(self, row: DynamicCache, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        """Logits [width, vocabulary] after one token each, in float32.

        Args:
            row: Of ``take``, whose slots for this width are set.
            ids: Tokens [1, width].
            mask: What each sees, [1, 1, width, capacity].
            positions: [..., 1, width].
        """
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call, unused-ignore]
        with torch._dynamo.config.patch(recompile_limit=COMPILATIONS):
            logits: Tensor = self._step(row, ids, mask, positions)
        # The next replay writes over what this one returned.
        return logits.float().clone()

    def _forward(self, row: DynamicCache, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        # Past the hooks that count: they belong to no graph.
        out = self._model.forward(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            use_cache=True,
            **{self._cache: row},
        )
        logits: Tensor = out.logits[0]
        return logits


class CompiledTree(Tree):
    """A tree whose steps are compiled; what is not a step (the prefix) is read in eager mode."""

    def __init__(self, decoding: CompiledDecoding, *read: Any) -> None:
        """Takes over a prompt; see ``Tree``."""
        self._decoding = decoding
        self._held: list[DynamicCache] = []
        super().__init__(*read)
        weakref.finalize(self, decoding.give_back, self._held)

    def _take_over(self, cache: Any, total: int = 0) -> DynamicCache:
        columns = max(total, cache.get_seq_length()) + ROUND // 2
        self._held[:] = [self._decoding.take(cache, columns)]
        return self._held[0]

    def _make_room(self, total: int, *, longest: int) -> None:
        if total > self._capacity:
            full = list(self._held)
            self._cache = self._take_over(self._cache, total)
            self._decoding.give_back(full)
        super()._make_room(total, longest=longest)

    def _mask(self, sees: Sequence[Sequence[int]], total: int) -> Tensor:
        return self._shown(sees, self._capacity)

    def _forward(
        self, ids: Sequence[int], depths: Sequence[int], sees: Sequence[Sequence[int]]
    ) -> Tensor:
        self._make_room(self._used + len(ids), longest=0)
        self._set_slots(len(ids))
        logits = super()._forward(ids, depths, sees)
        self._use(len(ids))
        return logits

    def _step(
        self, ids: Sequence[int], depths: Sequence[int], sees: Sequence[Sequence[int]], rows: int
    ) -> Tensor:
        width = 1 if len(ids) == 1 else rows
        idle = width - len(ids)
        self._make_room(self._used + width, longest=self._prompt + max(depths) + 1)
        self._set_slots(width)
        logits = self._decoding.step(
            self._held[0],
            self._row([*ids, *[0] * idle]),
            self._mask([*sees, *[()] * idle], self._capacity),
            self._next_position + self._row([*depths, *[0] * idle]),
        )
        counts.add("vlm_forwards")
        counts.add("vlm_positions", width)
        self._use(len(ids))
        return logits[: len(ids)]

    def _set_slots(self, width: int) -> None:
        slots = self._layers[0].slots
        if width not in slots:
            slots[width] = torch.empty(width, dtype=torch.long, device=self._model.device)
            torch._dynamo.mark_static_address(slots[width])
        slots[width].copy_(torch.arange(self._used, self._used + width))

    def _use(self, columns: int) -> None:
        for layer in self._layers:
            layer.used += columns
