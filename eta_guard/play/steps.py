"""The nodes that a request has gone through, as lights on the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eta_guard.cli import words
from eta_guard.panel.evaluation import Evaluation
from eta_guard.play.asking import Turn
from eta_guard.play.settings import Dial

TITLES = {
    "pre_evaluate": "Is the picture safe?",
    "generate": "The plain answer",
    "post_evaluate": "Is the answer safe?",
    "prefix_align": "Begin anew",
    "best_of_n": "Best of N",
    "respond": "What goes out",
}


@dataclass(frozen=True)
class Meter:
    """A score on its scale, with its threshold."""

    name: str
    told: str
    short: str
    """The comparison in figures alone."""
    outcome: str
    at: float | None
    """Where the score stands, in percent of the scale; None where there is none."""
    limit: float
    """Where the threshold stands."""
    unsafe_above: bool


@dataclass(frozen=True)
class Step:
    """One node, or the same several times in a row."""

    name: str
    title: str
    times: int
    active: bool
    outcome: str
    """Of what it evaluated; empty where it evaluates nothing, or has not ended."""
    meters: Sequence[Meter]
    note: str


def steps_of(turn: Turn, dials: Sequence[Dial]) -> list[Step]:
    """The nodes as far as they have come, a repeated one once."""
    ranges = {dial.evaluator: (dial.low, dial.high) for dial in dials}
    found: list[Step] = []
    for place, name in enumerate(turn.entered):
        event = turn.found[place] if place < len(turn.found) else None
        active = event is None and not turn.over
        times = found[-1].times + 1 if found and found[-1].name == name else 1
        step = _step(name, event, ranges, times=times, active=active)
        if times > 1:
            found.pop()
        found.append(step)
    return found


def _step(
    name: str,
    event: Mapping[str, Any] | None,
    ranges: Mapping[str, tuple[float, float]],
    *,
    times: int,
    active: bool,
) -> Step:
    evaluation = _evaluated(name, event or {})
    outcome = evaluation["outcome"] if evaluation else ""
    meters = list(_meters(evaluation, ranges)) if evaluation else []
    title = TITLES.get(name, name.replace("_", " "))
    if name == "post_evaluate" and event and event.get("final"):
        title = "Is the repair safe?"
    return Step(name, title, times, active, outcome, meters, _note(name, event or {}))


def _evaluated(name: str, event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if name == "pre_evaluate":
        return event.get("image")
    if name == "post_evaluate":
        return event.get("final") or event.get("response")
    return None


def _note(name: str, event: Mapping[str, Any]) -> str:
    if name == "respond" and "decision" in event:
        return str(event["decision"])
    if "halt" in event:
        return str(event["reason"])
    if name == "pre_evaluate" and event and not event.get("image"):
        return "no picture"
    if "sentence" in event:
        return words.counted(event["sentence"], "sentence")
    return ""


def _meters(
    evaluation: Mapping[str, Any], ranges: Mapping[str, tuple[float, float]]
) -> Iterator[Meter]:
    for told in evaluation.get("findings") or [evaluation]:
        found = Evaluation.model_validate(told)
        low, high = ranges.get(found.evaluator, (0.0, 1.0))
        score = found.score
        yield Meter(
            found.evaluator,
            words.against_threshold(found) + words.seen_in(found),
            words.against_threshold(found).replace("score ", "").replace("threshold ", ""),
            found.outcome,
            None if score is None else _percent(score, low, high),
            _percent(found.threshold, low, high),
            found.unsafe == "above",
        )


def _percent(value: float, low: float, high: float) -> float:
    return round(100 * min(max((value - low) / (high - low), 0.0), 1.0), 2)
