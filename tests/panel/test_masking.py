from __future__ import annotations

import logging
import math
from typing import Any

import pytest

from eta_guard.panel.evaluation import CombinedEvaluation, Evaluation, Limit
from eta_guard.panel.masking import WHOLE, MaskedPicture, log_covered_whole, pictures_to_mask
from eta_guard.protocols import Finding, Region

LEFT, RIGHT = Region(0.0, 0.0, 0.5, 1.0, 0.9), Region(0.5, 0.0, 1.0, 1.0, 0.7)


def found(name: str, score: float, *regions: Region) -> Evaluation:
    return Evaluation.of(Finding(score, regions=regions), Limit(name, 0.5, "above"))


def failed(name: str) -> Evaluation:
    return Evaluation.unscored(Limit(name, 0.5, "above"), "RuntimeError")


def masked(*evaluations: Evaluation) -> list[MaskedPicture]:
    return pictures_to_mask([CombinedEvaluation.together(evaluations)])


def covered(*evaluations: Evaluation) -> list[tuple[str, Region, bool]]:
    (picture,) = masked(*evaluations)
    return [(one.evaluator, one.region, one.reason is None) for one in picture.regions]


def test_a_safe_picture_is_shown_as_it_is() -> None:
    assert masked(found("a", 0.1, LEFT)) == []


def test_all_regions_of_all_who_found_it_unsafe_are_covered() -> None:
    evaluations = found("a", 0.9, LEFT), found("b", 0.1, LEFT), found("c", 0.8, RIGHT, LEFT)
    assert covered(*evaluations) == [("a", LEFT, True), ("c", RIGHT, True), ("c", LEFT, True)]


def test_one_who_says_where_is_enough() -> None:
    assert covered(found("a", 0.9), found("b", 0.9, RIGHT)) == [("b", RIGHT, True)]


@pytest.mark.parametrize(
    "evaluations",
    [
        [found("a", 0.9)],
        [failed("a")],
        [failed("a"), found("b", 0.9, LEFT)],  # what the first would have found lies anywhere
        [found("a", math.nan, LEFT)],
        [found("a", 0.9, LEFT, Region(0.1, 0.1, 0.1, 0.9))],
        [found("a", 0.9, Region(0.9, 0.1, 0.2, 0.9))],
        [found("a", 0.9, Region(math.nan, 0.0, 1.0, 1.0))],
        [found("a", 0.9, Region(-math.inf, 0.0, 1.0, 1.0))],
        [found("a", 0.9, Region(1.0, 0.0, 2.0, 1.0))],
        [found("a", 0.9, Region(-1.0, 0.0, 0.0, 1.0))],
    ],
)
def test_where_nobody_can_say_where_all_is_covered_and_that_is_told(
    evaluations: list[Evaluation], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "eta_guard.panel.masking"):
        assert covered(*evaluations) == [("a", WHOLE, False)]
        log_covered_whole(pictures_to_mask([CombinedEvaluation.together(evaluations)]))
    (line,) = caplog.messages
    assert line.startswith("Image 0 is covered whole: ")


def test_a_picture_is_known_by_its_number() -> None:
    safe = CombinedEvaluation.together([found("a", 0.1)])
    unsafe = CombinedEvaluation.together([found("a", 0.9, LEFT)])
    (one,) = pictures_to_mask([safe, unsafe, safe])
    assert (one.image, one.boxes) == (1, [(0.0, 0.0, 0.5, 1.0)])


def test_it_is_plain_json_and_back() -> None:
    (picture,) = masked(found("a", 0.9, LEFT))
    told: dict[str, Any] = picture.model_dump(mode="json")
    assert told["regions"][0]["region"] == {
        "left": 0.0,
        "top": 0.0,
        "right": 0.5,
        "bottom": 1.0,
        "score": 0.9,
    }
    assert MaskedPicture.model_validate(told) == picture
