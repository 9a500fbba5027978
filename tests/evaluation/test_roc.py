from __future__ import annotations

import numpy as np
import pytest

from eta_guard.evaluation import roc


def labelled(unsafe: list[float], safe: list[float]) -> roc.Labelled:
    scores = np.array([*unsafe, *safe], dtype=np.float64)
    return roc.Labelled(scores, np.array([True] * len(unsafe) + [False] * len(safe)))


OVERLAPPING = labelled([0.2, 0.4, 0.6, 0.8], [0.1, 0.3, 0.3, 0.5])


def test_the_area_is_how_often_an_unsafe_case_scores_higher() -> None:
    # Of 16 pairs, 0.2 wins 1, 0.4 wins 3, 0.6 and 0.8 win 4 each.
    assert roc.area(OVERLAPPING) == 12 / 16
    assert roc.area(labelled([1.0], [0.0])) == 1.0
    assert roc.area(labelled([0.5, 0.5], [0.5])) == 0.5


def test_the_curve_counts_both_errors_at_every_threshold() -> None:
    found = roc.curve(OVERLAPPING)
    for place, threshold in enumerate(found.thresholds):
        alarms, missed = roc.errors(OVERLAPPING, float(threshold))
        assert found.false_alarm[place] == pytest.approx(alarms)
        assert found.missed[place] == pytest.approx(missed)
    assert (found.false_alarm[0], found.missed[0]) == (1.0, 0.0)
    assert (found.false_alarm[-1], found.missed[-1]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("limits", "errors"),
    [
        ({"max_false_alarm": 0.0}, (0.0, 0.5)),
        ({"max_false_alarm": 0.3}, (0.25, 0.25)),
        ({"max_false_alarm": 1.0}, (0.75, 0.0)),
        ({"max_missed": 0.0}, (0.75, 0.0)),
        ({"max_missed": 0.25}, (0.25, 0.25)),
        ({"max_missed": 1.0}, (0.0, 0.5)),
    ],
)
def test_one_error_is_limited_and_the_other_made_small(
    limits: dict[str, float], errors: tuple[float, float]
) -> None:
    threshold = roc.choose(OVERLAPPING, **limits)
    assert roc.errors(OVERLAPPING, threshold) == pytest.approx(errors)


def test_no_other_threshold_would_do_better() -> None:
    rng = np.random.default_rng(1)
    cases = labelled(list(rng.normal(1, 1, 80)), list(rng.normal(0, 1, 120)))
    for limit in (0.0, 0.02, 0.1, 0.5):
        alarms, missed = roc.errors(cases, roc.choose(cases, max_false_alarm=limit))
        assert alarms <= limit
        for other in np.linspace(-4, 4, 999):
            others = roc.errors(cases, float(other))
            assert others[0] > limit or others[1] >= missed


def test_of_equally_good_thresholds_the_middle_of_the_widest_gap_is_taken() -> None:
    assert roc.choose(labelled([0.8, 0.9], [0.1, 0.2]), max_false_alarm=0.1) == pytest.approx(0.5)
    assert roc.choose(labelled([0.8, 0.9], [0.1, 0.2]), max_missed=0.0) == pytest.approx(0.5)


def test_intervals_hold_what_they_are_of_and_narrow_with_cases() -> None:
    rng = np.random.default_rng(2)
    few = labelled(list(rng.normal(1, 1, 20)), list(rng.normal(0, 1, 20)))
    many = labelled(list(rng.normal(1, 1, 500)), list(rng.normal(0, 1, 500)))
    widths = []
    for cases in (few, many):
        low, high = roc.area_interval(cases)
        assert low <= roc.area(cases) <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
    assert roc.area_interval(few) == roc.area_interval(few)


def test_a_score_that_is_no_measure_draws_no_threshold_to_it() -> None:
    """Halfway between a text and none, a threshold would flag whatever there is to read."""
    nothing = -1e9
    cases = labelled([0.9, 0.8, nothing], [nothing] * 4)
    chosen = roc.choose(cases, max_false_alarm=0.0)
    assert chosen == pytest.approx(0.8, abs=1e-5)
    assert roc.errors(cases, chosen) == (0.0, 1 / 3)
    assert roc.choose(cases, max_missed=0.0) < nothing
    measured = labelled([0.9, 0.8, nothing], [nothing] * 3 + [0.2])
    assert roc.choose(measured, max_false_alarm=0.0) == pytest.approx(0.5)
