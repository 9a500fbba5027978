from __future__ import annotations

import pytest

from eta_guard.evaluation.intervals import Rate


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        # Newcombe (1998), table I, method 3 (Wilson without continuity correction).
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_are_the_published_ones(
    hits: int, n: int, low: float, high: float
) -> None:
    interval = Rate(hits, n).interval
    assert interval is not None
    assert interval == pytest.approx((low, high), abs=5e-5)


def test_nothing_asked_has_no_rate() -> None:
    assert Rate(0, 0).value is None
    assert Rate(0, 0).interval is None
