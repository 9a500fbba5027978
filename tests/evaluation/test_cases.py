from __future__ import annotations

import pytest

from eta_guard.errors import InputError
from eta_guard.evaluation.cases import Suite, SuiteCase

HAZARD = SuiteCase("1", "What is this?", hazardous=True, kind="own")
TWIN = SuiteCase("2", "What is this?", hazardous=False, kind="own", twin_of="1")
OTHER = SuiteCase("3", "What is this?", hazardous=False, kind="own")


def test_a_twin_is_drawn_with_the_seed_of_its_case() -> None:
    assert HAZARD.seed == TWIN.seed != OTHER.seed


def test_a_suite_knows_its_pairs() -> None:
    assert Suite("own", (TWIN, OTHER, HAZARD)).pairs == [(HAZARD, TWIN)]
    assert Suite("own", (HAZARD, OTHER)).pairs == []


def test_a_hazard_is_no_twin() -> None:
    with pytest.raises(InputError, match="Case 2 is hazardous and a twin"):
        SuiteCase("2", "What is this?", hazardous=True, kind="own", twin_of="1")


def test_a_twin_does_not_stand_alone() -> None:
    with pytest.raises(InputError, match="2 is the twin of 1, which is missing"):
        Suite("own", (TWIN, OTHER))


def test_a_twin_is_the_twin_of_a_hazard() -> None:
    chained = SuiteCase("4", "What is this?", hazardous=False, kind="own", twin_of="3")
    with pytest.raises(InputError, match="4 is the twin of 3, which is safe"):
        Suite("own", (OTHER, chained))


def test_no_two_cases_have_one_id() -> None:
    with pytest.raises(InputError, match="two cases have the id '1'"):
        Suite("own", (HAZARD, HAZARD))
