"""The small world's cases: a question, mostly with a picture, and what is in it.

A case is a function of its seed. Splits have seeds, question templates and typographic
phrases of their own; figures are reported on `held_out`, settings are chosen on `validation`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

from PIL import Image, ImageChops

from eta_guard.embedded.backgrounds import colours, paint_background
from eta_guard.embedded.objects import BY_NAME, HAZARDOUS_OBJECTS, SAFE_OBJECTS
from eta_guard.embedded.pictograms import pictogram
from eta_guard.embedded.questions import Split, about_picture, naming
from eta_guard.embedded.typography import typographic

Kind = Literal["pictogram", "typographic", "text_only"]

SEEDS: dict[Split, range] = {
    "train": range(100_000_000),
    "validation": range(100_000_000, 101_000_000),
    "held_out": range(101_000_000, 102_000_000),
}
"""Seeds of each split; no seed belongs to two."""

_TYPOGRAPHIC_SHARE = 0.4


@dataclass(frozen=True)
class Case:
    """One question to the guarded model, and what a judge must know of it."""

    seed: int
    """What everything else follows from."""
    object: str
    """The thing shown, or named in the question: a key of `objects.BY_NAME`."""
    hazardous: bool
    """Whether that thing is a hazard."""
    kind: Kind
    """How the thing comes in: as an icon, as written text, or in the question alone."""
    question: str
    """The user's words."""
    image: Image.Image | None
    """An RGB picture; None exactly when `kind` is "text_only"."""
    beside: tuple[str, ...] = ()
    """What else the picture shows: keys of `objects.BY_NAME`, none of them a hazard."""


def split_of(seed: int) -> Split:
    """Name the split that a seed belongs to.

    Raises:
        ValueError: The seed belongs to none.
    """
    for split, seeds in SEEDS.items():
        if seed in seeds:
            return split
    raise ValueError(f"seed {seed} is outside every split of {SEEDS}")


def make_case(
    seed: int,
    *,
    hazardous: bool,
    kind: Kind,
    name: str | None = None,
    size: int = 192,
    instead: str | None = None,
) -> Case:
    """Build the case of one seed.

    Args:
        seed: A seed of `SEEDS`; its split decides the templates.
        hazardous: Whether to draw from the hazardous classes.
        kind: How the thing comes in.
        name: The class, where it is not left to the seed.
        size: Width and height of the picture in pixels.
        instead: A class that a picture shows in the place of that one, all else unchanged; the
            case is about it then, and as hazardous as it is. See `twins.twin`.

    Raises:
        ValueError: The seed belongs to no split.
    """
    split = split_of(seed)
    rng, drawn = _begun(seed, hazardous, kind)
    meant = drawn if name is None else name
    thing = meant if instead is None else instead
    image: Image.Image | None = None
    if kind == "text_only":
        question = naming(split, thing, hazardous, rng)
    else:
        question = about_picture(split, rng)
        if kind == "typographic":
            image = typographic(thing, rng, size, split, box_of=meant)
        else:
            image = pictogram(thing, rng, size)
    return Case(seed, thing, BY_NAME[thing].hazardous, kind, question, image)


def _begun(seed: int, hazardous: bool, kind: Kind) -> tuple[Random, str]:
    """The source of a case's choices, and the first of them: its class."""
    rng = Random(f"{seed}/{hazardous}/{kind}")
    return rng, rng.choice(HAZARDOUS_OBJECTS if hazardous else SAFE_OBJECTS).name


def place_of(case: Case) -> tuple[float, float, float, float] | None:
    """Where in its picture a case's thing, or what is written of it, lies.

    Args:
        case: As `make_case` makes it, without `instead`; those of `hard_pairs` are drawn otherwise.

    Returns:
        The box around all pixels that are not the background's: left, top, right and bottom edge,
        in shares of the picture's sides. None of a case without a picture.
    """
    if case.image is None:
        return None
    rng, _ = _begun(case.seed, case.hazardous, case.kind)
    about_picture(split_of(case.seed), rng)
    size = case.image.width
    bare = paint_background(colours(rng).paper, rng, size)
    box = ImageChops.difference(case.image, bare).getbbox()
    if box is None:
        return None
    left, top, right, bottom = (edge / size for edge in box)
    return left, top, right, bottom


def cases(
    split: Split = "held_out", *, hazardous: int = 400, safe: int = 400, text_only: int = 100
) -> Iterator[Case]:
    """Yield the cases of a measurement, always the same ones for the same numbers.

    Two fifths of the pictures are typographic, among hazardous and safe ones alike, and the
    classes take turns.

    Args:
        split: Whose seeds and templates to use.
        hazardous: Number of hazardous pictures, each with an innocent question.
        safe: Number of safe pictures with questions from the same templates.
        text_only: Number of hazards named in the question, without a picture.
    """
    first = SEEDS[split].start
    for is_hazard, count in ((True, hazardous), (False, safe)):
        things = HAZARDOUS_OBJECTS if is_hazard else SAFE_OBJECTS
        for index in range(count):
            # A class meets both kinds: the kind depends on the round, not on the class.
            turn, place = divmod(index, len(things))
            written = (turn * 2 + place) % 5 < _TYPOGRAPHIC_SHARE * 5
            kind: Kind = "typographic" if written else "pictogram"
            yield make_case(first + index, hazardous=is_hazard, kind=kind, name=things[place].name)
    for index in range(text_only):
        name = HAZARDOUS_OBJECTS[index % len(HAZARDOUS_OBJECTS)].name
        yield make_case(first + index, hazardous=True, kind="text_only", name=name)
