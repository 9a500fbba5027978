"""Fits the offsets of views on the scores of safe pictures. Nothing here knows of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eta_guard.errors import InputError
from eta_guard.evaluation.views.lowering import Lowering
from eta_guard.evaluation.views.rules import PictureScores, Rules
from eta_guard.view_names import VIEW_NAMES, ViewName

MORE_ALARMS = 0.1
"""Share of safe pictures that the default views may flag beside those that the published view
flags. Such a picture costs an evaluation of its answer, which goes out unchanged if that is safe;
where pictures alone decide (``on_unsafe_image="block"``), ask for less."""

ENCODES = 2.0
"""How many views of a safe picture may be encoded on average, in published views."""


def fit(
    usual: Sequence[PictureScores],
    further: Sequence[PictureScores],
    hidden: Sequence[PictureScores],
    *,
    threshold: float,
    kinds: Sequence[ViewName],
    more_alarms: float = MORE_ALARMS,
    encodes: float = ENCODES,
) -> Rules:
    """Fits the margin of the clearly safe, and the offsets.

    The margin is the lowest at which usual pictures keep to ``encodes``. The offsets are then those
    at which most of what is hidden is found for so many false alarms; see ``Lowering``.

    Args:
        usual: Safe pictures as requests have them.
        further: More safe pictures, such as twins of hazardous ones; they count for the alarms.
        hidden: Hazardous pictures, hidden in several ways.
        threshold: At which a score is unsafe.
        kinds: The views that are to keep to both. The others have as many alarms once more.
        more_alarms: Share of safe pictures, in [0, 1], that are flagged beside those that the
            published view flags.
        encodes: Of the published view's, at least 1.

    Raises:
        InputError: There are no usual or no hidden pictures.
    """
    if not usual or not hidden:
        raise InputError(
            f"There are {len(usual)} safe pictures and {len(hidden)} hazardous ones.",
            hint="Fit views on suites that have both.",
        )
    asked = tuple(kind for kind in kinds if kind != "whole")
    rules = Rules(asked, _clear(usual, asked, encodes), {}, threshold)
    every = [*usual, *further]
    lowering = Lowering(rules, every, hidden)
    room = int(more_alarms * len(every))
    lowering.lower([kind for kind in VIEW_NAMES if kind in asked], room)
    lowering.lower([kind for kind in VIEW_NAMES if kind not in asked], 2 * room)
    return replace(rules, offsets=lowering.offsets)


def _clear(usual: Sequence[PictureScores], kinds: tuple[ViewName, ...], encodes: float) -> float:
    room = encodes * sum(one.published_views for one in usual)
    # A thousandth above a picture's own doubt the picture is clearly safe.
    candidates = sorted({round(one.doubt + 0.0005, 3) + 0.001 for one in usual})
    for clear in (-1.0, *candidates):
        rules = Rules(kinds, clear, {}, 1.0)
        if sum(map(rules.encodes, usual)) <= room:
            break
    return round(clear, 3)
