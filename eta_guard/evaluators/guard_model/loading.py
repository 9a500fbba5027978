"""Loads a guard model as what its format says it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    ShieldGemma2ForImageClassification,
)

from eta_guard.errors import UnsupportedModelError
from eta_guard.evaluators.guard_model.asking import require_policy
from eta_guard.evaluators.guard_model.formats import find_format
from eta_guard.evaluators.guard_model.guard_format import GuardFormat
from eta_guard.evaluators.guard_model.reading import LocalReader
from eta_guard.loading import (
    load_weights,
    loading,
    loading_options,
    pick_device,
    weights_fingerprint,
)

_CLASSES: dict[str, Any] = {
    "causal": AutoModelForCausalLM,
    "image_text": AutoModelForImageTextToText,
    "image_classification": ShieldGemma2ForImageClassification,
}


@dataclass(frozen=True)
class Loaded:
    """A guard model, ready to be asked."""

    reader: LocalReader
    form: GuardFormat
    fingerprint: str
    billions: float
    """Its parameters."""


def load_guard(
    name: str,
    form: GuardFormat | None,
    *,
    policy: str | Mapping[str, str] | None,
    device: str | torch.device | None,
    dtype: torch.dtype | None,
    revision: str | None,
) -> Loaded:
    """Loads a guard model; see ``GuardModelEvaluator.from_pretrained``."""
    target, options = pick_device(device), loading_options(name, revision)
    wanted: Any = dtype or (torch.float32 if target.type == "cpu" else "auto")
    with loading("guard model", name):
        # The configuration first: the wrong kind of model should not cost its download.
        config = AutoConfig.from_pretrained(name, **options)
        found = form or find_format(name, config.model_type)
        _require_type(found, config.model_type)
        found = found.with_policy(policy)
        require_policy(found)
        parts = AutoTokenizer if found.kind == "causal" else AutoProcessor
        processor: Any = parts.from_pretrained(name, **options)
        if found.processor_prompts and found.policy is None:
            found = found.with_policy(dict(processor.policy_definitions))
        model = load_weights(_CLASSES[found.kind], name, dtype=wanted, **options)
    model.train(False)
    reader = LocalReader(model.to(target), processor, found)
    billions = sum(parameter.numel() for parameter in model.parameters()) / 1e9
    return Loaded(reader, found, weights_fingerprint(name, model), billions)


def _require_type(form: GuardFormat, model_type: str) -> None:
    if form.model_types and model_type not in form.model_types:
        raise UnsupportedModelError(
            f"The model is a {model_type}; {form.name} guards are {' or '.join(form.model_types)}.",
            hint="Pass the format of its own family, or an own one with model_types=().",
        )
