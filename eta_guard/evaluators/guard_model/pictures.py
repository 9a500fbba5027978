"""What is to be asked about pictures, and what becomes of the scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL.Image import Image

from eta_guard.evaluators.guard_model.asking import Asked, Asking
from eta_guard.evaluators.guard_model.verdict import worst
from eta_guard.evaluators.kept_findings import KeptFindings, Wanted
from eta_guard.protocols.evaluators import Finding


@dataclass(frozen=True)
class PicturePlan:
    """The pictures of one evaluation, those that were asked about before among them."""

    wanted: Wanted
    new: list[list[Asked]]
    """What is asked about each picture of which nothing is known."""

    @classmethod
    def of(
        cls, images: Sequence[Image], question: str, asking: Asking, kept: KeptFindings
    ) -> PicturePlan:
        """Plans what to ask: each picture once, and only if its score is not kept."""
        wanted = kept.of(images, question)
        return cls(wanted, [asking.about_picture(image, question) for image in wanted.missing])

    @property
    def asked(self) -> list[Asked]:
        """The questions, in the order in which ``findings`` takes their scores."""
        return [asked for several in self.new for asked in several]

    def findings(self, scores: Sequence[float]) -> list[Finding]:
        """One finding a picture; those with a score are kept."""
        rest = iter(scores)
        return self.wanted.with_new(
            [_finding(asked, [next(rest) for _ in asked]) for asked in self.new]
        )


def _finding(asked: Sequence[Asked], scores: Sequence[float]) -> Finding:
    score = worst(scores)
    if math.isnan(score):
        return Finding(score)
    return Finding(score, category=asked[scores.index(score)].policy or None)
