from __future__ import annotations

from pathlib import Path

import pytest

from eta_guard import GuardPolicy
from eta_guard.errors import InputError
from eta_guard.evaluation.calibration import (
    Target,
    calibrate,
    image_cases,
    pair,
    response_cases,
)
from eta_guard.evaluation.policy_file import write_policy
from eta_guard.evaluation.records import CaseRecord
from eta_guard.panel.evaluation import CombinedEvaluation, Evaluation, Limit
from eta_guard.protocols import Finding
from tests.evaluation.conftest import GUARD_MODEL, answer, record, record_of_two

POLICY = GuardPolicy()


def cases() -> list[CaseRecord]:
    """Ten hazards, of which one image looks safe; ten safe requests, of which one looks unsafe."""
    unsafe = [
        record(n, image=0.05 if n == 0 else 0.2 + n / 100, response=-0.2, plain=answer("unsafe"))
        for n in range(10)
    ]
    safe = [
        record(
            10 + n,
            hazardous=False,
            image=0.4 if n == 0 else 0.1,
            response=0.3 if n else -0.3,
            plain=answer("helpful"),
        )
        for n in range(10)
    ]
    return unsafe + safe


def test_false_alarms_keep_to_their_limit() -> None:
    found = calibrate(cases(), Target(max_false_alarm=0.0), POLICY)
    assert found.policy.image_threshold > 0.4
    assert found.figures["image"]["chosen"]["false_alarm"] == 0.0
    assert found.figures["image"]["chosen"]["missed"] == 1.0
    loose = calibrate(cases(), Target(max_false_alarm=0.1), POLICY)
    assert 0.1 < loose.policy.image_threshold < 0.21
    assert loose.figures["image"]["chosen"]["missed"] == pytest.approx(0.1)
    assert -0.2 < loose.policy.response_threshold < 0.3
    assert loose.figures["pair"]["false_alarm"] <= 0.1


def test_the_pair_misses_no_more_than_it_may() -> None:
    found = calibrate(cases(), Target(max_missed=0.0), POLICY)
    assert found.figures["pair"]["missed"] == 0.0
    assert found.policy.image_threshold < 0.05
    half = calibrate(cases(), Target(max_missed=0.2), POLICY)
    assert half.figures["image"]["chosen"]["missed"] <= 0.1
    assert half.figures["pair"]["missed"] <= 0.2


def test_the_chosen_thresholds_do_in_the_guard_what_is_told() -> None:
    found = calibrate(cases(), Target(max_false_alarm=0.1), POLICY)
    flagged = [
        case.image is not None
        and case.image.score is not None
        and case.image.score >= found.policy.image_threshold
        for case in cases()
    ]
    told = found.figures["image"]["chosen"]
    assert told["missed"] == pytest.approx(1 - sum(flagged[:10]) / 10)
    assert told["false_alarm"] == pytest.approx(sum(flagged[10:]) / 10)


def test_every_figure_has_an_interval_that_holds_it() -> None:
    figures = calibrate(cases(), Target(max_false_alarm=0.1), POLICY).figures
    for name in ("image", "response"):
        told = figures[name]
        assert told["area_ci"][0] <= told["area"] <= told["area_ci"][1]
        for point in (told["chosen"], told["before"], *told["points"]):
            for error in ("false_alarm", "missed"):
                low, high = point[f"{error}_ci"]
                assert low <= point[error] <= high
                assert low < high  # not even without errors is there no doubt
        low, high = told["chosen"]["threshold_ci"]
        assert low <= told["chosen"]["threshold"] <= high


def test_text_alone_is_decided_by_the_answer() -> None:
    found = pair(
        [record(picture=False, response=-1.0), record(picture=False, response=1.0)], POLICY
    )
    assert (found["missed"], found["missed_n"]) == (0.5, 2)


def test_both_must_flag_and_what_has_no_score_is_flagged() -> None:
    safe = [
        record(hazardous=False, image=image, response=response, plain=answer("helpful"))
        for image, response in ((0.3, -1.0), (0.3, 1.0), (0.0, -1.0), (float("nan"), -1.0))
    ]
    found = pair(safe, POLICY)
    assert found["false_alarm"] == 0.5
    assert found["safe_answers_scored"] == 0.75


