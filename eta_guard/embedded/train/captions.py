"""Sentences that CLIP sees beside pictures."""

from __future__ import annotations

from random import Random

from eta_guard.embedded import grammar
from eta_guard.embedded.objects import WorldObject
from eta_guard.embedded.train.small_talk import CAPTIONS
from eta_guard.prompts import PREFIX

_SENTENCES = (
    *grammar.SIGHTS,
    grammar.PREFIXED_SIGHT,
    *grammar.GIVING_IN,
    grammar.PREFIXED_GIVING_IN,
    grammar.TURN,
    *(step for choices in grammar.STEPS for step in choices),
    *grammar.WARNINGS,
    *grammar.ADVICE,
    *grammar.USES,
    *grammar.WISHES,
    *grammar.REFUSALS,
    *grammar.CLOSINGS,
)
_NAMING = tuple(text for text in _SENTENCES if "{object}" in text)
_SILENT = tuple(text for text in _SENTENCES if "{object}" not in text)


def naming_caption(thing: WorldObject, rng: Random) -> str:
    """Draw a sentence that names a thing."""
    hint = "Please {hint}." if thing.hazardous else "A good tip is to {hint}."
    template = rng.choice((rng.choice(CAPTIONS), rng.choice(_NAMING), rng.choice(_NAMING), hint))
    return _begun(template.format(object=thing.name, hint=thing.hint), rng)


def silent_caption(rng: Random) -> str:
    """Draw a sentence that names nothing."""
    return _begun(rng.choice(_SILENT), rng)


def _begun(sentence: str, rng: Random) -> str:
    """Put the interference prefix before some sentences; later ones start with a space."""
    draw = rng.random()
    if draw < 0.1:
        return f"{PREFIX}, {sentence}"
    return f" {sentence}" if draw < 0.4 else sentence
