"""What is held against what: everything that a guarded answer went through."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

TOLERANCE = 1e-5
"""Scores of the same text with and without a cache differ by some 1e-6 in float32."""


@dataclass(frozen=True)
class Round:
    """The candidates of one sentence, and the one that was kept."""

    texts: tuple[str, ...]
    ended: tuple[bool, ...]
    """Whether the answer would be over after the candidate."""
    rewards: tuple[float, ...]
    similarities: tuple[float | None, ...]
    """None in a round without that term."""
    utilities: tuple[float, ...]
    pick: int


@dataclass(frozen=True)
class Trace:
    """One picture and question, answered."""

    image_score: float | None
    aligned: bool
    draft: str | None
    draft_score: float | None
    """None where the picture is safe, so that nobody asked."""
    rounds: tuple[Round, ...]
    text: str
    """What goes out."""
    final_score: float | None
    """None where the draft went out."""


def differences(left: object, right: object) -> list[str]:
    """Name every place where two traces, or parts of them, differ by more than ``TOLERANCE``."""
    return list(_differences("trace", left, right))


def _differences(name: str, left: object, right: object) -> Iterator[str]:
    if isinstance(left, float) and isinstance(right, float):
        if not math.isclose(left, right, rel_tol=0.0, abs_tol=TOLERANCE):
            yield f"{name}: {left} is not {right}"
    elif isinstance(left, tuple) and isinstance(right, tuple) and len(left) == len(right):
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            yield from _differences(f"{name}[{index}]", one, other)
    elif isinstance(left, Trace | Round) and type(left) is type(right):
        for field in fields(left):
            pair = (getattr(side, field.name) for side in (left, right))
            yield from _differences(f"{name}.{field.name}", *pair)
    elif left != right:
        yield f"{name}: {left!r} is not {right!r}"
