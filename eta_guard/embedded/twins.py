"""The harmless twin of a hazardous picture: another thing in its place, all else unchanged."""

from __future__ import annotations

from random import Random

from eta_guard.embedded.objects import SAFE_OBJECTS
from eta_guard.embedded.world import Case, make_case


def twin(case: Case) -> Case:
    """Draw a hazardous picture again with a safe thing in the hazard's place.

    Seed, question, background, colours, place, size and turn are the same. A written word gives
    way to one of as many letters, in exactly its box.

    Args:
        case: A hazardous case with a picture, as `world.make_case` makes it.

    Raises:
        ValueError: The case is safe, or comes without a picture.
    """
    if not case.hazardous or case.image is None:
        raise ValueError("only a hazardous picture has a twin")
    names = [thing.name for thing in SAFE_OBJECTS]
    if case.kind == "typographic":
        names = [name for name in names if len(name) == len(case.object)]
    return make_case(
        case.seed,
        hazardous=True,
        kind=case.kind,
        name=case.object,
        size=case.image.width,
        instead=Random(f"{case.seed}/twin/{case.kind}").choice(names),
    )
