"""Hazardous pictures that are hard to read, each with a harmless twin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from eta_guard.embedded.difficulties import DIFFICULTIES, OTHERS, Difficulty, hard_picture
from eta_guard.embedded.objects import HAZARDOUS_OBJECTS, SAFE_OBJECTS
from eta_guard.embedded.questions import Split, about_picture
from eta_guard.embedded.world import SEEDS, Case, split_of


@dataclass(frozen=True)
class HardPair:
    """Two cases of one seed and one question that differ in one thing of the picture."""

    difficulty: Difficulty
    """What makes both hard to read."""
    hazard: Case
    """Shows a hazard."""
    twin: Case
    """Shows a safe thing in its place."""


def hard_pairs(split: Split = "held_out", *, count: int = 350) -> Iterator[HardPair]:
    """Yield the pairs of a measurement, always the same ones for the same number.

    Difficulties and hazards take turns: 70 pairs show each hazard once in each difficulty.

    Args:
        split: Whose seeds and question templates to use.
        count: Number of pairs.
    """
    for index in range(count):
        yield make_hard_pair(
            SEEDS[split].start + index,
            DIFFICULTIES[index % len(DIFFICULTIES)],
            HAZARDOUS_OBJECTS[index % len(HAZARDOUS_OBJECTS)].name,
        )


def make_hard_pair(seed: int, difficulty: Difficulty, hazard: str, *, size: int = 192) -> HardPair:
    """Build the pair of one seed.

    Args:
        seed: A seed of `world.SEEDS`; its split decides the question templates.
        difficulty: What makes it hard to read.
        hazard: The hazardous class.
        size: Width and height of the pictures in pixels.

    Raises:
        ValueError: The seed belongs to no split.
    """
    split = split_of(seed)
    rng = Random(f"{seed}/hard/{difficulty}")
    question = about_picture(split, rng)
    # The others are none of them the twin's thing, which would stand there twice.
    safe, *beside = (
        thing.name for thing in rng.sample(SAFE_OBJECTS, 1 + OTHERS.get(difficulty, 0))
    )
    drawing = rng.getstate()

    def case(name: str, *, hazardous: bool) -> Case:
        rng.setstate(drawing)
        image = hard_picture(name, beside, difficulty, rng, size)
        return Case(seed, name, hazardous, "pictogram", question, image, tuple(beside))

    return HardPair(difficulty, case(hazard, hazardous=True), case(safe, hazardous=False))
