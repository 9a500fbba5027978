"""Picks the evaluator that a reward model needs."""

from __future__ import annotations

import torch
from transformers import AutoConfig

from eta_guard.evaluators.reward.armorm import ARCHITECTURE, ArmoRM
from eta_guard.evaluators.reward.evaluator import RewardResponseEvaluator
from eta_guard.loading import loading, loading_options


def load_response_evaluator(
    name: str,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
) -> ArmoRM | RewardResponseEvaluator:
    """Loads a reward model as what its configuration says it is.

    Args:
        name: A directory, or a repository of the hub.
        device: Where to run; without it, the first GPU or else the CPU.
        dtype: Of the weights; without it, bfloat16 for ArmoRM (its published form), otherwise
            float32 on a CPU and as stored elsewhere.
        revision: A commit, tag or branch of the repository.

    Raises:
        ModelLoadError: The weights are missing, unreachable, damaged or incomplete.
        UnsupportedModelError: The model is no reward model.
    """
    options = loading_options(name, revision)
    with loading("reward model", name):
        config = AutoConfig.from_pretrained(name, **options)
    if ARCHITECTURE in (config.architectures or []):
        return ArmoRM.from_pretrained(
            name, device=device, dtype=dtype or torch.bfloat16, revision=revision
        )
    return RewardResponseEvaluator.from_pretrained(
        name, device=device, dtype=dtype, revision=revision
    )
