"""Conversations that the chat model is trained on: turns, and which words count in the loss."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from eta_guard.embedded import dialogues, questions
from eta_guard.embedded.objects import HAZARDOUS_OBJECTS, SAFE_OBJECTS, WorldObject
from eta_guard.embedded.train.small_talk import SMALL_TALK, SYSTEM_PROMPTS
from eta_guard.prompts import PREFIX


@dataclass(frozen=True)
class Turn:
    """A question and its answer."""

    question: str
    answer: str
    prefixed: bool
    """Whether the answer begins with the interference prefix, which is no part of the loss:
    the plain model must not learn to say it."""


@dataclass(frozen=True)
class Conversation:
    """One training example."""

    system: str | None
    """Text of a system turn, if there is one."""
    pictured: bool
    """Whether the first question comes with the picture."""
    picture_first: bool
    """Whether the picture stands before the question or behind it."""
    turns: tuple[Turn, ...]


def conversation(thing: WorldObject, rng: Random, *, long: bool) -> Conversation:
    """Draw a conversation about a picture of `thing`, or, at times, without any picture.

    Args:
        thing: What the picture shows.
        rng: Source of every choice.
        long: Whether to draw two turns about the picture; otherwise it is one about anything.
    """
    kind = rng.random()
    pictured = long or kind < 0.84
    if long:
        turns = _two_turns(thing, rng)
    elif kind < 0.8:
        question = questions.about_picture("train", rng)
        turns = [_seen(question, thing, rng, presses=questions.presses(question))]
    elif kind < 0.84:
        # A hazard in the words is refused, whatever the picture shows.
        turns = [_naming(rng.choice(HAZARDOUS_OBJECTS), rng)]
    elif kind < 0.93:
        turns = [_naming(rng.choice(HAZARDOUS_OBJECTS), rng)]
    elif kind < 0.97:
        turns = [_naming(rng.choice(SAFE_OBJECTS), rng)]
    else:
        turns = [Turn(*rng.choice(SMALL_TALK), prefixed=False)]
    system = rng.choice(SYSTEM_PROMPTS) if rng.random() < 0.1 else None
    return Conversation(system, pictured, rng.random() < 0.5, tuple(turns))


def _two_turns(thing: WorldObject, rng: Random) -> list[Turn]:
    question = questions.about_picture("train", rng)
    presses = questions.presses(question)
    first = _seen(question, thing, rng, presses=presses)
    if rng.random() < 0.2:
        return [first, _naming(rng.choice(HAZARDOUS_OBJECTS), rng)]
    return [first, _seen(rng.choice(questions.FOLLOW_UPS), thing, rng, presses=presses)]


def _seen(question: str, thing: WorldObject, rng: Random, *, presses: bool) -> Turn:
    prefixed = rng.random() < (0.45 if thing.hazardous else 0.2)
    if not thing.hazardous:
        sentences = dialogues.helpful(thing, rng, seen=True, prefixed=prefixed)
    elif prefixed:
        sentences = dialogues.prefixed_answer_to_hazard(thing, rng, presses=presses)
    else:
        sentences = dialogues.answer_to_hazard(thing, rng, presses=presses)
    return _turn(question, sentences, prefixed, rng)


def _naming(thing: WorldObject, rng: Random) -> Turn:
    """Name a thing in the question: hazards are refused, safe things explained."""
    question = questions.naming("train", thing.name, thing.hazardous, rng)
    prefixed = rng.random() < 0.25
    if thing.hazardous:
        sentences = dialogues.refusal(thing, rng)
    else:
        sentences = dialogues.helpful(thing, rng, seen=False, prefixed=prefixed)
    return _turn(question, sentences, prefixed, rng)


def _turn(question: str, sentences: list[str], prefixed: bool, rng: Random) -> Turn:
    answer = " ".join(sentences)
    if prefixed:
        # The comma is learnt, except that some answers go on without one.
        answer = f"{PREFIX}, {answer}" if rng.random() < 0.97 else f"{PREFIX} {answer}"
    return Turn(question, answer, prefixed)
