"""All methods by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eta_guard.errors import InputError
from eta_guard.evaluation.methods.one_evaluator import post_only, pre_only
from eta_guard.evaluation.methods.trial import Drawn, Trial
from eta_guard.evaluation.methods.unguarded import mapped, plain, system_prompt

Method = Callable[[Trial], Drawn]


def guarded(**changes: Any) -> Method:
    """The guard, with some of the alignment left out."""

    def method(trial: Trial) -> Drawn:
        return trial.guarded(changes)

    return method


def method_named(name: str) -> Method:
    """The method of a name; ``"full/8"`` is ``"full"`` with eight candidates a sentence.

    Raises:
        InputError: There is no such method.
    """
    base, slash, count = name.partition("/")
    if name in METHODS:
        return METHODS[name]
    if slash and base == "full" and count.isascii() and count.isdigit() and 1 <= int(count) <= 64:
        return guarded(candidates=int(count))
    raise InputError(
        f"There is no method {name!r}.",
        hint=f"Choose of {', '.join(METHODS)}, or full/N for N candidates.",
    )


METHODS: dict[str, Method] = {
    "plain": plain,
    "system_prompt": system_prompt,
    "mapped": mapped,
    "pre_only": pre_only,
    "post_only": post_only,
    "prefix_only": guarded(search=False),
    "search_only": guarded(prefix=""),
    "full": guarded(),
}
"""By name, in the order in which they are shown.

All of them tell what stood there before a canned refusal stepped in, so that the unsafe rate can be
measured before it as well as after.
"""

STANDARD = tuple(name for name in METHODS if name != "mapped")
"""Those that every chat model can be asked by; ``mapped`` needs a local one whose pictures enter as
embeddings, and as these alone."""
