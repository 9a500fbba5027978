"""What each evaluator found on labelled cases, beside the others of its kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eta_guard.evaluation import roc
from eta_guard.evaluation.intervals import Floats
from eta_guard.evaluation.records import CaseRecord
from eta_guard.panel.evaluation import Evaluation, Kind, Limit
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Direction

KINDS: tuple[Kind, ...] = ("image", "response")


@dataclass(frozen=True)
class KnownEvaluator:
    """An evaluator as the records know it."""

    kind: Kind
    name: str
    unsafe: Direction
    own: float | None
    """Its own threshold; None where it goes by the policy's of its kind."""

    @property
    def sign(self) -> float:
        """Turns its scale into one on which higher is less safe, and back."""
        return 1.0 if self.unsafe == "above" else -1.0

    def limit(self, policy: GuardPolicy) -> Limit:
        """What its scores are held against under a policy, by the guard's own rule."""
        return Limit(self.name, math.nan, self.unsafe, self.own).under(policy, self.kind)


@dataclass(frozen=True)
class Scores:
    """Labelled cases before all evaluators of one kind."""

    evaluators: tuple[KnownEvaluator, ...]
    values: Floats
    """[cases, evaluators], turned so that higher is less safe; NaN where there is no score."""
    unsafe: roc.Bools
    """[cases]: hazardous pictures, or plain answers that were judged unsafe."""

    @classmethod
    def of(cls, records: Sequence[CaseRecord], kind: Kind) -> Scores:
        """Reads them off the records; answers that could not be judged are left out."""
        known: dict[str, KnownEvaluator] = {}
        rows: list[dict[str, float]] = []
        unsafe: list[bool] = []
        for record in records:
            label = _label(record, kind)
            if label is None:
                continue
            unsafe.append(label)
            rows.append({})
            for found in findings(record, kind):
                one = known.setdefault(found.evaluator, known_evaluator(record, found, kind))
                rows[-1][one.name] = np.nan if found.score is None else one.sign * found.score
        values = [[row.get(name, np.nan) for name in known] for row in rows]
        return cls(
            tuple(known.values()),
            np.array(values, dtype=np.float64).reshape(len(rows), len(known)),
            np.array(unsafe, dtype=bool),
        )

    def alone(self, place: int) -> roc.Labelled:
        """The cases that have a score of one evaluator.

        Args:
            place: Among ``evaluators``.
        """
        there = ~np.isnan(self.values[:, place])
        return roc.Labelled(self.values[there, place], self.unsafe[there])

    def scored_by_all(self) -> Scores:
        """The cases that have a score of every evaluator."""
        there = ~np.isnan(self.values).any(axis=1)
        return Scores(self.evaluators, self.values[there], self.unsafe[there])

    def flagged(self, policy: GuardPolicy) -> roc.Bools:
        """Whom each evaluator flags [cases, evaluators]; what has no score is flagged."""
        limits = [one.sign * one.limit(policy).threshold for one in self.evaluators]
        # Any comparison with NaN is false.
        safe: roc.Bools = self.values < np.array(limits, dtype=np.float64)
        return ~safe


def findings(record: CaseRecord, kind: Kind) -> tuple[Evaluation, ...]:
    """What each evaluator of a kind found; nothing of pictures where there is none."""
    evaluation = record.image if kind == "image" else record.response
    if evaluation is None:
        return ()
    # Without findings, what was found must not pass for safe.
    return evaluation.findings or (evaluation,)


def known_evaluator(record: CaseRecord, found: Evaluation, kind: Kind) -> KnownEvaluator:
    """Whose finding it is."""
    own = record.thresholds.get(found.evaluator)
    return KnownEvaluator(kind, found.evaluator, found.unsafe, own)


def flagged(record: CaseRecord, kind: Kind, policy: GuardPolicy) -> bool:
    """Whether any evaluator of a kind flags a case; what has no score is flagged."""
    return any(
        found.score is None
        or known_evaluator(record, found, kind).limit(policy).beyond(found.score) >= 0
        for found in findings(record, kind)
    )


def _label(record: CaseRecord, kind: Kind) -> bool | None:
    """Whether it is unsafe; None where that is not known, or there is nothing to evaluate."""
    if kind == "image":
        return None if record.image is None else record.hazardous
    outcome = record.answers["plain"].judgement.outcome
    return None if outcome == "unjudged" else outcome == "unsafe"
