"""Chooses all thresholds from labelled cases, and tells what they will do together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eta_guard.errors import InputError
from eta_guard.evaluation import joint, roc
from eta_guard.evaluation.agreement import agreement, together
from eta_guard.evaluation.figures.operating_points import operating_points
from eta_guard.evaluation.findings import KINDS, KnownEvaluator, Scores, flagged
from eta_guard.evaluation.intervals import RESAMPLES, Interval, Rate
from eta_guard.evaluation.records import CaseRecord
from eta_guard.panel.evaluation import Kind
from eta_guard.policy import GuardPolicy


@dataclass(frozen=True)
class Target:
    """What the thresholds are to keep to; one of the two is given."""

    max_false_alarm: float | None = None
    """Largest share of safe requests that the evaluators of either kind may flag. The guard aligns
    only what both kinds flag, so that all together flag no more."""
    max_missed: float | None = None
    """Largest share of hazards that may be missed. What either kind misses is missed, so that each
    may miss half of it."""

    def thresholds(self, each: Sequence[roc.Labelled]) -> list[float]:
        """The thresholds of the evaluators of one kind, any of which may flag.

        Args:
            each: The same cases under each, on scales on which higher is less safe.
        """
        half = None if self.max_missed is None else self.max_missed / 2
        return joint.choose(each, max_false_alarm=self.max_false_alarm, max_missed=half)

    def of_two(self, first: float, second: float) -> float:
        """Of two thresholds, higher being safer, the one that keeps to what both keep to."""
        return max(first, second) if self.max_missed is None else min(first, second)


@dataclass(frozen=True)
class Calibration:
    """What was found; ``policy`` is the one to use."""

    policy: GuardPolicy
    figures: dict[str, Any]
    """``evaluators``, ``together`` (any of a kind flags) and ``agreement`` are by kind, ``"image"``
    and ``"response"``. Where there is one evaluator of a kind, its figures stand under the kind's
    name as well. ``pair`` is both kinds together, under the chosen policy and before."""


def calibrate(records: Sequence[CaseRecord], target: Target, policy: GuardPolicy) -> Calibration:
    """Chooses the thresholds.

    Of several evaluators of a kind any flags; ``joint`` says how they share the target. One that
    evaluates both pictures and answers has one threshold for both: that which keeps both within the
    target.

    Args:
        records: Labelled cases with all scores. The image evaluators are to tell hazardous pictures
            from safe ones; the response evaluators, plain answers that were judged unsafe from the
            rest (unjudged ones are left out, and counted).
        target: Which error to limit.
        policy: What else the policy is to say, and the thresholds to compare with.

    Returns:
        A policy whose ``image_threshold`` and ``response_threshold`` are those of the first
        evaluator of the kind that has no threshold of its own; all others' are in ``thresholds``.

    Raises:
        InputError: There are no cases of one kind, or none that have a score.
    """
    kinds: dict[Kind, Scores] = {kind: Scores.of(records, kind) for kind in KINDS}
    _require(kinds["image"], "pictures", "hazardous and safe pictures")
    _require(
        kinds["response"],
        "plain answers",
        "plain answers that are judged unsafe and ones that are not",
    )
    chosen = _policy(kinds, target, policy)
    told = {kind: _evaluators(kinds[kind], target, chosen, policy) for kind in KINDS}
    figures: dict[str, Any] = {
        "cases": len(records),
        "unjudged_n": sum(r.answers["plain"].judgement.outcome == "unjudged" for r in records),
        "unscored_n": sum(_unscored(record) for record in records),
        "target": {"max_false_alarm": target.max_false_alarm, "max_missed": target.max_missed},
        **{kind: next(iter(each.values())) for kind, each in told.items() if len(each) == 1},
        "evaluators": told,
        "together": {
            kind: {"chosen": together(found, chosen), "before": together(found, policy)}
            for kind, found in kinds.items()
        },
        "agreement": {kind: agreement(found, chosen) for kind, found in kinds.items()},
        "pair": pair(records, chosen),
        "pair_before": pair(records, policy),
    }
    return Calibration(chosen, figures)


def image_cases(records: Sequence[CaseRecord], name: str | None = None) -> roc.Labelled:
    """Scores of pictures, turned so that higher is less safe, and whether they are hazardous.

    Args:
        records: With or without pictures.
        name: Of the image evaluator; the first without it.
    """
    return _cases(records, "image", name)


def response_cases(records: Sequence[CaseRecord], name: str | None = None) -> roc.Labelled:
    """Scores of plain answers, turned so that higher is less safe, and whether they are unsafe.

    Args:
        records: Those whose answers could not be judged are left out.
        name: Of the response evaluator; the first without it.
    """
    return _cases(records, "response", name)


def pair(records: Sequence[CaseRecord], policy: GuardPolicy) -> dict[str, Any]:
    """What both kinds of evaluators do together: a request is aligned if both flag it.

    A kind flags what any of its evaluators flags. Without an image the response evaluators decide
    alone. What has no score is flagged.
    """
    unsafe, safe, calls = [], [], []
    for record in records:
        seen = record.image is None or flagged(record, "image", policy)
        aligned = seen and flagged(record, "response", policy)
        if not record.hazardous:
            safe.append(aligned)
            calls.append(seen)
        elif record.answers["plain"].judgement.outcome == "unsafe":
            unsafe.append(aligned)
    rates = {
        "missed": Rate(len(unsafe) - sum(unsafe), len(unsafe)),
        "false_alarm": Rate(sum(safe), len(safe)),
        "safe_answers_scored": Rate(sum(calls), len(calls)),
    }
    told: dict[str, Any] = {}
    for name, rate in rates.items():
        told |= {name: rate.value, f"{name}_n": rate.n, f"{name}_ci": rate.interval}
    return told


def _policy(kinds: Mapping[Kind, Scores], target: Target, policy: GuardPolicy) -> GuardPolicy:
    fields: dict[str, Any] = {}
    named: dict[str, float] = {}
    for kind, found in kinds.items():
        papers = _has_the_policys(found, policy)
        chosen = target.thresholds(_each(found.scored_by_all()))
        for one, threshold in zip(found.evaluators, chosen, strict=True):
            if one is papers:
                own = one.sign * threshold
                # The policy's image threshold is of clipped cosines.
                fields[f"{kind}_threshold"] = own if kind == "response" else min(max(own, 0.0), 1.0)
                continue
            if one.name in named:
                threshold = target.of_two(threshold, one.sign * named[one.name])
            named[one.name] = one.sign * threshold
    if named:
        fields["thresholds"] = {**policy.thresholds, **named}
    return policy.updated(fields)


def _has_the_policys(found: Scores, policy: GuardPolicy) -> KnownEvaluator | None:
    """The evaluator whose threshold is the policy's of its kind."""
    without = [one for one in found.evaluators if one.own is None]
    return next((one for one in without if one.name not in policy.thresholds), None)


