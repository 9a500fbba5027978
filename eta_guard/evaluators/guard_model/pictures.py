"""What is to be asked about pictures, and what becomes of the scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL.Image import Image

from eta_guard.evaluators.bounded_cache import BoundedCache
from eta_guard.evaluators.guard_model.asking import Asked, Asking
from eta_guard.evaluators.guard_model.verdict import worst
from eta_guard.evaluators.pixel_hash import pixel_hash
from eta_guard.protocols.evaluators import Finding

Key = tuple[bytes, str]
"""Pixels and question of a picture that was asked about."""
KeptFindings = BoundedCache[Key, Finding]


@dataclass(frozen=True)
class PicturePlan:
    """The pictures of one evaluation, those that were asked about before among them."""

    keys: list[Key]
    new: dict[Key, list[Asked]]
    known: dict[Key, Finding]
    kept: KeptFindings

    @classmethod
    def of(
        cls, images: Sequence[Image], question: str, asking: Asking, kept: KeptFindings
    ) -> PicturePlan:
        """Plans what to ask: each picture once, and only if its score is not kept."""
        keys = [(pixel_hash(image), question) for image in images]
        known = {key: found for key in keys if (found := kept.get(key)) is not None}
        new = {
            key: asking.about_picture(image, question)
            for key, image in zip(keys, images, strict=True)
            if key not in known
        }
        return cls(keys, new, known, kept)

    @property
    def asked(self) -> list[Asked]:
        """The questions, in the order in which ``findings`` takes their scores."""
        return [asked for several in self.new.values() for asked in several]

    def findings(self, scores: Sequence[float]) -> list[Finding]:
        """One finding a picture; those with a score are kept."""
        rest = iter(scores)
        found = dict(self.known)
        for key, asked in self.new.items():
            found[key] = _finding(asked, [next(rest) for _ in asked])
            if not math.isnan(found[key].score):
                self.kept.put(key, found[key])
        return [found[key] for key in self.keys]


def _finding(asked: Sequence[Asked], scores: Sequence[float]) -> Finding:
    score = worst(scores)
    if math.isnan(score):
        return Finding(score)
    return Finding(score, category=asked[scores.index(score)].policy or None)
