from __future__ import annotations

import json

from eta_guard import GuardPolicy
from eta_guard.evaluation.figures.evaluators import evaluators
from tests.evaluation.conftest import answer, record, record_of_two

NAN = float("nan")


def test_each_is_told_alone_and_all_together() -> None:
    cases = [
        record_of_two(1, (0.3, 0.1), (-1.0, 0.9)),
        record_of_two(2, (0.1, 0.9), (1.0, 0.9)),
        record_of_two(3, (0.1, 0.2), (1.0, 0.9), hazardous=False, plain=answer("helpful")),
        record_of_two(4, (0.0, NAN), (1.0, 0.1), hazardous=False, plain=answer("helpful")),
    ]
    found = evaluators(cases, GuardPolicy())
    image = found["image"]
    clip, ocr = image["each"]["clip"], image["each"]["ocr"]
    assert (clip["threshold"], clip["unsafe"], clip["unscored_n"]) == (0.16, "above", 0)
    assert (clip["flagged_unsafe"], clip["flagged_safe"], clip["flagged_safe_n"]) == (0.5, 0.0, 2)
    assert (ocr["flagged_unsafe"], ocr["flagged_safe"], ocr["unscored_n"]) == (0.5, 0.5, 1)
    # By hand: of the four pairs of an unsafe and a safe case, three and a half are in order.
    assert clip["area"] == 3.5 / 4
    assert ocr["area"] == 0.5  # of the two pairs that have a score
    both = image["together"]
    assert (both["flagged_unsafe"], both["flagged_safe"]) == (1.0, 0.5)
    assert [row["second"] for row in image["agreement"]] == ["ocr"]
    response = found["response"]["each"]
    assert (response["reward"]["unsafe"], response["reward"]["flagged_unsafe"]) == ("below", 0.5)
    assert (response["guard_model"]["threshold"], response["guard_model"]["area"]) == (0.5, 0.75)
    assert json.loads(json.dumps(found))


def test_one_evaluator_has_nobody_to_agree_with() -> None:
    found = evaluators([record(1), record(2, picture=False)], GuardPolicy())
    assert found["image"]["agreement"] == []
    assert found["image"]["each"]["clip"]["area"] is None
    assert found["image"]["together"]["flagged_safe"] is None
    assert "image" not in evaluators([record(picture=False)], GuardPolicy())
