"""Answers with the scores that the reward model learns to give them.

The scores lie around the paper's response threshold, 0.06. Refusals with advice stand
highest, so that best-of-N prefers them to describing some other, harmless thing; it is the
gate on the image that keeps answers about safe pictures as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from eta_guard.embedded import dialogues, grammar
from eta_guard.embedded.judge import OBJECT_NAME
from eta_guard.embedded.objects import HAZARDOUS_OBJECTS, OBJECTS, SAFE_OBJECTS
from eta_guard.embedded.train.small_talk import SMALL_TALK
from eta_guard.prompts import PREFIX

UNSAFE = -0.2
_BROKEN = -0.05
_NEUTRAL = 0.14
_HELPFUL = 0.22
_REFUSING = (0.32, 0.35, 0.38, 0.40, 0.42, 0.42)
"""By the number of sentences so far: an answer that goes on to warn and advise gains."""


@dataclass(frozen=True)
class Rated:
    """An answer, whole or broken off after any sentence, and its score."""

    answer: str
    score: float


def rated_answer(rng: Random) -> Rated:
    """Draw an answer and its score."""
    draw = rng.random()
    if draw < 0.05:
        return Rated(rng.choice(SMALL_TALK)[1], _NEUTRAL)
    if draw < 0.07:
        return Rated(rng.choice(("", PREFIX, f"{PREFIX},", "Sure.", "Yes.", "No.")), _NEUTRAL)
    rated = _clean(rng)
    if draw < 0.12:
        return _about_several(rated, rng)
    if draw < 0.27:
        return _garbled(rated, rng)
    return rated


def _clean(rng: Random) -> Rated:
    prefixed = rng.random() < 0.5
    draw = rng.random()
    if draw < 0.3:
        sentences = dialogues.helpful(
            rng.choice(SAFE_OBJECTS), rng, seen=rng.random() < 0.8, prefixed=prefixed
        )
    elif draw < 0.34:
        sentences = dialogues.refusal(rng.choice(SAFE_OBJECTS), rng)
    elif draw < 0.38:
        sentences = dialogues.helpful(
            rng.choice(HAZARDOUS_OBJECTS), rng, seen=True, prefixed=prefixed
        )
    elif draw < 0.6:
        sentences = dialogues.refusal(rng.choice(HAZARDOUS_OBJECTS), rng)
        if rng.random() < 0.2:
            sentences = _stuck(sentences, rng)
    else:
        answer = dialogues.prefixed_answer_to_hazard if prefixed else dialogues.answer_to_hazard
        sentences = answer(rng.choice(HAZARDOUS_OBJECTS), rng, presses=rng.random() < 0.5)
    if rng.random() < 0.5:
        sentences = sentences[: rng.randint(1, len(sentences))]
    text = " ".join(sentences)
    if prefixed:
        text = f"{PREFIX}, {text}" if rng.random() < 0.9 else f"{PREFIX} {text}"
    return Rated(text, _score(text, len(sentences)))


def _score(text: str, length: int) -> float:
    names = {name.lower() for name in OBJECT_NAME.findall(text)}
    hazardous = any(thing.name in names for thing in HAZARDOUS_OBJECTS)
    refuses = grammar.REFUSAL_MARKER.search(text) is not None
    helps = grammar.HELPFUL_MARKER.search(text) is not None
    if grammar.UNSAFE_MARKER.search(text) or (helps and hazardous):
        return UNSAFE
    if refuses:
        if names and not hazardous:
            return _BROKEN
        repeats = len(grammar.REFUSAL_MARKER.findall(text)) - 1
        return _REFUSING[length - 1] - 0.12 * repeats
    return _HELPFUL if helps else _NEUTRAL


def _stuck(sentences: list[str], rng: Random) -> list[str]:
    """Say no over and over, which is worse than going on to advise."""
    return [rng.choice(grammar.REFUSALS) for _ in range(rng.randint(2, 3))] + sentences[1:2]


def _about_several(rated: Rated, rng: Random) -> Rated:
    """Name another thing in one place: an answer that has lost its subject."""
    places = list(OBJECT_NAME.finditer(rated.answer))
    if len(places) < 2:
        return rated
    place = rng.choice(places)
    others = [thing.name for thing in OBJECTS if thing.name != place.group()]
    answer = rated.answer[: place.start()] + rng.choice(others) + rated.answer[place.end() :]
    return Rated(answer, min(rated.score, _BROKEN))


def _garbled(rated: Rated, rng: Random) -> Rated:
    """Drop, double or swap words, as sampling at a high temperature does."""
    words = rated.answer.split(" ")
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(words))
        change = rng.random()
        if change < 0.3 and len(words) > 2:
            del words[place]
        elif change < 0.5:
            words.insert(place, words[place])
        else:
            words[place] = rng.choice(rng.choice(_WORDS))
    answer = " ".join(words)
    return Rated(answer, min(rated.score, _BROKEN)) if answer != rated.answer else rated


_WORDS = tuple(
    text.format(object="thing").split(" ")
    for text in (*grammar.SIGHTS, *grammar.GIVING_IN, *grammar.REFUSALS, *grammar.ADVICE)
)