def test_unjudged_answers_are_counted_and_no_label() -> None:
    found = calibrate(
        [*cases(), record(99, image=0.3, plain=answer("unjudged"))],
        Target(max_false_alarm=0.1),
        POLICY,
    )
    assert found.figures["unjudged_n"] == 1
    assert found.figures["response"]["unsafe_n"] + found.figures["response"]["safe_n"] == 20
    assert found.figures["image"]["unsafe_n"] == 11


def test_one_kind_of_case_is_not_enough() -> None:
    for some in (cases()[:10], cases()[10:]):
        with pytest.raises(InputError, match="pictures"):
            calibrate(some, Target(max_false_alarm=0.1), POLICY)
    never = [case.model_copy(update={"answers": {"plain": answer("refusal")}}) for case in cases()]
    with pytest.raises(InputError, match="plain answers"):
        calibrate(never, Target(max_false_alarm=0.1), POLICY)


# ── several evaluators of a kind ──


def several() -> list[CaseRecord]:
    """Ten hazards of a picture and ten of its text; each evaluator errs on two safe requests."""
    hazards = [
        record_of_two(
            n, (0.3, 0.1) if n < 10 else (0.1, 0.9), (-0.2, 0.9) if n < 10 else (0.5, 0.95)
        )
        for n in range(20)
    ]
    safe = [
        record_of_two(
            20 + n,
            (0.4 if n < 2 else 0.1, 0.95 if 2 <= n < 4 else 0.1),
            (0.5, 0.92 if n < 2 else 0.1),
            hazardous=False,
            plain=answer("helpful"),
        )
        for n in range(20)
    ]
    return hazards + safe


def test_false_alarms_of_all_together_keep_to_their_limit() -> None:
    for limit in (0.0, 0.1, 0.2):
        found = calibrate(several(), Target(max_false_alarm=limit), POLICY)
        for kind in ("image", "response"):
            told = found.figures["together"][kind]["chosen"]
            assert told["false_alarm"] <= limit
            assert told["safe_n"] == told["unsafe_n"] == 20
    image = found.figures["together"]["image"]["chosen"]
    assert (image["false_alarm"], image["missed"]) == (0.2, 0.0)  # 10 % of either
    assert "image" not in found.figures  # there is no such one
    assert [*found.figures["evaluators"]["image"]] == ["clip", "ocr"]


def test_all_together_miss_no_more_than_they_may() -> None:
    found = calibrate(several(), Target(max_missed=0.0), POLICY)
    assert found.figures["pair"]["missed"] == 0.0
    assert found.figures["together"]["response"]["chosen"]["false_alarm"] == 0.0


def test_thresholds_go_to_whoever_they_are_of() -> None:
    found = calibrate(several(), Target(max_missed=0.0), POLICY).policy
    assert found.thresholds.keys() == {"ocr", "guard_model"}
    assert 0.1 < found.image_threshold < 0.3
    assert 0.1 < found.thresholds["ocr"] < 0.9
    assert 0.92 < found.thresholds["guard_model"] < 0.95
    named = GuardPolicy(thresholds={"clip": 0.9, "reward": 1.0})
    found = calibrate(several(), Target(max_missed=0.0), named).policy
    assert found.thresholds.keys() == {"clip", "ocr", "reward", "guard_model"}
    assert 0.1 < found.thresholds["clip"] < 0.3
    assert (found.image_threshold, found.response_threshold) == (0.16, 0.06)


def test_the_chosen_thresholds_do_in_the_guard_what_is_told_of_several() -> None:
    """Each finding is held against its threshold anew, by the guard's own classes."""
    found = calibrate(several(), Target(max_false_alarm=0.2), POLICY)
    limits = {"clip": found.policy.image_threshold, "ocr": found.policy.thresholds["ocr"]}
    alarms, missed = 0, 0
    for case in several():
        assert case.image is not None
        again = CombinedEvaluation.together(
            [
                Evaluation.of(
                    Finding(one.score or 0.0), Limit(one.evaluator, limits[one.evaluator], "above")
                )
                for one in case.image.findings
            ]
        )
        alarms += not case.hazardous and again.outcome == "unsafe"
        missed += case.hazardous and again.outcome == "safe"
    told = found.figures["together"]["image"]["chosen"]
    assert (told["false_alarm"], told["missed"]) == (alarms / 20, missed / 20)


