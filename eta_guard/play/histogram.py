"""A threshold among the scores of known cases: bars, one colour for each kind of case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eta_guard.play.scores import Score
from eta_guard.play.settings import Dial

BARS = 40
KINDS = {"image": "pictures", "response": "answers"}


@dataclass(frozen=True)
class Bar:
    """Cases with about the same score; heights are shares of the tallest bar, in percent."""

    left: float
    width: float
    safe: float
    hazardous: float


@dataclass(frozen=True)
class Histogram:
    """All that is drawn."""

    name: str
    kind: str
    """What the scores are of."""
    bars: Sequence[Bar]
    limit: float
    """Where the threshold stands, in percent of the width."""
    unsafe_above: bool
    flagged: tuple[int, int]
    """How many of the hazardous cases are flagged, and of the safe ones."""
    there: tuple[int, int]
    """How many there are of either."""
    complete: bool


def histogram(
    dial: Dial, threshold: float, scores: Sequence[Score], *, complete: bool
) -> Histogram:
    """Sorts scores into bars over the range of a dial.

    Args:
        dial: Says over which range, and which side is unsafe.
        threshold: Where it stands now.
        scores: Of known cases.
        complete: Whether there are no more to come.
    """
    spread = dial.high - dial.low
    counted = [[0, 0] for _ in range(BARS)]
    for score in scores:
        place = int((score.value - dial.low) / spread * BARS)
        counted[min(max(place, 0), BARS - 1)][score.hazardous] += 1
    tallest = max((sum(pair) for pair in counted), default=0) or 1
    bars = [
        Bar(100 * n / BARS, 100 / BARS, 100 * safe / tallest, 100 * hazardous / tallest)
        for n, (safe, hazardous) in enumerate(counted)
        if safe or hazardous
    ]

    def flags(value: float) -> bool:
        return value >= threshold if dial.unsafe == "above" else value <= threshold

    kinds = [[s.value for s in scores if s.hazardous is kind] for kind in (True, False)]
    return Histogram(
        dial.evaluator,
        KINDS[dial.kind],
        bars,
        100 * min(max((threshold - dial.low) / spread, 0.0), 1.0),
        dial.unsafe == "above",
        (sum(map(flags, kinds[0])), sum(map(flags, kinds[1]))),
        (len(kinds[0]), len(kinds[1])),
        complete,
    )
