"""Lowers offsets step by step, each time the one that finds most for its false alarms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eta_guard.evaluation.views.rules import PictureScores, Rules
from eta_guard.view_names import VIEW_NAMES, ViewName

STEP = 0.005
HIGHEST = 0.4
"""An offset at which a view finds nothing: no picture is so like a safety prompt."""


class Lowering:
    """The offsets of all kinds of views, which are lowered from where no view finds anything.

    Args:
        rules: How pictures are looked at; their offsets are not read.
        safe: Pictures that are not to be flagged.
        hidden: Pictures that are.
    """

    def __init__(
        self, rules: Rules, safe: Sequence[PictureScores], hidden: Sequence[PictureScores]
    ) -> None:
        self._threshold = rules.threshold
        self._safe = _highest(rules, [one for one in safe if one.published < rules.threshold])
        self._hidden = _highest(rules, [one for one in hidden if one.published < rules.threshold])
        self._offsets = np.full(len(VIEW_NAMES), HIGHEST)
        self._fitted: set[ViewName] = set()

    @property
    def offsets(self) -> dict[ViewName, float]:
        """Of the kinds that were lowered, as far as the safe pictures have such a view."""
        return {
            kind: round(float(self._offsets[VIEW_NAMES.index(kind)]), 3)
            for kind in VIEW_NAMES
            if kind in self._fitted
        }

    def lower(self, kinds: Sequence[ViewName], room: int) -> None:
        """Lowers the offsets of some kinds.

        It ends before all kinds together flag more than ``room`` of the safe pictures. Where
        several steps would find equally many for their alarms, the first of ``kinds`` goes first;
        at the end each goes down as far as that flags nothing more. None falls below 0.
        """
        places = [VIEW_NAMES.index(k) for k in kinds if self._has_view(VIEW_NAMES.index(k))]
        self._fitted |= {VIEW_NAMES[place] for place in places}
        while best := max(
            (step for place in places for step in self._steps(place, room)),
            default=None,
            key=lambda step: step[0],
        ):
            _, place, offset = best
            self._offsets[place] = offset
        for place in places:
            alarms = self._flagged(self._safe, self._offsets)
            while self._offsets[place] > 0:
                tried = self._with(place, max(self._offsets[place] - STEP, 0.0))
                if self._flagged(self._safe, tried) > alarms:
                    break
                self._offsets = tried

    def _steps(self, place: int, room: int) -> list[tuple[float, int, float]]:
        """Lower offsets of one kind: found per alarm, the kind, the offset."""
        found, alarms = (
            self._flagged(pictures, self._offsets) for pictures in (self._hidden, self._safe)
        )
        steps = []
        for offset in np.arange(self._offsets[place] - STEP, -STEP / 2, -STEP):
            tried = self._with(place, max(float(offset), 0.0))
            more = self._flagged(self._safe, tried)
            if more > room:
                break
            if (gain := self._flagged(self._hidden, tried) - found) > 0:
                steps.append((gain / (more - alarms + 0.5), place, float(tried[place])))
        return steps

    def _with(self, place: int, offset: float) -> NDArray[np.float64]:
        changed = self._offsets.copy()
        changed[place] = offset
        return changed

    def _flagged(self, scores: NDArray[np.float64], offsets: NDArray[np.float64]) -> int:
        return int((scores - offsets >= self._threshold).any(axis=1).sum())

    def _has_view(self, place: int) -> bool:
        return bool(np.isfinite(self._safe[:, place]).any())


def _highest(rules: Rules, pictures: Sequence[PictureScores]) -> NDArray[np.float64]:
    """The highest score of each kind of view [pictures, kinds]; minus infinity where unseen."""
    rows = [
        [max(one.views[kind]) if rules.looks_at(one, kind) else -np.inf for kind in VIEW_NAMES]
        for one in pictures
    ]
    return np.array(rows).reshape(len(pictures), len(VIEW_NAMES))
