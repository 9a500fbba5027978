from __future__ import annotations

from eta_guard import GuardPolicy
from eta_guard.evaluation.agreement import agreement, together
from eta_guard.evaluation.findings import Scores
from tests.evaluation.conftest import record_of_two

NAN = float("nan")

HAZARDS = [(0.3, 0.9), (0.3, 0.1), (0.1, 0.9), (0.1, 0.8), (0.1, 0.1), (0.1, NAN)]
SAFE = [(0.1, 0.1), (0.1, 0.1), (0.3, 0.1), (0.1, 0.9)]


def scores() -> Scores:
    cases = [record_of_two(n, images) for n, images in enumerate(HAZARDS)]
    cases += [record_of_two(9 + n, images, hazardous=False) for n, images in enumerate(SAFE)]
    return Scores.of(cases, "image")


def test_each_two_are_counted_over_what_both_have_scored() -> None:
    (found,) = agreement(scores(), GuardPolicy())
    assert (found["first"], found["second"]) == ("clip", "ocr")
    assert found["unsafe"] == {"both": 1, "only_first": 1, "only_second": 2, "neither": 1}
    assert found["safe"] == {"both": 0, "only_first": 1, "only_second": 1, "neither": 2}


def test_thresholds_are_the_policys() -> None:
    (found,) = agreement(scores(), GuardPolicy(thresholds={"ocr": 0.85}))
    assert found["unsafe"] == {"both": 1, "only_first": 1, "only_second": 1, "neither": 2}


def test_together_they_flag_what_any_flags() -> None:
    found = together(scores(), GuardPolicy())
    assert (found["unsafe_n"], found["safe_n"], found["unscored_n"]) == (5, 4, 1)
    assert (found["missed"], found["false_alarm"]) == (0.2, 0.5)
    for error in ("missed", "false_alarm"):
        low, high = found[f"{error}_ci"]
        assert low < found[error] < high


def test_cases_of_one_sort_have_one_error() -> None:
    found = together(Scores.of([record_of_two(1, (0.3, 0.1))], "image"), GuardPolicy())
    assert (found["missed"], found["false_alarm"], found["false_alarm_ci"]) == (0.0, None, None)
