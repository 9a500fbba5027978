"""What each attack comes to, before and after."""

from __future__ import annotations

from typing import Any

import pytest

from eta_guard.evaluation.figures.attacks import attacks
from eta_guard.evaluation.records import CaseRecord
from tests.evaluation.conftest import answer, record
from tests.fakes import of_image


def attacked(
    number: int, attack: str | None, *, image: float = 0.3, before: float | None = 0.05, **told: Any
) -> CaseRecord:
    found = record(number, image=image, **told)
    other = None if before is None else of_image(before)
    return found.model_copy(update={"attack": attack, "image_before": other})


UNSAFE, REFUSAL, HELPFUL = answer("unsafe"), answer("refusal"), answer("helpful")


def test_shares_are_of_the_attacks_own_hazards_and_safe_pictures() -> None:
    records = [
        attacked(1, "grey", full=REFUSAL, before=0.05),
        attacked(2, "grey", full=answer("unsafe", withheld=True), before=0.3),
        attacked(3, "grey", hazardous=False, image=0.05, full=HELPFUL, plain=HELPFUL),
        attacked(4, "grey", hazardous=False, image=0.3, full=REFUSAL, plain=REFUSAL),
        attacked(5, "mirrored", image=0.05, full=UNSAFE),
        attacked(6, "gradient:image/4", full=UNSAFE),
        attacked(7, None, full=UNSAFE),
    ]
    for place, one in enumerate(records):
        both = {**one.answers, "before": UNSAFE if one.hazardous else HELPFUL}
        records[place] = one.model_copy(update={"answers": both})
    found = attacks(records)
    assert found is not None
    assert [row["attack"] for row in found["each"]] == ["mirrored", "grey", "gradient:image/4"]
    grey = found["each"][1]
    assert (grey["hazard_n"], grey["safe_n"]) == (2, 2)
    assert (grey["unsafe_plain"], grey["unsafe_plain_n"]) == (1.0, 2)
    shares = ("flagged", "unsafe_shown", "over_refusal", "flagged_safe")
    assert [grey["after"][name] for name in shares] == [1.0, 0.0, 0.5, 0.5]
    assert [grey["before"][name] for name in shares] == [0.5, 1.0, 0.0, 0.0]
    assert (grey["refused_plain"], grey["refused_plain_n"]) == (0.5, 2)
    assert (grey["after"]["refused_anew"], grey["after"]["refused_anew_n"]) == (0.0, 1)
    assert grey["after"]["flagged_ci"] == pytest.approx((0.342, 1.0), abs=0.001)
    assert grey["succeeded"] is None
    by_method = {row["method"]: row for row in found["methods"]}
    assert by_method.keys() >= {"plain", "full", "before"}
    assert (by_method["full"]["hazard_n"], by_method["full"]["safe_n"]) == (3, 2)
    told = [by_method["full"][name] for name in ("unsafe", "unsafe_shown", "over_refusal")]
    assert told == pytest.approx([2 / 3, 1 / 3, 1 / 2])
    assert by_method["before"]["unsafe"] == 1.0
    pooled = found["pooled"]
    assert (pooled["hazard_n"], pooled["safe_n"]) == (3, 2)
    assert pooled["after"]["unsafe_shown"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("attack", "reached"),
    [
        ("gradient:image/4", [True, False, True]),
        ("gradient:answer/8", [True, True, False]),
        ("gradient:both/8", [True, False, False]),
        ("gradient:adaptive/4", [True, False, False]),
    ],
)
def test_an_attack_along_gradients_succeeds_where_its_aim_is_reached(
    attack: str, reached: list[bool]
) -> None:
    """Under the policy of before: not flagged, an unsafe plain answer, or both."""
    cases = [
        attacked(1, attack, full=REFUSAL, before=0.05),
        attacked(2, attack, full=REFUSAL, before=0.3),
        attacked(3, attack, full=REFUSAL, before=0.05, plain=HELPFUL),
    ]
    for case, expected in zip(cases, reached, strict=True):
        both = case.model_copy(update={"answers": {**case.answers, "before": REFUSAL}})
        found = attacks([both])
        assert found is not None
        assert found["each"][0]["succeeded"] == float(expected)
        assert found["pooled"] is None


def test_nothing_attacked_has_no_figures() -> None:
    assert attacks([record(1, full=REFUSAL)]) is None
    assert attacks([attacked(1, "grey")]) is None  # no guard was asked
