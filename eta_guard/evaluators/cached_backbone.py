"""Runs a causal model over new tokens only, after a prefix whose keys and values are kept.

It knows token ids and hidden states; what a state is worth is the reward model's head's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from eta_guard import counts
from eta_guard.evaluators.chat_tokens import common_prefix


@dataclass(frozen=True)
class Prefix:
    """Token ids with their keys and values, each [1, heads, len(ids), width]. Never written to."""

    ids: list[int] = field(repr=False)
    layers: list[tuple[Tensor, Tensor]] = field(repr=False)

    def expand(self, rows: int, length: int) -> DynamicCache:
        """A cache over the first ``length`` ids for ``rows`` rows: views, copied when it grows."""
        cache = DynamicCache()
        for keys, values in self.layers:
            layer: Any = DynamicLayer()  # type: ignore[no-untyped-call]
            layer.lazy_initialization(keys, values)
            layer.keys = keys[:, :, :length].expand(rows, -1, -1, -1)
            layer.values = values[:, :, :length].expand(rows, -1, -1, -1)
            cache.layers.append(layer)
        return cache


@dataclass(frozen=True)
class Run:
    """One forward over one or more rows that share a prefix."""

    rows: list[list[int]] = field(repr=False)
    start: int
    """How many ids of each row came from the prefix."""
    states: Tensor = field(repr=False)
    """Last hidden states of the new tokens, [rows, longest - start, width]; padded on the right."""
    cache: DynamicCache = field(repr=False)

    @property
    def last_states(self) -> Tensor:
        """The hidden state at each row's last id, [rows, width]."""
        last = [len(ids) - self.start - 1 for ids in self.rows]
        return self.states[torch.arange(len(last)), torch.tensor(last)]

    def keep(self, row: int, length: int) -> Prefix:
        """A row's first ``length`` ids as a prefix of its own, free of the other rows' memory."""
        layers: list[Any] = self.cache.layers
        own = (slice(row, row + 1), slice(None), slice(length))
        kept = [(layer.keys[own].clone(), layer.values[own].clone()) for layer in layers]
        return Prefix(self.rows[row][:length], kept)


class CachedBackbone:
    """Feeds a causal decoder what is new. Safe to share between threads.

    Args:
        model: Takes ``input_ids``, ``attention_mask``, ``past_key_values`` and ``use_cache``, and
            returns ``last_hidden_state``; every layer of its cache keeps all positions.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._device = next(model.parameters()).device

    @torch.inference_mode()
    def run(self, rows: Sequence[list[int]], prefix: Prefix | None = None) -> Run:
        """One forward over what the rows do not share with ``prefix``.

        The prefix is cut back to what it has in common with every row; at least the last id of
        each row is always computed anew, since its hidden state is wanted.
        """
        start = 0
        if prefix is not None:
            shared = (common_prefix(prefix.ids, ids) for ids in rows)
            start = min(min(shared), min(len(ids) for ids in rows) - 1)
        cache = DynamicCache() if prefix is None else prefix.expand(len(rows), start)
        new, mask = pad_right([ids[start:] for ids in rows], 0)
        seen = torch.ones(len(rows), start, dtype=torch.long)
        counts.add("reward_forwards")
        counts.add("reward_positions", new.numel())
        output: Any = self._model(
            input_ids=new.to(self._device),
            attention_mask=torch.cat([seen, mask], dim=1).to(self._device),
            past_key_values=cache,
            use_cache=True,
        )
        return Run(list(rows), start, output.last_hidden_state, cache)


def pad_right(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Ids [rows, longest] and their attention mask; what pads a causal row cannot be seen by it."""
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad_id] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask
