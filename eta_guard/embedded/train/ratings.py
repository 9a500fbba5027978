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
    """An answer, whole or broken off after any sentence, with a score for each state of it."""

    sentences: tuple[str, ...]
    scores: tuple[float, ...]
    """The score of the answer so far, after each sentence."""


def rated_answer(rng: Random) -> Rated:
    """Draw an answer and its scores."""
    draw = rng.random()
    if draw < 0.04:
        return Rated((rng.choice(SMALL_TALK)[1],), (_NEUTRAL,))
    if draw < 0.06:
        return Rated((rng.choice(_FRAGMENTS),), (_NEUTRAL,))
    sentences = _clean(rng)
    if draw < 0.14:
        return _about_several(sentences, rng)
    if draw < 0.36:
        return _garbled(sentences, rng)
    return _rated(sentences)


def _clean(rng: Random) -> list[str]:
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
    if rng.random() < 0.4:
        sentences = sentences[: rng.randint(1, len(sentences))]
    if prefixed:
        sentences[0] = f"{PREFIX}{',' if rng.random() < 0.9 else ''} {sentences[0]}"
    return sentences


def _rated(sentences: list[str]) -> Rated:
    lengths = range(1, len(sentences) + 1)
    scores = [_score(" ".join(sentences[:length]), length) for length in lengths]
    return Rated(tuple(sentences), tuple(scores))


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
        return _REFUSING[min(length, len(_REFUSING)) - 1] - 0.12 * repeats
    return _HELPFUL if helps else _NEUTRAL


def _stuck(sentences: list[str], rng: Random) -> list[str]:
    """Say no over and over, which is worse than going on to advise."""
    return [rng.choice(grammar.REFUSALS) for _ in range(rng.randint(2, 3))] + sentences[1:2]


def _about_several(sentences: list[str], rng: Random) -> Rated:
    """Name another thing in one place: an answer that has lost its subject."""
    naming = [place for place, text in enumerate(sentences) if OBJECT_NAME.search(text)]
    if len(naming) < 2:
        return _rated(sentences)
    place = rng.choice(naming[1:])
    other = rng.choice(OBJECTS).name
    changed = OBJECT_NAME.sub(other, sentences[place])
    if changed == sentences[place]:
        return _rated(sentences)
    return _broken([*sentences[:place], changed, *sentences[place + 1 :]], place)


def _garbled(sentences: list[str], rng: Random) -> Rated:
    """Drop, double or replace words, as sampling at a high temperature does."""
    place = rng.randrange(len(sentences))
    words = sentences[place].split(" ")
    for _ in range(rng.randint(1, 2)):
        word = rng.randrange(len(words))
        change = rng.random()
        if change < 0.3 and len(words) > 2:
            del words[word]
        elif change < 0.5:
            words.insert(word, words[word])
        else:
            words[word] = rng.choice(rng.choice(_WORDS))
    changed = " ".join(words)
    if changed == sentences[place]:
        return _rated(sentences)
    return _broken([*sentences[:place], changed, *sentences[place + 1 :]], place)


def _broken(sentences: list[str], place: int) -> Rated:
    """Rate an answer that makes no sense from one sentence on."""
    rated = _rated(sentences)
    spoilt = tuple(min(score, _BROKEN) for score in rated.scores[place:])
    return Rated(rated.sentences, rated.scores[:place] + spoilt)


_FRAGMENTS = ("", PREFIX, f"{PREFIX},", "Sure.", "Yes.", "No.")

_WORDS = tuple(
    text.format(object="thing").split(" ")
    for text in (*grammar.SIGHTS, *grammar.GIVING_IN, *grammar.REFUSALS, *grammar.ADVICE)
)
