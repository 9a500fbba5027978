"""What was found is drawn on the picture, whoever found it."""

from __future__ import annotations

from PIL import Image

from eta_guard.panel.evaluation import CombinedEvaluation, Evaluation, ImageEvaluation, Limit
from eta_guard.play.pictures import show
from eta_guard.protocols import Finding, Region

QUARTER = Region(0.5, 0.0, 1.0, 0.5, 0.7)
CLIP, REGIONS = Limit("clip", 0.16, "above"), Limit("regions", 0.8, "below")


def shown(*findings: Evaluation) -> tuple[list[dict[str, float]], str]:
    both = CombinedEvaluation.together(findings)
    found = ImageEvaluation(**dict(both), message=0, block=0)
    told = show(Image.new("RGB", (64, 64)), found.model_dump(mode="json"))
    return [dict(box) for box in told.boxes], told.outcome


def test_regions_of_another_than_the_first_that_flags_are_drawn() -> None:
    first = Evaluation.of(Finding(0.9), CLIP)
    where = Evaluation.of(Finding(0.7, regions=(QUARTER,)), REGIONS)
    boxes = [{"left": 50.0, "top": 0.0, "width": 50.0, "height": 50.0}]
    assert shown(first, where) == (boxes, "unsafe")
    assert shown(where, first) == (boxes, "unsafe")


def test_where_a_safe_picture_is_nearest_to_a_hazard_is_not() -> None:
    safe = Evaluation.of(Finding(0.9, regions=(QUARTER,)), REGIONS)
    assert shown(Evaluation.of(Finding(0.9), CLIP), safe) == ([], "unsafe")
    assert shown(Evaluation.of(Finding(0.1), CLIP), safe) == ([], "safe")
