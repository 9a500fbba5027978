"""A text in parts that overlap, where a model cannot hold it whole."""

from __future__ import annotations

from collections.abc import Callable

from eta_guard.errors import EvaluationError

_FEWEST = 8
"""Characters of a part that still says something."""


def windows(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Parts of a text from its beginning to its end, as few as may be.

    Each begins in the middle of the one before, between two words where there are some: what is no
    longer than half a part stands in one of them whole.

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
            end = _between_words(text, start + width // 2, start + width)
        found.append(text[start:end])
        if end == len(text):
            return found
        start, width = _between_words(text, start + 1, (start + end) // 2), (end - start) * 5 // 4


def _between_words(text: str, first: int, last: int) -> int:
    """The last place up to ``last`` at which no word is cut; ``last`` where there is none."""
    at = max(text.rfind(" ", first, last), text.rfind("\n", first, last))
    return at if at > 0 else last
