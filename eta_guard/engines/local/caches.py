"""What may be done with a KV cache of ``transformers``, decided by its layers, not by names."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer


@dataclass
class ModelState:
    """What a model has read: its cache, and what some families keep on the model beside it."""

    cache: Cache | None = None
    offsets: list[Any] = field(default_factory=list)
    logits: torch.Tensor | None = field(default=None, repr=False)
    """What may come next, float32 [vocabulary]; None where only a forward can tell."""

    def forked(self, rows: int) -> ModelState:
        """A state of ``rows`` equal rows that can be read on from without changing this one."""
        cache = None if self.cache is None else _fork(self.cache)
        if cache is not None and rows > 1:
            _select(cache, [0] * rows)
        return ModelState(cache, list(self.offsets), self.logits)

    def kept(self, row: int, length: int) -> ModelState | None:
        """One row, and of that the first ``length`` positions; None where that cannot be had."""
        if self.cache is None or not plain_attention(self.cache):
            return None
        _select(self.cache, [row])
        surplus = self.cache.get_seq_length() - length
        if surplus:  # releases differ in what cropping by nothing does
            self.cache.crop(-surplus)
        return ModelState(self.cache, self.offsets)


def held_positions(states: Iterable[ModelState | None]) -> int:
    """Rows x positions that some states hold together; what they share counts once."""
    held: dict[int, int] = {}
    for state in states:
        for layer in state.cache.layers if state and state.cache else []:
            keys = getattr(layer, "keys", None)  # a recurrent layer has none
            if keys is not None:
                held[keys.data_ptr()] = keys.shape[0] * keys.shape[-2]
                break
    return sum(held.values())


def _select(cache: Cache, rows: list[int]) -> None:
    cache.reorder_cache(torch.LongTensor(rows))


def _fork(cache: Cache) -> Cache:
    """A shallow copy where that is enough.

    A plain attention layer replaces its tensors when it grows; other layers (recurrent states,
    sliding windows) write in place and are copied whole.
    """
    forked = copy.copy(cache)
    forked.layers = [
        copy.copy(layer) if type(layer) is DynamicLayer else copy.deepcopy(layer)
        for layer in cache.layers
    ]
    return forked


def plain_attention(cache: Cache) -> bool:
    """Whether every layer of a cache is plain attention over the same positions.

    Only then does cutting it leave exactly what a shorter text would have left. A cross-attention
    layer, for one, holds the image's positions, and cutting would cut into the image.
    """
    plain = [layer for layer in cache.layers if type(layer) is DynamicLayer]
    same = len({layer.get_seq_length() for layer in plain}) == 1
    return same and len(plain) == len(cache.layers)