def _evaluators(
    found: Scores, target: Target, chosen: GuardPolicy, before: GuardPolicy
) -> dict[str, Any]:
    intervals = _threshold_intervals(found.scored_by_all(), target)
    return {
        one.name: operating_points(
            found.alone(place),
            one.limit(chosen).threshold,
            one.limit(before).threshold,
            intervals[place],
            sign=one.sign,
        )
        for place, one in enumerate(found.evaluators)
    }


def _each(found: Scores) -> list[roc.Labelled]:
    return [found.alone(place) for place in range(len(found.evaluators))]


def _cases(records: Sequence[CaseRecord], kind: Kind, name: str | None) -> roc.Labelled:
    found = Scores.of(records, kind)
    names = [one.name for one in found.evaluators]
    if name is None and names:
        return found.alone(0)
    if name not in names:
        return roc.Labelled(np.empty(0), np.empty(0, dtype=bool))
    return found.alone(names.index(name))


def _threshold_intervals(found: Scores, target: Target) -> list[Interval]:
    """Where the thresholds would have come to lie on resampled cases."""
    rng = np.random.default_rng(0)
    each, signs = _each(found), [one.sign for one in found.evaluators]
    drawn = [target.thresholds(joint.resampled(each, rng)) for _ in range(RESAMPLES // 5)]
    lows, highs = np.percentile(np.multiply(drawn, signs), [2.5, 97.5], axis=0)
    return [(float(low), float(high)) for low, high in zip(lows, highs, strict=True)]


def _require(found: Scores, what: str, both: str) -> None:
    unsafe = found.scored_by_all().unsafe
    if unsafe.all() or not unsafe.any():
        raise InputError(
            f"There are {unsafe.sum()} unsafe and {(~unsafe).sum()} safe {what} with a score"
            f"{' of every evaluator' if len(found.evaluators) > 1 else ''}.",
            hint=f"Calibrate on cases with {both}.",
        )


def _unscored(record: CaseRecord) -> bool:
    missing = record.image is not None and record.image.score is None
    return missing or record.response.score is None
