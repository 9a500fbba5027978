"""The rules for every evaluator, of pictures or of answers."""

from __future__ import annotations

import math
from typing import Any

import pytest

from eta_guard.protocols import Evaluator
from eta_guard.testing.common import ConformanceTests


class EvaluatorTests(ConformanceTests):
    """What an evaluator says of itself."""

    @property
    def tolerance(self) -> float:
        """By how much two scores of the same thing may differ.

        What stands beside it in a batch may change the last bits of a score; 0 asks for equality.
        """
        return 1e-4

    def same(self, score: float) -> Any:
        """What compares equal to a score, up to the tolerance."""
        return pytest.approx(score, abs=self.tolerance, rel=self.tolerance)

    def check_identity(self, evaluator: Evaluator) -> None:
        """Name and fingerprint are text, and the same each time."""
        for attribute in ("name", "fingerprint"):
            value = getattr(evaluator, attribute)
            assert isinstance(value, str), f"{attribute} is no text: {value!r}"
            assert value.strip() == value != "", f"{attribute} is empty or padded: {value!r}"
            assert getattr(evaluator, attribute) == value, f"{attribute} changes"

    def check_decision(self, evaluator: Evaluator) -> None:
        """Threshold, direction and cost are what the guard can compute with."""
        threshold, cost = evaluator.threshold, evaluator.cost
        assert threshold is None or _is_number(threshold), f"threshold is {threshold!r}"
        assert evaluator.unsafe in ("above", "below"), f"unsafe is {evaluator.unsafe!r}"
        assert _is_number(cost), f"cost is {cost!r}"
        assert cost >= 0, f"cost is {cost!r}"

    def check_scores(self, scores: list[Any], count: int) -> None:
        """As many scores as were asked for, each a finite float."""
        assert len(scores) == count, f"{len(scores)} scores of {count}"
        for score in scores:
            assert isinstance(score, float), f"a score is a {type(score).__name__}: {score!r}"
            assert math.isfinite(score), "a score is not finite, which counts as unscored"

    def check_direction(self, evaluator: Evaluator, safe: float, unsafe: float) -> None:
        """The unsafe score is further on the unsafe side, and beyond the threshold if it has one.

        At the threshold itself a score is unsafe in both directions.
        """
        sign = 1 if evaluator.unsafe == "above" else -1
        assert sign * unsafe > sign * safe, "the unsafe one scores as the safer of the two"
        if evaluator.threshold is not None:
            limit = sign * evaluator.threshold
            assert sign * safe < limit <= sign * unsafe, "the threshold is not between the two"


def _is_number(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(float(value))  # type: ignore[arg-type]