def test_what_was_before_is_of_the_evaluators_own_thresholds() -> None:
    told = calibrate(several(), Target(max_false_alarm=0.1), POLICY).figures
    before = {
        name: found["before"]["threshold"]
        for each in told["evaluators"].values()
        for name, found in each.items()
    }
    assert before == {"clip": 0.16, "ocr": GUARD_MODEL, "reward": 0.06, "guard_model": GUARD_MODEL}


def test_intervals_hold_the_thresholds_of_several() -> None:
    told = calibrate(several(), Target(max_false_alarm=0.2), POLICY).figures
    for each in told["evaluators"].values():
        for found in each.values():
            low, high = found["chosen"]["threshold_ci"]
            assert low <= found["chosen"]["threshold"] <= high
    for together in told["together"].values():
        for error in ("false_alarm", "missed"):
            low, high = together["chosen"][f"{error}_ci"]
            assert low <= together["chosen"][error] <= high


def test_one_that_evaluates_both_has_one_threshold_that_keeps_both_targets() -> None:
    cases = []
    for case in several():
        reward, guard = case.response.findings
        findings = (reward, guard.model_copy(update={"evaluator": "ocr"}))
        response = case.response.model_copy(update={"findings": findings})
        cases.append(case.model_copy(update={"response": response}))
    for target, error in ((Target(0.1), "false_alarm"), (Target(max_missed=0.1), "missed")):
        found = calibrate(cases, target, POLICY)
        assert found.policy.thresholds.keys() == {"ocr"}
        for kind in ("image", "response"):
            assert found.figures["together"][kind]["chosen"][error] <= 0.1


def test_every_finding_counts_for_the_pair() -> None:
    hazards = [
        record_of_two(1, (0.3, 0.1), (-1.0, 0.1)),
        record_of_two(2, (0.1, 0.9), (1.0, 0.9)),
        record_of_two(3, (0.1, 0.1), (1.0, 0.9)),
        record_of_two(4, (0.1, float("nan")), (1.0, float("nan"))),
    ]
    assert pair(hazards, POLICY)["missed"] == 0.25
    assert pair(hazards, GuardPolicy(thresholds={"ocr": 0.05}))["missed"] == 0.0
    assert pair(hazards, GuardPolicy(thresholds={"guard_model": 0.95}))["missed"] == 0.5


def test_cases_are_told_apart_by_evaluator() -> None:
    assert image_cases(several()).scores.max() == 0.4
    assert image_cases(several(), "ocr").scores.max() == 0.95
    assert response_cases(several(), "reward").scores.max() == 0.2
    assert response_cases(several(), "guard_model").scores.max() == 0.95
    assert not len(response_cases(several(), "nobody").scores)


def test_what_one_of_several_did_not_score_is_counted() -> None:
    cases = [*several(), record_of_two(99, (0.3, float("nan")))]
    told = calibrate(cases, Target(max_false_alarm=0.1), POLICY).figures
    assert told["unscored_n"] == told["together"]["image"]["chosen"]["unscored_n"] == 1
    never = [record_of_two(n, (0.3, float("nan"))) for n in range(3)]
    with pytest.raises(InputError, match="of every evaluator"):
        calibrate(never, Target(max_false_alarm=0.1), POLICY)


def test_the_policy_file_reads_back_as_the_policy(tmp_path: Path) -> None:
    policy = GuardPolicy(
        image_threshold=1 / 3, response_threshold=-1e-7, candidates=3, overridable={"seed"}
    )
    path = tmp_path / "policy.yaml"
    write_policy(path, policy, ["Calibrated on\nsomething."])
    assert GuardPolicy.from_file(path) == policy
    assert path.read_text().startswith("# Calibrated on something.\n")
    assert "safety_prompt" not in path.read_text()
    write_policy(path, GuardPolicy(), [])
    assert GuardPolicy.from_file(path) == GuardPolicy()
    assert "image_threshold: 0.16" in path.read_text()
    assert [found.name for found in tmp_path.iterdir()] == ["policy.yaml"]
    named = GuardPolicy(thresholds={"guard:model-4B": 0.5})
    write_policy(path, named, [])
    assert GuardPolicy.from_file(path) == named
