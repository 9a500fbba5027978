"""What the tests of guard models in this process share."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from eta_guard.evaluators.guard_model.evaluator import GuardModelEvaluator
from eta_guard.evaluators.guard_model.prompts import padded
from tests.evaluators.guard_model.checkpoints import FAMILIES
from tests.evaluators.guard_model.hand_set import (
    guard,
)

SEEING = [name for name, family in FAMILIES.items() if family.form.image]
CHATS = [name for name in SEEING if name != "shieldgemma2"]
READING = [name for name, family in FAMILIES.items() if family.form.answer]
CATEGORIES = {"shieldstral", "shieldgemma2"} ^ FAMILIES.keys()


def loaded(name: str, /, **settings: Any) -> GuardModelEvaluator:
    if name == "llavaguard":
        settings.setdefault("policy", FAMILIES[name].form.policy)
    return GuardModelEvaluator.from_pretrained(str(guard(name).directory), **settings)


def lead(name: str, kind: str) -> str:
    found: str = getattr(FAMILIES[name].form, kind).lead
    return found


def near(scores: list[float]) -> Any:
    return pytest.approx(scores, abs=1e-5)


def kept_of(evaluator: GuardModelEvaluator) -> Any:
    reader: Any = evaluator._reader
    return reader._keeps


def ends(rows: list[list[int]], start: int) -> dict[str, torch.Tensor]:
    return padded([row[start:] for row in rows], 0)
