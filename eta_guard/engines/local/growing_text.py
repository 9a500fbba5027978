"""The text of ids that come one at a time, each at the cost of a few, however long the text is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

CONTEXT = 16
"""Ids before those that are decoded: alone, a first token would lose its space."""


class GrowingText:
    """Decodes the last ids only, and gives what decoding all of them would."""

    def __init__(self, decode: Callable[[Sequence[int]], str], before: Sequence[int]) -> None:
        """Begins after other ids, whose text is left out.

        Args:
            decode: Token ids to text.
            before: What stands before; may be empty.
        """
        self._decode = decode
        self._settled = ""
        self._stand_after(list(before))

    def add(self, token: int) -> str:
        """The whole text with one more id. Half a character at its end is U+FFFD."""
        self._ids.append(token)
        tail = self._decode(self._ids)
        text = self._settled + tail[self._known :]
        # Half a character would be settled as a mark, and never become whole.
        if len(self._ids) >= 2 * CONTEXT and not tail.endswith("\ufffd"):
            self._settled = text
            self._stand_after(self._ids)
        return text

    def _stand_after(self, ids: list[int]) -> None:
        known = self._decode(ids[-CONTEXT:]) if ids else ""
        if known.strip():
            self._ids = ids[-CONTEXT:]
        else:  # special tokens, say, before which a first word would still lose its space
            self._ids, known = ids, self._decode(ids) if ids else ""
        self._known = len(known)
