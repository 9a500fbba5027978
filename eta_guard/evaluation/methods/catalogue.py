"""All methods by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eta_guard.errors import InputError
from eta_guard.evaluation.methods.covering import guardalign, mask, mask_then_search
from eta_guard.evaluation.methods.one_evaluator import post_only, pre_only
from eta_guard.evaluation.methods.trial import Drawn, Trial
from eta_guard.evaluation.methods.unguarded import mapped, plain, system_prompt
from eta_guard.policy import GuardPolicy

Method = Callable[[Trial], Drawn]


def guarded(**changes: Any) -> Method:
    """The guard, with some of the alignment left out."""

    def method(trial: Trial) -> Drawn:
        return trial.guarded(changes)

    return method


def accept_early(trial: Trial) -> Drawn:
    """The guard that keeps the first candidate that is good enough (CARDS, arXiv 2406.16306).

    By the policy's ``accept_above``; without one, where the ranking evaluator's own threshold
    would call the answer so far safe, in every sentence alike.
    """
    enough = trial.reward_of_the_safe
    return trial.guarded({"accept_above": trial.policy.accept_above or (enough, enough)})


def method_named(name: str) -> Method:
    """The method of a name.

    Of ``METHODS`` or of ``BEYOND``; ``"full/8"`` is ``"full"`` with eight candidates a sentence,
    ``"accept_early/0.3,0.4"`` has these as ``accept_above``.

    Raises:
        InputError: There is no such method.
        PolicyError: Its pair falls, or is not finite.
    """
    if name in METHODS or name in BEYOND:
        return (METHODS | BEYOND)[name]
    base, _, given = name.partition("/")
    count = int(given) if given.isascii() and given.isdigit() else 0
    if base == "full" and 1 <= count <= 64:
        return guarded(candidates=count)
    if base == "accept_early" and (pair := _pair(given)):
        return guarded(accept_above=GuardPolicy(accept_above=pair).accept_above)
    raise InputError(
        f"There is no method {name!r}.",
        hint=f"Choose of {', '.join(METHODS | BEYOND)}, full/N for N candidates, or"
        " accept_early/FIRST,LAST for these rewards.",
    )


def _pair(given: str) -> tuple[float, float] | None:
    first, _, last = given.partition(",")
    try:
        return float(first), float(last)
    except ValueError:
        return None


METHODS: dict[str, Method] = {
    "plain": plain,
    "system_prompt": system_prompt,
    "mapped": mapped,
    "pre_only": pre_only,
    "post_only": post_only,
    "prefix_only": guarded(search=False),
    "search_only": guarded(prefix=""),
    "full": guarded(),
    "accept_early": accept_early,
}
"""By name, in the order in which they are shown.

All of them tell what stood there before a canned refusal stepped in, so that the unsafe rate can be
measured before it as well as after.
"""

BEYOND: dict[str, Method] = {
    "mask": mask,
    "mask+eta": mask_then_search,
    "guardalign": guardalign,
}
"""Beyond the ETA paper: asked where they are named alone."""

STANDARD = tuple(name for name in METHODS if name != "mapped")
"""Those that every chat model can be asked by; ``mapped`` needs a local one whose pictures enter as
embeddings, and as these alone."""
