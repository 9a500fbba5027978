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
from eta_guard.cache_argument import cache_argument
from eta_guard.evaluators.reward.token_tree import TokenTree


@dataclass(frozen=True)
class Prefix:
    """Token ids with their keys and values, each [1, heads, len(ids), width]. Never written to."""

    ids: list[int] = field(repr=False)
    layers: list[tuple[Tensor, Tensor]] = field(repr=False)

    def cache(self) -> DynamicCache:
        """A cache that begins as the prefix; when it grows it goes on in memory of its own."""
        cache = DynamicCache()
        for keys, values in self.layers:
            layer: Any = DynamicLayer()  # type: ignore[no-untyped-call]
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values = keys, values
            cache.layers.append(layer)
        return cache


@dataclass(frozen=True)
class Run:
    """One forward over one or more rows."""

    rows: list[list[int]] = field(repr=False)
    tree: TokenTree = field(repr=False)
    """How the rows lie in the cache."""
    states: Tensor = field(repr=False)
    """Last hidden states of the new tokens, [new tokens, width]."""
    cache: DynamicCache = field(repr=False)

    @property
    def last_states(self) -> Tensor:
        """The hidden state at each row's last id, [rows, width]."""
        return self.states[[path[-1] - self.tree.kept for path in self.tree.paths]]

    def states_of(self, row: int) -> Tensor:
        """The hidden states at a row's ids, [ids, width]; of a run without a prefix."""
        return self.states[self.tree.paths[row]]

    def keep(self, row: int, length: int) -> Prefix:
        """A row's first ``length`` ids as a prefix of its own, free of the other rows' memory."""
        layers: list[Any] = self.cache.layers
        path = torch.tensor(self.tree.paths[row][:length], device=self.states.device)
        kept = [(layer.keys[:, :, path], layer.values[:, :, path]) for layer in layers]
        return Prefix(self.rows[row][:length], kept)


class CachedBackbone:
    """Feeds a causal decoder what is new. Safe to share between threads.

    All rows of a run are one row to the model, with nothing padded and no prefix copied for each:
    a mask keeps them apart (as a tree of tokens in speculative decoding).

    Args:
        model: Takes ``input_ids``, ``position_ids``, a four-dimensional ``attention_mask``,
            a cache and ``use_cache``, and returns ``last_hidden_state``; every layer
            of its cache keeps all positions.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model, self._cache = model, cache_argument(type(model))
        parameter = next(model.parameters())
        self._device, self._dtype = parameter.device, parameter.dtype

    @torch.inference_mode()
    def run(self, rows: Sequence[list[int]], prefix: Prefix | None = None) -> Run:
        """One forward over what the rows share neither with ``prefix`` nor with each other."""
        tree = TokenTree.of(rows, prefix.ids if prefix else ())
        cache = prefix.cache() if prefix else DynamicCache()
        counts.add("reward_forwards")
        counts.add("reward_positions", len(tree.ids))
        output: Any = self._model(
            input_ids=torch.tensor([tree.ids], device=self._device),
            position_ids=torch.tensor([tree.positions], device=self._device),
            attention_mask=tree.mask(self._dtype).to(self._device),
            use_cache=True,
            **{self._cache: cache},
        )
        return Run(list(rows), tree, output.last_hidden_state[0], cache)
