"""An attack: a name, a line about it, and what it makes of a case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from io import BytesIO
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from eta_guard.errors import InputError
from eta_guard.evaluation.cases import SuiteCase
from eta_guard.policy import GuardPolicy
from eta_guard.request.images import decode_image

if TYPE_CHECKING:
    from eta_guard.evaluation.attacks.white_box import WhiteBox

Group = Literal[
    "transformations",
    "typography",
    "transparency",
    "resampling",
    "suffixes",
    "dialogues",
    "gradients",
]


@dataclass(frozen=True)
class Surroundings:
    """What an attack may look at beside its case."""

    safe: Sequence[SuiteCase]
    """Safe cases of the suite that have a picture: tiles of a mosaic, a cover to hide under."""
    policy: GuardPolicy = field(default_factory=GuardPolicy)
    """Of the guard that is attacked, whose thresholds an attacker of its models may know."""
    kept: dict[str, Any] = field(default_factory=dict)
    """What was found for a case and is used on its twin as well, by the attacked case's id."""

    @cached_property
    def white_box(self) -> WhiteBox:
        """The small models, open to gradients; loaded when first asked for."""
        from eta_guard.evaluation.attacks.white_box import WhiteBox

        return WhiteBox.embedded()

    def others(self, case: SuiteCase, rng: Random, count: int) -> list[SuiteCase]:
        """Safe cases about other things than this one's, drawn alike for a hazard and its twin.

        Args:
            case: Neither it nor its twin is drawn.
            rng: Source of the choice.
            count: How many.

        Raises:
            InputError: There are too few.
        """
        pair = case.twin_of or case.id
        free = [one for one in self.safe if pair not in (one.id, one.twin_of)]
        if len(free) < count:
            raise InputError(
                f"The attack needs {count} safe pictures beside case {case.id}; there are"
                f" {len(free)}.",
                hint="Ask a suite with more safe cases that have a picture.",
            )
        return rng.sample(free, count)


Apply = Callable[[SuiteCase, Random, Surroundings], SuiteCase]


@dataclass(frozen=True)
class Attack:
    """One way to get past a guard, at one strength."""

    name: str
    """With the strength, as in ``turned:90``."""
    group: Group
    line: str
    """Says what it does."""
    apply: Apply
    """Makes the attacked case; every choice is drawn from the ``Random`` that it is given."""

    @property
    def needs_gradients(self) -> bool:
        """Whether it looks into the models; then it stands in no pooled figure."""
        return self.group == "gradients"

    def __call__(self, case: SuiteCase, around: Surroundings) -> SuiteCase:
        """The attacked case, a twin still the twin of the hazard that was attacked alike."""
        rng = Random(f"{self.name}/{case.twin_of or case.id}")
        attacked = self.apply(case, rng, around)
        twin_of = case.twin_of and attacked_id(case.twin_of, self.name)
        name = attacked_id(case.id, self.name)
        # A picture that was turned or set in a mosaic has its hazard elsewhere.
        return replace(attacked, id=name, twin_of=twin_of, attack=self.name, place=None)


def attacked_id(name: str, attack: str) -> str:
    """The id of a case under an attack."""
    return f"{name}+{attack}"


def picture_of(case: SuiteCase) -> Image.Image:
    """The picture of a case, RGB, as the guard reads it.

    Raises:
        InputError: The case has none, or it cannot be read.
    """
    data = case.image_bytes()
    if data is None:
        raise InputError(f"Case {case.id} has no picture.", hint="Attack cases with pictures.")
    return decode_image(data)


def of_picture(change: Callable[[Image.Image, Random], Image.Image]) -> Apply:
    """An attack that changes the pixels alone, which are handed over as a PNG file."""

    def apply(case: SuiteCase, rng: Random, around: Surroundings) -> SuiteCase:
        return replace(case, image=png(change(picture_of(case), rng)))

    return apply


def of_file(write: Callable[[Image.Image], bytes]) -> Apply:
    """An attack that lies in how the picture is written to a file."""

    def apply(case: SuiteCase, rng: Random, around: Surroundings) -> SuiteCase:
        return replace(case, image=write(picture_of(case)))

    return apply


def png(image: Image.Image) -> bytes:
    """The picture as a PNG file, nothing lost."""
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def beside(case: SuiteCase, others: Sequence[SuiteCase]) -> SuiteCase:
    """The case with others' things in the same picture, of which an answer may speak.

    A case of the embedded world says so to its judge, and what they show is a right answer too.
    """
    if case.origin is None:
        return case
    things = tuple(
        thing
        for one in others
        if one.origin is not None
        for thing in (one.origin.object, *one.origin.beside)
    )
    origin = replace(case.origin, beside=(*case.origin.beside, *things))
    return replace(case, origin=origin, truth=(*case.truth, *things) if case.truth else ())
