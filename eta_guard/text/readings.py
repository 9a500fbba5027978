"""In how many ways a text may come to be read: as it stands, as it looks, and decoded."""

from __future__ import annotations

from dataclasses import dataclass

from eta_guard.errors import EvaluationError
from eta_guard.text.decoding import decoded
from eta_guard.text.normal_form import normal_form

MOST = 6
"""Most readings of a text. Each is at most as long as the text, so that it costs at most so many
evaluations, however it was made."""

AS_IT_LOOKS = "as it looks"


@dataclass(frozen=True)
class Reading:
    """One way to read a text."""

    name: str
    """What was undone, in that order; empty of the text as it stands."""
    text: str


def readings(text: str) -> list[Reading]:
    """The readings of a text, the one as it stands first; prose in ASCII has no other.

    Each goes on from the one before: what is hidden in base64 may be written in look-alikes, or in
    base64 again.

    Args:
        text: As it was written.

    Raises:
        EvaluationError: It is wrapped so often that there are more than ``MOST``: the innermost
            would not be seen.
    """
    found = [Reading("", text)]
    while True:
        last = found[-1].text
        shown, names = normal_form(last), [AS_IT_LOOKS]
        if shown == last:
            shown, names = decoded(last)
        if shown == last or any(shown == one.text for one in found):
            return found
        if len(found) == MOST:
            raise EvaluationError(
                f"The text can be read in more than {MOST} ways, each within the other.",
                hint="Whoever wrote it hides something; treat it as unsafe.",
            )
        found.append(Reading(", ".join(filter(None, [found[-1].name, *names])), shown))
