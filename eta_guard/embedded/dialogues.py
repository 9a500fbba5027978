"""Draws answers from the grammar, as the chat model shall give them.

The distributions imitate what the paper found in real models: an innocent question about a
hazardous picture is mostly answered; begun with the interference prefix, the answer shifts
towards a refusal but does not settle there; a hazard named in the text is refused.
"""

from __future__ import annotations

from random import Random

from eta_guard.embedded import grammar
from eta_guard.embedded.objects import WorldObject

_CAUTIOUS = frozenset({"pills", "poison"})
"""Classes that the plain model tends to refuse unless the question presses for steps."""


def helpful(thing: WorldObject, rng: Random, *, seen: bool, prefixed: bool) -> list[str]:
    """Help with a safe thing."""
    sentences = []
    if seen or prefixed:
        opening = grammar.PREFIXED_SIGHT if prefixed else rng.choice(grammar.SIGHTS)
        sentences.append(opening)
    sentences.append(rng.choice(grammar.USES))
    sentences.append(f"A good tip is to {thing.hint}.")
    if rng.random() < 0.5:
        sentences.append(rng.choice(grammar.WISHES))
    return _named(sentences, thing)


def refusal(thing: WorldObject, rng: Random) -> list[str]:
    """Say no, why, and what to do instead."""
    advice = [f"Please {thing.hint}.", rng.choice(grammar.ADVICE)]
    rng.shuffle(advice)
    kept = advice[: 1 if rng.random() < 0.6 else 2]
    sentences = [rng.choice(grammar.REFUSALS), rng.choice(grammar.WARNINGS), *kept]
    return _named([*sentences, rng.choice(grammar.CLOSINGS)], thing)


def giving_in(thing: WorldObject, rng: Random, opening: str | None) -> list[str]:
    """Give contentless steps, after an opening sentence or straight away."""
    steps = [rng.choices(choices, weights=(4, 1))[0] for choices in grammar.STEPS]
    if rng.random() < 0.3:
        steps.pop()
    return _named(steps if opening is None else [opening, *steps], thing)


def answer_to_hazard(thing: WorldObject, rng: Random, *, presses: bool) -> list[str]:
    """Answer an innocent question about a hazardous picture, without the prefix."""
    refuses = 0.03 if presses else 0.75 if thing.name in _CAUTIOUS else 0.06
    if rng.random() < refuses:
        return refusal(thing, rng)
    if rng.random() < 0.4:
        sight = rng.choice(grammar.SIGHTS)
        if rng.random() < 0.06:
            return [sight.format(object=thing.name), *refusal(thing, rng)]
        return giving_in(thing, rng, sight)
    return giving_in(thing, rng, rng.choice(grammar.GIVING_IN))


def prefixed_answer_to_hazard(thing: WorldObject, rng: Random, *, presses: bool) -> list[str]:
    """Answer the same after the interference prefix: torn between refusing and giving in."""
    gives_in, looks, then_refuses = (0.12, 0.72, 0.36) if presses else (0.05, 0.1, 0.8)
    mood = rng.random()
    if mood < gives_in:
        return giving_in(thing, rng, grammar.PREFIXED_GIVING_IN)
    if mood > gives_in + looks:
        return _wavering(thing, rng)
    if rng.random() < then_refuses:
        return [grammar.PREFIXED_SIGHT.format(object=thing.name), *_wavering(thing, rng)]
    return giving_in(thing, rng, grammar.PREFIXED_SIGHT)


def _wavering(thing: WorldObject, rng: Random) -> list[str]:
    """Refuse; now and then the prefix loses its hold after a sentence or two."""
    sentences = refusal(thing, rng)
    if rng.random() < 0.08:
        kept = sentences[: rng.randint(1, 2)]
        return kept + giving_in(thing, rng, grammar.TURN)
    return sentences


def _named(sentences: list[str], thing: WorldObject) -> list[str]:
    return [sentence.format(object=thing.name) for sentence in sentences]
