"""ETA around a vision-language model: evaluate the image and the answer, then align.

>>> from eta_guard import EtaGuard
>>> guard = EtaGuard.from_pretrained("embedded")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eta_guard.context_length import ContextLengthError
    from eta_guard.counterfactual import Counterfactual
    from eta_guard.engines.chat_model.engine import ChatModelEngine
    from eta_guard.engines.local.engine import LocalEngine
    from eta_guard.engines.vllm.engine import VllmEngine
    from eta_guard.errors import (
        DeadlineExceededError,
        EngineError,
        EtaGuardError,
        EvaluationError,
        ImageInputError,
        InputError,
        MissingWeightsError,
        ModelLoadError,
        NoRoomError,
        OverloadedError,
        PolicyError,
        UnsupportedModelError,
    )
    from eta_guard.evaluators.classifier import ClassifierImageEvaluator
    from eta_guard.evaluators.clip import ClipImageEvaluator
    from eta_guard.evaluators.decision import DecisionEvaluator
    from eta_guard.evaluators.guard_model.evaluator import GuardModelEvaluator
    from eta_guard.evaluators.guard_model.guard_format import GuardFormat, GuardQuestion
    from eta_guard.evaluators.regions.evaluator import RegionImageEvaluator
    from eta_guard.evaluators.regions.settings import RegionSettings
    from eta_guard.evaluators.regions.tiles import Tiling
    from eta_guard.evaluators.reward.armorm import ArmoRM
    from eta_guard.evaluators.reward.evaluator import RewardResponseEvaluator
    from eta_guard.evaluators.reward.remote import VllmResponseEvaluator
    from eta_guard.evaluators.typographic import TypographicEvaluator
    from eta_guard.graph import build_graph
    from eta_guard.guard import EtaGuard
    from eta_guard.local_vlm import ChatLocalVLM
    from eta_guard.middleware.agent import EtaGuardMiddleware
    from eta_guard.panel.evaluation import Evaluation
    from eta_guard.policy import GuardPolicy
    from eta_guard.protocols.engines import Engine
    from eta_guard.protocols.evaluators import (
        Finding,
        ImageEvaluator,
        Likeness,
        Region,
        ResponseEvaluator,
    )
    from eta_guard.request.presentation import Presentation
    from eta_guard.state import GuardState, SentenceRound, Verdict

_HOMES = {
    "ArmoRM": "evaluators.reward.armorm",
    "ChatLocalVLM": "local_vlm",
    "ChatModelEngine": "engines.chat_model.engine",
    "ClassifierImageEvaluator": "evaluators.classifier",
    "ClipImageEvaluator": "evaluators.clip",
    "ContextLengthError": "context_length",
    "Counterfactual": "counterfactual",
    "DeadlineExceededError": "errors",
    "DecisionEvaluator": "evaluators.decision",
    "Engine": "protocols.engines",
    "EngineError": "errors",
    "EtaGuard": "guard",
    "EtaGuardError": "errors",
    "EtaGuardMiddleware": "middleware.agent",
    "Evaluation": "panel.evaluation",
    "EvaluationError": "errors",
    "Finding": "protocols.evaluators",
    "GuardFormat": "evaluators.guard_model.guard_format",
    "GuardModelEvaluator": "evaluators.guard_model.evaluator",
    "GuardPolicy": "policy",
    "GuardQuestion": "evaluators.guard_model.guard_format",
    "GuardState": "state",
    "ImageEvaluator": "protocols.evaluators",
    "ImageInputError": "errors",
    "InputError": "errors",
    "Likeness": "protocols.evaluators",
    "LocalEngine": "engines.local.engine",
    "MissingWeightsError": "errors",
    "ModelLoadError": "errors",
    "NoRoomError": "errors",
    "OverloadedError": "errors",
    "PolicyError": "errors",
    "Presentation": "request.presentation",
    "Region": "protocols.evaluators",
    "RegionImageEvaluator": "evaluators.regions.evaluator",
    "RegionSettings": "evaluators.regions.settings",
    "ResponseEvaluator": "protocols.evaluators",
    "RewardResponseEvaluator": "evaluators.reward.evaluator",
    "SentenceRound": "state",
    "Tiling": "evaluators.regions.tiles",
    "TypographicEvaluator": "evaluators.typographic",
    "UnsupportedModelError": "errors",
    "Verdict": "state",
    "VllmEngine": "engines.vllm.engine",
    "VllmResponseEvaluator": "evaluators.reward.remote",
    "build_graph": "graph",
}

__all__ = [
    "ArmoRM",
    "ChatLocalVLM",
    "ChatModelEngine",
    "ClassifierImageEvaluator",
    "ClipImageEvaluator",
    "ContextLengthError",
    "Counterfactual",
    "DeadlineExceededError",
    "DecisionEvaluator",
    "Engine",
    "EngineError",
    "EtaGuard",
    "EtaGuardError",
    "EtaGuardMiddleware",
    "Evaluation",
    "EvaluationError",
    "Finding",
    "GuardFormat",
    "GuardModelEvaluator",
    "GuardPolicy",
    "GuardQuestion",
    "GuardState",
    "ImageEvaluator",
    "ImageInputError",
    "InputError",
    "Likeness",
    "LocalEngine",
    "MissingWeightsError",
    "ModelLoadError",
    "NoRoomError",
    "OverloadedError",
    "PolicyError",
    "Presentation",
    "Region",
    "RegionImageEvaluator",
    "RegionSettings",
    "ResponseEvaluator",
    "RewardResponseEvaluator",
    "SentenceRound",
    "Tiling",
    "TypographicEvaluator",
    "UnsupportedModelError",
    "Verdict",
    "VllmEngine",
    "VllmResponseEvaluator",
    "build_graph",
]


def __getattr__(name: str) -> Any:
    # torch, transformers and langgraph take seconds to import: only when a name needs them.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
