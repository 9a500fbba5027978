from __future__ import annotations

import pytest

from eta_guard.panel.evaluation import Evaluation, Limit
from eta_guard.protocols import Finding, Region
from eta_guard.runs.told_regions import told_regions

LIMIT = Limit("regions", 0.8, "below")
REGIONS = (Region(0.0, 0.25, 0.75, 1.0, 0.7), Region(0.1, 0.1, 0.2, 0.2, 0.75))


def plain(finding: Finding) -> dict[str, object]:
    return Evaluation.of(finding, LIMIT).model_dump(mode="json")


def test_an_unsafe_picture_s_regions_are_numbers() -> None:
    assert told_regions(plain(Finding(0.7, regions=REGIONS))) == {
        "regions": 2,
        "region": [0.0, 0.25, 0.75, 1.0],
        "region_score": 0.7,
    }
    assert told_regions(plain(Finding(0.7, regions=(Region(0, 0, 1, 1),)))) == {
        "regions": 1,
        "region": [0, 0, 1, 1],
    }


@pytest.mark.parametrize("finding", [Finding(0.9, regions=REGIONS), Finding(0.7)])
def test_of_safe_ones_and_of_those_without_any_there_is_nothing_to_tell(finding: Finding) -> None:
    assert told_regions(plain(finding)) == {}
    assert told_regions({}) == {}
