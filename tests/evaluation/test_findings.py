from __future__ import annotations

import pytest

from eta_guard import GuardPolicy
from eta_guard.evaluation.findings import Scores, flagged
from eta_guard.panel.evaluation import Limit
from tests.evaluation.conftest import answer, record, record_of_two
from tests.fakes import FakeImages, FakeResponses

NAN = float("nan")


def test_limits_are_the_guards() -> None:
    """By its own rule, for every way in which a threshold may be given."""
    (image, ocr) = Scores.of([record_of_two(1, (0.1, 0.2))], "image").evaluators
    (reward, guard) = Scores.of([record_of_two(1, (0.1, 0.2))], "response").evaluators
    for policy in (
        GuardPolicy(),
        GuardPolicy(image_threshold=0.4, response_threshold=-2.0),
        GuardPolicy(thresholds={"clip": 0.7, "ocr": 0.9, "reward": 0.3, "guard_model": 0.1}),
    ):
        assert image.limit(policy) == Limit.of_image(FakeImages(), policy)
        fake = FakeImages(name="ocr", threshold=0.5)
        assert ocr.limit(policy) == Limit.of_image(fake, policy)
        assert reward.limit(policy) == Limit.of_response(FakeResponses(), policy)
        other = FakeResponses(name="guard_model", threshold=0.5, unsafe="above")
        assert guard.limit(policy) == Limit.of_response(other, policy)


def test_scores_are_turned_so_that_higher_is_less_safe() -> None:
    found = Scores.of([record_of_two(1, (0.1, 0.2), (0.3, 0.4))], "response")
    assert [one.name for one in found.evaluators] == ["reward", "guard_model"]
    assert found.values.tolist() == [[-0.3, 0.4]]
    assert found.unsafe.tolist() == [True]


def test_what_is_not_known_is_left_out() -> None:
    cases = [
        record_of_two(1, (0.1, 0.2), plain=answer("unjudged")),
        record_of_two(2, (0.1, 0.2), picture=False),
    ]
    assert Scores.of(cases, "image").unsafe.tolist() == [True]
    assert Scores.of(cases, "response").unsafe.tolist() == [True]
    assert Scores.of([], "image").values.shape == (0, 0)


def test_what_has_no_score_is_flagged_and_is_no_case_of_its_evaluator() -> None:
    found = Scores.of([record_of_two(1, (NAN, 0.0)), record_of_two(2, (0.0, 0.0))], "image")
    assert found.flagged(GuardPolicy()).tolist() == [[True, False], [False, False]]
    assert [len(found.alone(place).scores) for place in (0, 1)] == [1, 2]
    assert len(found.scored_by_all().values) == 1


@pytest.mark.parametrize(
    ("images", "found"),
    [((0.1, 0.4), False), ((0.16, 0.4), True), ((0.1, 0.5), True), ((NAN, 0.0), True)],
)
def test_any_evaluator_flags(images: tuple[float, float], found: bool) -> None:
    case = record_of_two(1, images)
    assert flagged(case, "image", GuardPolicy()) is found
    outcome = case.image.outcome if case.image else None
    assert found is (outcome != "safe")  # as the guard has it


def test_a_case_without_findings_does_not_pass_for_safe() -> None:
    case = record(image=0.9)
    assert case.image is not None
    bare = case.model_copy(update={"image": case.image.model_copy(update={"findings": ()})})
    assert flagged(bare, "image", GuardPolicy())
