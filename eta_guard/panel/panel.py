"""Who evaluates for a guard: checked once, when the guard is made."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import getattr_static
from typing import TypeVar

from eta_guard.errors import PolicyError, UnsupportedModelError
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import (
    Evaluator,
    ImageEvaluator,
    Likeness,
    ResponseEvaluator,
    ScalesPictures,
    SeesViews,
)

E = TypeVar("E", bound=Evaluator)


@dataclass(frozen=True)
class Panel:
    """The evaluators of a guard."""

    images: tuple[ImageEvaluator, ...]
    responses: tuple[ResponseEvaluator, ...]
    likeness: Likeness | None
    sides: tuple[int, ...] | None = None
    """To which the chat model's processor scales pictures; None where the engine does not know."""

    @classmethod
    def of(
        cls,
        images: ImageEvaluator | Sequence[ImageEvaluator],
        responses: ResponseEvaluator | Sequence[ResponseEvaluator],
        likeness: Likeness | None,
        policy: GuardPolicy,
        engine: object = None,
    ) -> Panel:
        """Puts together what a caller gives.

        Args:
            images: One or several.
            responses: One or several.
            likeness: The first of the image evaluators that has it, where none is given.
            policy: Names no other evaluators.
            engine: Is asked for the size to which it scales pictures, if it knows that.

        Raises:
            UnsupportedModelError: A part lacks what is asked of its kind, two of a kind have one
                name, or nothing compares pictures with texts where the policy weighs that.
            PolicyError: The policy has a threshold for an evaluator that is not there.
        """
        looking, reading = _several(images, ImageEvaluator), _several(responses, ResponseEvaluator)
        if likeness is None:
            likeness = next((one for one in looking if isinstance(one, Likeness)), None)
        else:
            require(likeness, Likeness)
        searches = policy.search and policy.aligners != {"mask"}
        if likeness is None and searches and policy.alpha:
            raise UnsupportedModelError(
                "None of the image evaluators compares pictures with texts, which the search does.",
                hint="Give likeness=ClipImageEvaluator(...), or set alpha=0 in the policy.",
            )
        for one in looking:
            _require_one_owner(one, reading)
        sides = engine.picture_sides if isinstance(engine, ScalesPictures) else None
        panel = cls(looking, reading, likeness, sides)
        panel.check(policy)
        return panel

    @property
    def ranker(self) -> ResponseEvaluator:
        """Who ranks candidates: the first whose high scores are the good ones, or else the first.

        A guard model's probabilities lie near 0 and 1, and say little about which of two safe
        sentences helps more; a reward model was made to say that.
        """
        good = (one for one in self.responses if one.unsafe == "below")
        return next(good, self.responses[0])

    def check(self, policy: GuardPolicy) -> None:
        """Checks that what the policy says by name is said of somebody who is there.

        Raises:
            PolicyError: There is no evaluator of that name.
        """
        known = [one.name for one in (*self.images, *self.responses)]
        unscored = policy.on_unscored if isinstance(policy.on_unscored, dict) else {}
        for field, named in (("thresholds", policy.thresholds), ("on_unscored", unscored)):
            unknown = sorted(named.keys() - set(known))
            if not unknown:
                continue
            raise PolicyError(
                f"`{field}` of the policy names {', '.join(unknown)}; no evaluator is called so.",
                hint=f"The evaluators of this guard are {', '.join(dict.fromkeys(known))}.",
            )

    @property
    def identity(self) -> list[tuple[str, str, float | None, str, str]]:
        """What two guards differ by whose evaluators decide differently."""
        return [
            (
                one.name,
                one.fingerprint,
                one.threshold,
                one.unsafe,
                one.views_fingerprint if isinstance(one, SeesViews) else "",
            )
            for one in (*self.images, *self.responses)
        ]

    @property
    def models(self) -> dict[str, str]:
        """Fingerprints for the verdict."""
        return {
            "image_evaluator": ", ".join(one.fingerprint for one in self.images),
            "response_evaluator": ", ".join(one.fingerprint for one in self.responses),
        }


def require(part: object, protocol: type) -> None:
    """Checks that a part has all that is asked of its kind.

    What it lacks, met in a request, would count as an evaluation that failed.

    Raises:
        UnsupportedModelError: It says what is lacking.
    """
    wanted = {name for base in protocol.__mro__ for name in vars(base) if name in _asked(base)}
    lacks = sorted(name for name in wanted if not _has(part, name))
    if lacks:
        raise UnsupportedModelError(
            f"{type(part).__name__} is no {protocol.__name__}: it lacks {', '.join(lacks)}.",
            hint="eta_guard.protocols says what each part must have.",
        )


def _has(part: object, name: str) -> bool:
    """Whether a part has something, without asking for it: a fingerprint may be a server's."""
    try:
        getattr_static(part, name)
    except AttributeError:
        return hasattr(part, name)
    return True


def _asked(base: type) -> list[str]:
    """What a protocol asks for; nothing of the classes that all protocols have in common."""
    if not base.__module__.startswith(__name__.partition(".")[0]):
        return []
    return [name for name in vars(base) if not name.startswith("_")]


def _require_one_owner(one: ImageEvaluator, others: Sequence[ResponseEvaluator]) -> None:
    """A name is one evaluator's, be it of both kinds: its threshold goes by that."""
    if any(other.name == one.name and id(other) != id(one) for other in others):
        raise UnsupportedModelError(
            f"Two evaluators have the name {one.name}: one of images, and another of answers.",
            hint="Give each a name of its own: its threshold and its findings go by that.",
        )


def _several(given: E | Sequence[E], protocol: type) -> tuple[E, ...]:
    evaluators: tuple[E, ...] = tuple(given) if isinstance(given, Sequence) else (given,)
    if not evaluators:
        raise UnsupportedModelError(
            f"There is no {protocol.__name__}.", hint="Give at least one of each kind."
        )
    for one in evaluators:
        require(one, protocol)
        if one.threshold is not None and not math.isfinite(one.threshold):
            raise UnsupportedModelError(
                f"The threshold of the evaluator {one.name} is {one.threshold}.",
                hint="Give it a finite one, or none: the policy's is used then.",
            )
    twice = sorted(name for name, n in Counter(one.name for one in evaluators).items() if n > 1)
    if twice:
        raise UnsupportedModelError(
            f"Two evaluators have the name {', '.join(twice)}.",
            hint="Give each a name of its own: its threshold and its findings go by that.",
        )
    return evaluators
