"""The settings at the side of the page, and what they amount to: a policy, and who evaluates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from eta_guard.decisions import SAME_SCORES
from eta_guard.guard import EtaGuard
from eta_guard.panel.evaluation import Kind
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Direction, Evaluator

SHOWING = {"record_rejected": True}
"""What the page adds to the policy, and to no copy of it: rejected texts are to be seen here."""

FIELDS = ("candidates", "search_temperature", "prefix", "search", "aligner", "views")
"""Fields of the policy that have a control of their own, those that there are."""


def controlled() -> list[str]:
    """The names among ``FIELDS`` that this version's policy has."""
    return [name for name in FIELDS if name in GuardPolicy.model_fields]


def choices(field: str) -> list[str]:
    """What a field may be that takes one of a few names."""
    return list(get_args(GuardPolicy.model_fields[field].annotation))


@dataclass(frozen=True)
class Dial:
    """The threshold of one evaluator."""

    kind: Kind
    evaluator: str
    unsafe: Direction
    value: float
    """Where it stands without a choice."""
    low: float
    high: float
    field: str | None
    """The policy's field that it sets; None: its entry in ``thresholds``."""

    @property
    def key(self) -> str:
        """Tells it from others."""
        return f"{self.kind}:{self.evaluator}"

    @property
    def step(self) -> float:
        """A hundredth of the order of magnitude of the range."""
        return float(10.0 ** (math.floor(math.log10(self.high - self.low)) - 2))

    def around(self, scores: Sequence[float]) -> Dial:
        """The same over a range that takes in all of these scores; it never grows narrower."""
        every = [*scores, self.value, self.low, self.high] if not scores else [*scores, self.value]
        room = 0.08 * ((max(every) - min(every)) or 1.0)
        low, high = min(every) - room, max(every) + room
        if self.field == "image_threshold":
            low, high = max(low, 0.0), min(high, 1.0)
        wide = replace(self, low=low, high=high)
        # On whole steps, so that the slider can stand on round numbers.
        low, high = math.floor(low / wide.step), math.ceil(high / wide.step)
        return replace(self, low=round(low * wide.step, 9), high=round(high * wide.step, 9))

    def exactly(self, chosen: float) -> float:
        """What was chosen; where the slider was not moved, to the last digit what it stood for."""
        return self.value if abs(chosen - self.value) < self.step / 2 else round(chosen, 6)


def dials_of(guard: EtaGuard) -> list[Dial]:
    """A dial for each evaluator, images first, each at the threshold that holds."""
    panel = guard.panel
    images = _dials("image", panel.images, guard.policy)
    return images + _dials("response", panel.responses, guard.policy)


def _dials(kind: Kind, evaluators: Sequence[Evaluator], policy: GuardPolicy) -> list[Dial]:
    found: list[Dial] = []
    free: str | None = f"{kind}_threshold"
    for one in evaluators:
        named = policy.thresholds.get(one.name, one.threshold)
        value = float(getattr(policy, f"{kind}_threshold")) if named is None else named
        field = free if named is None else None
        free = None if field else free
        spread = 0.5 if abs(value) <= 1 else abs(value)
        dial = Dial(kind, one.name, one.unsafe, value, value - spread, value + spread, field)
        found.append(dial.around([]))
    return found


@dataclass(frozen=True)
class Chosen:
    """Exactly what the settings at the side say."""

    policy: GuardPolicy
    images: tuple[str, ...]
    """Names of the image evaluators that are on."""
    responses: tuple[str, ...]

    def guard(self, guard: EtaGuard) -> EtaGuard:
        """The guard with these settings, over the same parts.

        Raises:
            EtaGuardError: The settings do not go together.
        """
        panel = guard.panel
        looking = [one for one in panel.images if one.name in self.images]
        reading = [one for one in panel.responses if one.name in self.responses]
        return EtaGuard(
            engine=guard.engine,
            image_evaluator=looking,
            response_evaluator=reading,
            likeness=panel.likeness,
            policy=self.policy.updated(SHOWING),
        )

    def counts_next_time(self, before: Chosen) -> list[str]:
        """Settings that differ from those of before, and do not only decide: the scores change."""
        changed = [
            name
            for name, value in self.policy
            if name not in SAME_SCORES and value != getattr(before.policy, name)
        ]
        asked = (self.images, self.responses) != (before.images, before.responses)
        return changed + (["evaluators"] if asked else [])


def choose(
    guard: EtaGuard, dials: Sequence[Dial], values: Mapping[str, Any], evaluators: Sequence[str]
) -> Chosen:
    """Reads the controls.

    Args:
        guard: Its policy is what they start from.
        dials: Of its evaluators.
        values: By a dial's key or a field's name, what each control says.
        evaluators: Keys of the dials whose evaluators are on; where none of a kind is, all are.

    Raises:
        PolicyError: A value is not valid.
    """
    on = {kind: _on(dials, evaluators, kind) for kind in get_args(Kind)}
    policy = guard.policy
    thresholds = dict(policy.thresholds)
    fields: dict[str, Any] = {}
    for dial in dials:
        value = dial.exactly(float(values[dial.key]))
        if dial.field:
            fields[dial.field] = value
        elif value != dial.value or dial.evaluator in thresholds:
            thresholds[dial.evaluator] = value
    named = {name for names in on.values() for name in names}
    fields["thresholds"] = {name: value for name, value in thresholds.items() if name in named}
    if isinstance(policy.on_unscored, dict):
        fields["on_unscored"] = {k: v for k, v in policy.on_unscored.items() if k in named}
    fields |= {name: values[name] for name in controlled()}
    changed = {name: value for name, value in fields.items() if _differs(policy, name, value)}
    return Chosen(policy.updated(changed), on["image"], on["response"])


def _differs(policy: GuardPolicy, name: str, value: Any) -> bool:
    before = getattr(policy, name)
    return bool((set(value) != set(before)) if name == "views" else value != before)


def _on(dials: Sequence[Dial], evaluators: Sequence[str], kind: Kind) -> tuple[str, ...]:
    there = [dial for dial in dials if dial.kind == kind]
    on = [dial for dial in there if dial.key in evaluators]
    return tuple(dial.evaluator for dial in on or there)
