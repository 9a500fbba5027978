"""Findings that are kept by picture and question, since agents resend their history."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL.Image import Image

from eta_guard.evaluators.bounded_cache import BoundedCache
from eta_guard.evaluators.pixel_hash import pixel_hash
from eta_guard.protocols import Finding


class KeptFindings:
    """The findings of one evaluator. Threads may share it.

    Args:
        size: Most findings kept.
    """

    def __init__(self, size: int) -> None:
        self._kept: BoundedCache[tuple[bytes, str], Finding] = BoundedCache(size)

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, images: Sequence[Image], question: str = "") -> Wanted:
        """What is known of these pictures.

        Args:
            images: Pictures; other modes than RGB are converted.
            question: What the findings depend on beside the pixels.
        """
        return Wanted(self._kept, images, question)


class Wanted:
    """Pictures that are evaluated in one call, of which some may be known."""

    def __init__(
        self,
        kept: BoundedCache[tuple[bytes, str], Finding],
        images: Sequence[Image],
        question: str,
    ) -> None:
        self._kept = kept
        pictures = [image.convert("RGB") for image in images]
        self._keys = [(pixel_hash(picture), question) for picture in pictures]
        self._found = {key: kept.get(key) for key in self._keys}
        self._missing = {
            key: picture
            for key, picture in zip(self._keys, pictures, strict=True)
            if self._found[key] is None
        }

    @property
    def missing(self) -> list[Image]:
        """The pictures, as RGB, of which nothing is known; each of them once."""
        return list(self._missing.values())

    def with_new(self, findings: Sequence[Finding]) -> list[Finding]:
        """One finding a picture, in the order in which they were given.

        Args:
            findings: Of the missing ones, in their order; they are kept.
        """
        for key, new in zip(self._missing, findings, strict=True):
            self._found[key] = new
            if math.isfinite(new.score):  # what failed once is asked again
                self._kept.put(key, new)
        return [finding for key in self._keys if (finding := self._found[key]) is not None]
