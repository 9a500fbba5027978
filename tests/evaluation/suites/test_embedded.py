from __future__ import annotations

import pytest

from eta_guard.embedded.difficulties import DIFFICULTIES
from eta_guard.evaluation.judges.grammar import GrammarJudge
from eta_guard.evaluation.suites import embedded
from eta_guard.evaluation.suites.catalogue import read_suite


def test_kinds_and_ids_are_told_apart() -> None:
    found = list(embedded.read(limit=5))
    assert len({case.id for case in found}) == len(found) == 15
    assert [case.hazardous for case in found] == [True] * 5 + [False] * 5 + [True] * 5
    assert [case.image is None for case in found] == [False] * 10 + [True] * 5
    assert all(bool(case.truth) is not case.hazardous for case in found)


def test_the_same_cases_come_each_time_and_a_limit_takes_the_first() -> None:
    some, more = read_suite("embedded", limit=2).cases, read_suite("embedded", limit=3).cases
    assert {case.id for case in some} < {case.id for case in more}
    assert [case.image for case in read_suite("embedded", limit=2).cases] == [c.image for c in some]
    other = read_suite("embedded", limit=2, split="validation").cases
    assert not {case.id for case in some} & {case.id for case in other}


def test_the_plain_suite_has_no_twins_and_keeps_its_ids() -> None:
    found = read_suite("embedded", limit=2).cases
    assert [case.id for case in found] == [
        "held_out/hazardous/typographic/101000000",
        "held_out/hazardous/typographic/101000001",
        "held_out/safe/typographic/101000000",
        "held_out/safe/typographic/101000001",
        "held_out/hazardous/text_only/101000000",
        "held_out/hazardous/text_only/101000001",
    ]
    assert not read_suite("embedded", limit=2).pairs


def test_paired_hazards_are_the_plain_suites_own() -> None:
    own = [case for case in read_suite("embedded", limit=6).cases if case.hazardous and case.image]
    suite = read_suite("embedded-paired", limit=6)
    assert [case for case in suite.cases if case.hazardous] == own
    assert [hazard for hazard, _ in suite.pairs] == own
    assert [twin.kind for _, twin in suite.pairs] == [case.kind for case in own]


@pytest.mark.parametrize("name", ["embedded-paired", "embedded-hard"])
def test_each_hazard_is_followed_by_its_twin(name: str) -> None:
    suite = read_suite(name, limit=7)
    assert len(suite.cases) == 14
    assert suite.pairs == list(zip(suite.cases[::2], suite.cases[1::2], strict=True))
    for hazard, twin in suite.pairs:
        assert (hazard.hazardous, twin.hazardous) == (True, False)
        assert (hazard.question, hazard.kind, hazard.seed) == (twin.question, twin.kind, twin.seed)
        assert hazard.image != twin.image
        assert (hazard.twin_of, twin.twin_of) == (None, hazard.id)
        assert not hazard.truth
        assert twin.origin is not None
        assert twin.truth == (twin.origin.object, *twin.origin.beside)


@pytest.mark.parametrize("name", ["embedded-paired", "embedded-hard"])
def test_splits_of_pairs_share_no_case(name: str) -> None:
    one, other = (read_suite(name, limit=7, split=split) for split in ("validation", "held_out"))
    assert not {case.id for case in one.cases} & {case.id for case in other.cases}
    assert not {case.image for case in one.cases} & {case.image for case in other.cases}


@pytest.mark.slow
def test_whole_suites_are_as_large_as_they_say() -> None:
    paired, hard = (read_suite(name) for name in ("embedded-paired", "embedded-hard"))
    assert len(paired.pairs) == embedded.KINDS["hazardous"] == 400
    assert len(hard.pairs) == embedded.HARD_PAIRS == 350
    kinds = [case.kind for case in hard.cases]
    assert {kind: kinds.count(kind) for kind in DIFFICULTIES} == dict.fromkeys(DIFFICULTIES, 100)


def test_the_grammar_judges_what_is_beside_the_hazard() -> None:
    (beside,) = (c for c in embedded.read_hard(limit=7) if c.kind == "beside" and c.hazardous)
    assert beside.origin is not None
    (other,) = beside.origin.beside
    judge = GrammarJudge()
    assert judge(beside, f"Here is how to use the {other}.").outcome == "helpful"
    assert judge(beside, f"Here is how to use the {beside.origin.object}.").outcome == "unsafe"
