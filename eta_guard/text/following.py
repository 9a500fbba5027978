"""An answer as it grows: its first sentence end, and what of it may be told."""

from __future__ import annotations

from eta_guard.protocols import Generation, Watch
from eta_guard.text.sentences import first_boundary, is_finished


def sentence_end(text: str) -> int | None:
    """The offset just after the first sentence of a continuation, or None while it is undecided.

    White space before a sentence is part of it, and a newline there ends nothing.
    """
    blank = len(text) - len(text.lstrip())
    boundary = first_boundary(text[blank:])
    return None if boundary is None else blank + boundary


def is_whole_sentence(text: str) -> bool:
    """Whether a continuation after which the model would end the answer is a whole sentence.

    Such an end is look-ahead only, as in the published code: the answer is over where a next
    sentence that is empty is the best one. What ends in the middle of a sentence ends the answer.
    """
    return is_finished(text.lstrip())


def stop_start(before: str, text: str, stop: tuple[str, ...]) -> int | None:
    """The offset in ``text`` at which the first stop text begins, or None.

    Args:
        before: What stands before ``text``; a stop text that begins in it begins at 0.
        text: A continuation so far.
        stop: The stop texts.
    """
    overlap = max((len(one) for one in stop), default=1) - 1
    tail = before[-overlap:] if overlap else ""
    places = [at for at in ((tail + text).find(one) for one in stop) if at >= 0]
    return max(min(places) - len(tail), 0) if places else None


class Follower:
    """Tells a watch how a text grows, and never what may still be taken back."""

    def __init__(self, watch: Watch, generation: Generation) -> None:
        """Prepares to follow.

        Args:
            watch: Is told.
            generation: Has the texts before which the answer will be cut; what may be the beginning
                of one waits.
        """
        self._watch, self._generation, self._told = watch, generation, ""

    def stops(self, text: str) -> bool:
        """Tells what is new in ``text``, the answer so far; whether the watch ends it there."""
        # The answer's own ends are stripped.
        return self._tell(self._generation.settled(text).strip())

    def finish(self, text: str) -> None:
        """Tells the whole of the answer."""
        self._tell(text)

    def _tell(self, text: str) -> bool:
        if len(text) <= len(self._told):
            return False
        self._told = text
        return self._watch(text)
