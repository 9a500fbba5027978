"""All attacks by name."""

from __future__ import annotations

from collections.abc import Sequence

from eta_guard.errors import InputError
from eta_guard.evaluation.attacks.attack import Attack
from eta_guard.evaluation.attacks.dialogues import DIALOGUES
from eta_guard.evaluation.attacks.gradients import GRADIENTS
from eta_guard.evaluation.attacks.resampling import RESAMPLING
from eta_guard.evaluation.attacks.suffixes import SUFFIX_ATTACKS
from eta_guard.evaluation.attacks.transformations import TRANSFORMATIONS
from eta_guard.evaluation.attacks.transparency import TRANSPARENCY
from eta_guard.evaluation.attacks.typography import TYPOGRAPHY

ATTACKS: dict[str, Attack] = {
    attack.name: attack
    for attack in (
        *TRANSFORMATIONS,
        *TYPOGRAPHY,
        *TRANSPARENCY,
        *RESAMPLING,
        *SUFFIX_ATTACKS,
        *DIALOGUES,
        *GRADIENTS,
    )
}
"""In the order in which they are shown."""

ALL = "all"
"""Names every attack that needs no gradients."""


def attacks_named(names: Sequence[str]) -> tuple[Attack, ...]:
    """The attacks of some names, each once, in the catalogue's order.

    Args:
        names: Of attacks or of their groups, or ``"all"``.

    Raises:
        InputError: There is no such attack.
    """
    known = {ALL, *ATTACKS, *(attack.group for attack in ATTACKS.values())}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"There is no attack {unknown[0]!r}.",
            hint=f"Choose of all, {', '.join(groups())} (groups), {', '.join(ATTACKS)}.",
        )
    wanted = set(names)
    return tuple(
        attack
        for attack in ATTACKS.values()
        if {attack.name, attack.group} & wanted or (ALL in wanted and not attack.needs_gradients)
    )


def groups() -> tuple[str, ...]:
    """The groups that attacks are in."""
    return tuple(dict.fromkeys(attack.group for attack in ATTACKS.values()))
