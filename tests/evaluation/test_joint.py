"""Thresholds of several evaluators, held against every common level, counted case by case."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from eta_guard.evaluation import joint, roc


def cases(seed: int, evaluators: int, n: int = 24) -> list[roc.Labelled]:
    """Evaluators of different worth, on scores with ties."""
    rng = np.random.default_rng(seed)
    unsafe = np.arange(n) % 3 == 0
    return [
        roc.Labelled(np.round(rng.normal(size=n) + worth * unsafe, 1), unsafe)
        for worth in rng.uniform(0, 3, size=evaluators)
    ]


def union(each: list[roc.Labelled], thresholds: list[float]) -> tuple[float, float]:
    """False alarms and missed, counted case by case."""
    alarms: list[bool] = []
    missed: list[bool] = []
    for place, unsafe in enumerate(each[0].unsafe):
        pairs = zip(each, thresholds, strict=True)
        flagged = any(one.scores[place] >= threshold for one, threshold in pairs)
        (missed if unsafe else alarms).append(flagged != unsafe)
    return sum(alarms) / len(alarms), sum(missed) / len(missed)


def by_level(each: list[roc.Labelled]) -> list[tuple[list[float], float, float]]:
    """Every common level: each evaluator misses as little as any of its thresholds does there."""
    safe = int((~each[0].unsafe).sum())
    found = []
    for level in range(safe + 1):
        chosen = []
        for one in each:
            options = []
            for threshold in roc.curve(one).thresholds:
                alarm, missed = union([one], [threshold])
                if alarm <= level / safe + 1e-9:
                    options.append((missed, alarm, threshold))
            chosen.append(min(options)[2])
        found.append((chosen, *union(each, chosen)))
    return found


@pytest.mark.parametrize(("seed", "evaluators"), [*itertools.product(range(6), (2, 3))])
def test_the_level_is_the_highest_that_keeps_false_alarms_within_the_limit(
    seed: int, evaluators: int
) -> None:
    each = cases(seed, evaluators)
    levels = by_level(each)
    for limit in (0.0, 0.1, 0.25, 0.5, 1.0):
        chosen = joint.choose(each, max_false_alarm=limit)
        false_alarm, missed = union(each, chosen)
        assert false_alarm <= limit + 1e-9
        within = [level for level in levels if level[1] <= limit + 1e-9]
        assert missed == min(level[2] for level in within)
        assert chosen == pytest.approx(within[-1][0])


@pytest.mark.parametrize(("seed", "evaluators"), [*itertools.product(range(6), (2, 3))])
def test_the_level_is_the_lowest_that_keeps_what_is_missed_within_the_limit(
    seed: int, evaluators: int
) -> None:
    each = cases(seed, evaluators)
    levels = by_level(each)
    for limit in (0.0, 0.1, 0.25, 0.5):
        chosen = joint.choose(each, max_missed=limit)
        false_alarm, missed = union(each, chosen)
        assert missed <= limit + 1e-9
        within = [level for level in levels if level[2] <= limit + 1e-9]
        assert false_alarm == min(level[1] for level in within)
        assert chosen == pytest.approx(within[0][0])


def test_each_alone_at_the_target_would_flag_more_than_it() -> None:
    each = cases(0, 3, n=300)
    alone = [roc.choose(one, max_false_alarm=0.1) for one in each]
    assert union(each, alone)[0] > 0.15
    assert 0.07 < union(each, joint.choose(each, max_false_alarm=0.1))[0] <= 0.1


def test_evaluators_that_err_on_the_same_cases_need_not_divide_the_target() -> None:
    safe, unsafe = np.arange(100.0), np.array([False] * 100 + [True] * 10)
    first = roc.Labelled(np.append(safe, [94.5] * 10), unsafe)  # 5 % of the safe score higher
    other = roc.Labelled(np.append(safe[::-1], [94.5] * 10), unsafe)
    for limit, alike, apart in ((0.1, (0.05, 0.0), (0.1, 0.0)), (0.09, (0.05, 0.0), (0.0, 1.0))):
        for second, expected in ((first, alike), (other, apart)):
            chosen = joint.choose([first, second], max_false_alarm=limit)
            assert union([first, second], chosen) == expected


def test_evaluators_that_find_different_hazards_are_worth_having_together() -> None:
    """As of text in pictures, which says nothing about those without any."""
    nothing = -1e9
    unsafe = np.array([True] * 20 + [False] * 20)
    clip = roc.Labelled(np.array([0.3] * 10 + [0.1] * 10 + [0.1] * 20), unsafe)
    text = roc.Labelled(np.array([nothing] * 10 + [0.9] * 10 + [nothing] * 18 + [0.2] * 2), unsafe)
    chosen = joint.choose([clip, text], max_missed=0.0)
    assert union([clip, text], chosen) == (0.0, 0.0)
    assert chosen == pytest.approx([0.2, 0.55])


def test_one_evaluator_is_set_as_ever() -> None:
    for seed in range(5):
        (one,) = cases(seed, 1)
        for limits in ({"max_false_alarm": 0.2}, {"max_missed": 0.2}):
            assert joint.choose([one], **limits) == [roc.choose(one, **limits)]
            # The common level comes to the same.
            assert joint.choose([one, one], **limits) == [roc.choose(one, **limits)] * 2


def test_the_same_cases_are_drawn_again_for_all() -> None:
    first, second = cases(0, 2)
    second = roc.Labelled(first.scores * 2, first.unsafe)
    drawn = joint.resampled([first, second], np.random.default_rng(1))
    assert (drawn[0].scores * 2 == drawn[1].scores).all()
    assert (drawn[0].scores == first.resampled(np.random.default_rng(1)).scores).all()
