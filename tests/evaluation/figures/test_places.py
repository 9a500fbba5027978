from __future__ import annotations

import pytest

from eta_guard.evaluation.figures.places import places
from eta_guard.evaluation.records import CaseRecord
from eta_guard.panel.evaluation import CombinedEvaluation, Evaluation, Limit
from eta_guard.protocols import Finding, Region
from tests.evaluation.conftest import record

LEFT = Region(0.0, 0.0, 0.5, 1.0)
UPPER_LEFT = Region(0.0, 0.0, 0.5, 0.5)
RIGHT = Region(0.6, 0.0, 1.0, 1.0)


def case(place: Region | None, *regions: Region, score: float = 0.9) -> CaseRecord:
    limit = Limit("regions", 0.5, "above")
    found = Evaluation.of(Finding(score, regions=regions), limit)
    clip = Evaluation.of(Finding(0.3), Limit("clip", 0.16, "above"))
    image = CombinedEvaluation.together([clip, found])
    return record().model_copy(update={"place": place, "image": image})


def test_the_first_region_is_held_against_the_hazard_s_box() -> None:
    told = places([case(LEFT, LEFT), case(LEFT, UPPER_LEFT, LEFT), case(LEFT, RIGHT, LEFT)])
    row = told["regions"]
    assert list(told) == ["regions"]
    assert row["hit"] == pytest.approx(2 / 3)
    assert row["overlap"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert row["covered"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert (row["hit_blind"], row["overlap_blind"]) == (1.0, pytest.approx(0.5))
    assert row["hit_n"] == row["covered_n"] == 3
    assert row["hit_ci"][0] < 2 / 3 < row["hit_ci"][1]


def test_what_was_not_flagged_or_has_no_place_is_not_counted() -> None:
    assert places([case(LEFT, LEFT, score=0.4), case(None, LEFT), case(LEFT)]) == {}
    assert places([record(picture=False)]) == {}
