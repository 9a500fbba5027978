"""Evaluators: they score images and answers and know nothing of policy, graph or engine."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eta_guard.evaluators.armorm import ArmoRM
    from eta_guard.evaluators.clip import ClipImageEvaluator
    from eta_guard.evaluators.load import load_response_evaluator
    from eta_guard.evaluators.reward import RewardResponseEvaluator

__all__ = ["ArmoRM", "ClipImageEvaluator", "RewardResponseEvaluator", "load_response_evaluator"]

_HOMES = {
    "ArmoRM": "armorm",
    "ClipImageEvaluator": "clip",
    "RewardResponseEvaluator": "reward",
    "load_response_evaluator": "load",
}


def __getattr__(name: str) -> object:
    # torch, transformers and open_clip take seconds to import: only when they are used.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
