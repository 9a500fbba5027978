"""Random draws as pure functions, for ``transformers`` generation.

One uniform number belongs to each (seed, sentence, candidate, step), whatever the batch, the
device or the order of work, so that a search gives the same answer again when it is resumed,
batched otherwise, or recomputed without a cache.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from transformers import LogitsProcessor

from eta_guard.protocols import Generation, Sampling

PLAIN_ANSWER = 0
"""Stands in place of a sentence's number in the draws of an answer without a search."""


def uniforms(seed: int, sentence: int, candidates: int, steps: int) -> torch.Tensor:
    """Uniform numbers in [0, 1) for one sentence.

    Args:
        seed: The policy's or the caller's.
        sentence: Number of the sentence from 1, or ``PLAIN_ANSWER``.
        candidates: Rows.
        steps: Columns; a longer table begins with the shorter one.

    Returns:
        float64 tensor [candidates, steps] on the CPU.
    """
    rows = [np.random.default_rng([seed, sentence, row]).random(steps) for row in range(candidates)]
    return torch.from_numpy(np.stack(rows))


class InverseTransform(LogitsProcessor):  # type: ignore[misc, unused-ignore]
    """Makes greedy decoding pick the token that each row's uniform number falls on.

    The k most likely tokens are laid side by side, the most likely first, each as wide as its
    probability at the given temperature. The whole vocabulary is laid out in its own order: to sort
    it at every step would take longer than all else that is done beside the model.
    """

    def __init__(
        self, draws: torch.Tensor, *, start: int, temperature: float, top_k: int | None = None
    ) -> None:
        """Prepares the draws.

        Args:
            draws: [rows, steps] of ``uniforms``.
            start: Length of the ids at which step 0 is drawn.
            temperature: Softmax temperature, > 0.
            top_k: Tokens that take part; None is the whole vocabulary.
        """
        self._draws, self._start = draws, start
        self._temperature, self._top_k = temperature, top_k

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Returns ``scores`` [rows, vocabulary] with all but the drawn token at minus infinity."""
        draw = self._draws[:, input_ids.shape[1] - self._start].to(scores.device)
        heights, tokens = scores.float(), None
        if self._top_k is not None and self._top_k < scores.shape[-1]:
            heights, tokens = torch.topk(heights, self._top_k)
        # Taken from the highest first: a tiny temperature would make infinities of the others.
        heights = (heights - heights.amax(dim=-1, keepdim=True)) / self._temperature
        edges = torch.softmax(heights, dim=-1).double().cumsum(dim=-1)
        # By rounding the last edge may fall short of 1, and a draw beyond it on no token at all.
        edges = edges / edges[:, -1:]
        drawn = torch.searchsorted(edges, draw[:, None].contiguous(), right=True)
        if tokens is not None:
            drawn = tokens.gather(-1, drawn)
        return torch.full_like(scores, float("-inf")).scatter_(-1, drawn, 0.0)


class Sampler(Protocol):
    """Says how the tokens of some rows are drawn."""

    def __call__(
        self,
        generation: Generation,
        *,
        sentence: int,
        rows: int,
        steps: int,
        start: int,
        sampling: Sampling | None,
    ) -> LogitsProcessor | None:
        """Returns what leaves the drawn token alone; None draws greedily.

        Args:
            generation: The caller's settings.
            sentence: Number of the sentence, or ``PLAIN_ANSWER``.
            rows: Candidates.
            steps: Most tokens that will be drawn.
            start: Length of the ids at which the first one is drawn.
            sampling: The search's settings; None outside a search.
        """
        ...


def sampler(
    generation: Generation,
    *,
    sentence: int,
    rows: int,
    steps: int,
    start: int,
    sampling: Sampling | None,
) -> LogitsProcessor | None:
    """Draws by ``uniforms``; see ``Sampler``."""
    temperature = sampling.temperature if sampling else generation.temperature
    if temperature == 0:
        return None
    draws = uniforms(generation.seed, sentence, rows, steps)
    top_k = sampling.top_k if sampling else None
    return InverseTransform(draws, start=start, temperature=temperature, top_k=top_k)
