"""A suite under attack: pairs stay pairs, and every attack has pictures of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eta_guard.errors import InputError
from eta_guard.evaluation import Suite
from eta_guard.evaluation.attacks.attack import Surroundings
from eta_guard.evaluation.attacks.attacked import attacked
from eta_guard.evaluation.attacks.catalogue import ATTACKS, attacks_named
from eta_guard.evaluation.cases import SuiteCase

BLIND = [attack for attack in ATTACKS.values() if attack.group not in ("gradients", "resampling")]


@pytest.mark.parametrize("attack", BLIND, ids=lambda attack: attack.name)
def test_an_attack_is_the_same_each_time_and_keeps_the_pair(
    attack: object, suite: Suite, around: Surroundings
) -> None:
    apply = ATTACKS[attack.name]  # type: ignore[attr-defined]
    for case in suite.pairs[0]:
        first, second = apply(case, around), apply(case, around)
        assert first == second
        assert first.attack == apply.name
        assert first.seed == apply(suite.pairs[0][0], around).seed
        assert first.messages() != case.messages()


def test_each_attack_takes_the_next_pairs(suite: Suite) -> None:
    names = ["mirrored", "grey", "inverted"]
    found = attacked(suite, attacks_named(names), limit=4)
    assert len(found.cases) == 3 * 8
    assert len(found.pairs) == 12
    before = {name.rpartition("+")[0] for name in (hazard.id for hazard, _ in found.pairs)}
    assert len(before) == 12
    assert {case.attack for case in found.cases} == set(names)


def test_attacks_begin_anew_where_pairs_end(suite: Suite) -> None:
    found = attacked(suite, attacks_named(["mirrored", "grey"]))
    assert len(found.pairs) == 24
    again = attacked(suite, attacks_named(["mirrored", "grey"]), limit=8)
    assert len(again.pairs) == 16


def test_safe_cases_that_are_nobodys_twin_are_attacked_as_well(suite: Suite) -> None:
    loose = Suite("own", tuple(replace(case, twin_of=None) for case in suite.cases))
    found = attacked(loose, attacks_named(["mosaic"]), limit=3)
    assert [case.hazardous for case in found.cases] == [True] * 3 + [False] * 3


def test_groups_and_all_are_names() -> None:
    assert [one.name for one in attacks_named(["dialogues", "mirrored"])] == [
        "mirrored",
        "dialogue:earlier_turn",
        "dialogue:tool_result",
        "dialogue:however",
    ]
    assert {one.group for one in attacks_named(["all"])} == {
        "transformations",
        "typography",
        "transparency",
        "resampling",
        "suffixes",
        "dialogues",
    }
    with pytest.raises(InputError, match="no attack 'magic'") as told:
        attacks_named(["magic"])
    assert "turned:90" in (told.value.hint or "")


def test_a_suite_without_hazardous_pictures_cannot_be_attacked() -> None:
    text = SuiteCase("1", "Question?", hazardous=True, kind="own")
    with pytest.raises(InputError, match="no hazardous picture"):
        attacked(Suite("own", (text,)), attacks_named(["grey"]))


def test_too_few_safe_pictures_are_told(pair: tuple[SuiteCase, SuiteCase]) -> None:
    with pytest.raises(InputError, match="needs 3 safe pictures"):
        attacked(Suite("own", pair), attacks_named(["mosaic"]))
