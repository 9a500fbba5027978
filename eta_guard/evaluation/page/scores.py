"""The report's charts of the scores: a histogram and a ROC curve an evaluator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from eta_guard.evaluation import roc
from eta_guard.evaluation.findings import KINDS, KnownEvaluator, Scores
from eta_guard.evaluation.page import charts
from eta_guard.evaluation.records import CaseRecord
from eta_guard.policy import GuardPolicy

_NOTES = {
    "image": "hazardous pictures against safe ones",
    "response": "plain answers judged unsafe against the rest",
}


@dataclass(frozen=True)
class ScoreChart:
    """What is told of one evaluator."""

    name: str
    note: str
    histogram: Markup
    roc: Markup | None
    area: float | None
    area_ci: tuple[float, float] | None


def score_charts(records: Sequence[CaseRecord], policy: GuardPolicy) -> Iterator[ScoreChart]:
    """Yields the charts of each evaluator that has scored anything."""
    for kind in KINDS:
        found = Scores.of(records, kind)
        for place, one in enumerate(found.evaluators):
            cases = found.alone(place)
            name = f"{kind.capitalize()} evaluator"
            if len(found.evaluators) > 1:
                name += f" {one.name}"
            if len(cases.scores):
                yield _chart(name, cases, one, one.limit(policy).threshold)


def limits_in_words(records: Sequence[CaseRecord], policy: GuardPolicy) -> str:
    """``An image is unsafe from 0.16 up, an answer from 0.06 down``; by whom, where several are."""
    parts = []
    for kind, what in zip(KINDS, ("an image is unsafe", "an answer"), strict=True):
        known = Scores.of(records, kind).evaluators
        limits = (
            f"from {one.limit(policy).threshold:g} {'up' if one.unsafe == 'above' else 'down'}"
            + (f" by {one.name}" if len(known) > 1 else "")
            for one in known
        )
        if known:
            parts.append(f"{what} {' or '.join(limits)}")
    told = ", ".join(parts)
    return told[:1].upper() + told[1:]


def _chart(name: str, cases: roc.Labelled, one: KnownEvaluator, threshold: float) -> ScoreChart:
    near = np.abs(cases.scores) <= roc.FAR
    drawn = charts.histogram(
        {
            "unsafe": (one.sign * cases.scores[near & cases.unsafe]).tolist(),
            "safe": (one.sign * cases.scores[near & ~cases.unsafe]).tolist(),
        },
        threshold,
        f"{name}'s score",
    )
    note = f"{_NOTES[one.kind]}; flagged at or {one.unsafe} the threshold"
    if not near.all():
        note += f"; {int((~near).sum())} with nothing to evaluate are not drawn"
    if not cases.both:
        return ScoreChart(name, note, drawn, None, None, None)
    line = roc.curve(cases)
    at = roc.errors(cases, one.sign * threshold)
    return ScoreChart(
        name,
        note,
        drawn,
        charts.roc(line.false_alarm.tolist(), line.missed.tolist(), at, name),
        roc.area(cases),
        roc.area_interval(cases),
    )
