"""A suite under attack: the same cases, each treated by one attack or several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from eta_guard.errors import InputError
from eta_guard.evaluation.attacks.attack import Attack, Surroundings
from eta_guard.evaluation.cases import Suite, SuiteCase
from eta_guard.policy import GuardPolicy


def attacked(
    suite: Suite,
    attacks: Sequence[Attack],
    limit: int | None = None,
    policy: GuardPolicy | None = None,
) -> Suite:
    """The cases of a suite that have a picture, attacked.

    Every attack is tried on pictures of its own as far as they go, so that what is told of all
    together rests on as many as can be.

    Args:
        suite: With hazards; a harmless twin is treated as its hazard is.
        attacks: At least one.
        limit: Most hazards of each attack, and as many safe cases; all of them without it.
        policy: Of the guard that is attacked, for attacks that know it.

    Raises:
        InputError: The suite has no hazardous picture, or an attack cannot be made of its cases.
    """
    pictured = [case for case in suite.cases if case.image is not None]
    hazards = [case for case in pictured if case.hazardous]
    safe = [case for case in pictured if not case.hazardous]
    if not hazards:
        raise InputError(
            f"{suite.name} has no hazardous picture.", hint="Attack a suite that has some."
        )
    around = Surroundings(safe, policy or GuardPolicy())
    cases: list[SuiteCase] = []
    for place, attack in enumerate(attacks):
        taken = list(_taken(hazards, place, limit))
        ids = {case.id for case in taken}
        twins = [case for case in safe if case.twin_of in ids]
        beside = twins if suite.pairs else list(_taken(safe, place, limit))
        cases += [attack(case, around) for case in (*taken, *beside)]
    return Suite(suite.name, tuple(cases), suite.split)


def _taken(cases: Sequence[SuiteCase], place: int, limit: int | None) -> Iterator[SuiteCase]:
    """The next cases after those of the attacks before, beginning anew where they end."""
    count = min(limit or len(cases), len(cases))
    first = place * count
    return (cases[(first + step) % len(cases)] for step in islice(range(len(cases)), count))
