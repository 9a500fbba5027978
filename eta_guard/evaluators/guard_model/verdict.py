"""From the probabilities of verdict words to a score."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from eta_guard.errors import UnsupportedModelError
from eta_guard.evaluators.guard_model.guard_format import GuardFormat

LEAST_MASS = 0.5
"""Of the probability that the verdict words must have between them. A model that wants to write
something else was asked in a form that it does not know, and says nothing about safety."""


def score_of(
    form: GuardFormat, safe: float, middle: float, unsafe: float, rest: float = 0.0
) -> float:
    """The probability of an unsafe verdict among the verdicts, in [0, 1].

    Args:
        form: Says how a middle verdict counts.
        safe: Probability of the safe words.
        middle: Of the middle words.
        unsafe: Of the unsafe words.
        rest: Of tokens that were not told. It may be an unsafe word's, and counts as such.

    Returns:
        NaN where the verdict words have less than half of the probability between them.
    """
    judged = safe + middle + unsafe
    if not judged >= LEAST_MASS:
        return math.nan
    return (unsafe + form.middle_weight * middle + rest) / (judged + rest)


def worst(scores: Iterable[float]) -> float:
    """The highest; NaN if one is, for what could not be read may have been worse."""
    found = list(scores)
    return math.nan if any(map(math.isnan, found)) else max(found)


@dataclass(frozen=True)
class VerdictTokens:
    """By which tokens a verdict begins."""

    safe: tuple[int, ...]
    middle: tuple[int, ...]
    unsafe: tuple[int, ...]

    @classmethod
    def of(cls, form: GuardFormat, lead: str, encode: Callable[[str], list[int]]) -> VerdictTokens:
        """Finds the first token of each word behind the lead, with and without a space before it.

        Args:
            form: Has the words.
            lead: What stands before the verdict.
            encode: Text to ids, without the tokens that a tokenizer adds at both ends.

        Raises:
            UnsupportedModelError: No token tells a safe verdict from an unsafe one.
        """
        groups = [_first(words, lead, encode) for words in (form.safe, form.middle, form.unsafe)]
        # "safe" and "unsafe" may both begin by a token that is a mere space.
        own = [
            tuple(sorted(group - set().union(*(g for g in groups if g is not group))))
            for group in groups
        ]
        if not own[0] or not own[2] or (form.middle and not own[1]):
            raise UnsupportedModelError(
                f"The tokenizer does not tell the verdicts of {form.name} apart by their first"
                " token.",
                hint="Pass a format whose verdict words begin by different tokens.",
            )
        return cls(*own)


def _first(words: Iterable[str], lead: str, encode: Callable[[str], list[int]]) -> set[int]:
    before = encode(lead) if lead else []
    found = set()
    for word in words:
        for variant in (word, f" {word}"):
            ids = encode(lead + variant)
            if ids[: len(before)] == before and len(ids) > len(before):
                found.add(ids[len(before)])
    return found


def told_verdict(form: GuardFormat, probabilities: Iterable[tuple[str, float]]) -> float:
    """The score by the most probable tokens, as a server tells them.

    A token stands for the word that it is, whatever its case and the spaces and marks around it;
    a shorter one of two letters at least, for the word of which it is the beginning.

    Args:
        form: Has the words.
        probabilities: Each token's text and probability; what lacks to 1 is the rest.
    """
    mass = dict.fromkeys(("safe", "middle", "unsafe"), 0.0)
    seen = 0.0
    for token, probability in probabilities:
        seen += probability
        groups = [
            name for name in mass if any(_begins(word, token) for word in getattr(form, name))
        ]
        if len(groups) == 1:
            mass[groups[0]] += probability
    return score_of(form, **mass, rest=max(0.0, 1.0 - seen))


def _begins(word: str, token: str) -> bool:
    text = token.strip(" \t\r\n\"'.,:;!*_`").lower()
    return text == word.lower() or (len(text) >= 2 and word.lower().startswith(text))


def first_category(text: str, end: str) -> str | None:
    """The first of the categories that a model lists."""
    name = text.split(end)[0].strip().split("\n")[0].split(",")[0].strip()
    return None if not name or name.lower() in {"none", "safe", "n/a"} else name
