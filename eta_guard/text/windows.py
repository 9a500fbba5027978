"""A text in parts that overlap, where a model cannot hold it whole."""

from __future__ import annotations

import re
from collections.abc import Callable

from eta_guard.errors import EvaluationError

_SENTENCES, _WORDS = re.compile(r"[.!?。！？]\s+|\n+"), re.compile(r"\s+")
_FEWEST = 8
"""Characters of a part that still says something."""


def windows(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Parts of a text from its beginning to its end, as few as may be.

    Each begins in the middle of the one before, and begins and ends between two sentences where
    there are some, or else between two words: what is no longer than about half a part stands in
    one of them whole.

    Args:
        text: Of any length.
        fits: Whether the model holds a part.

    Returns:
        The text alone if that fits.

    Raises:
        EvaluationError: Not even a few characters fit.
    """
    found: list[str] = []
    start, width = 0, len(text)
    while True:
        end = min(start + width, len(text))
        while not fits(text[start:end]):
            width = (end - start) * 3 // 4
            if width < _FEWEST:
                raise EvaluationError(
                    "The model that evaluates holds no part of the answer beside the question.",
                    hint="Take one with a longer context, or ask shorter questions.",
                )
            end = _cut(text, start + width // 2, start + width)
        found.append(text[start:end])
        if end == len(text):
            return found
        start, width = (
            _cut(text, (3 * start + end) // 4, (start + end) // 2),
            (end - start) * 5 // 4,
        )


def _cut(text: str, first: int, last: int) -> int:
    """The last place from ``first`` to ``last`` at which no sentence is cut, or no word."""
    part = text[first:last]
    for between in (_SENTENCES, _WORDS):
        if ends := [found.end() for found in between.finditer(part)]:
            return first + ends[-1]
    return last
