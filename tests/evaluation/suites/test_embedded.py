from __future__ import annotations

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
