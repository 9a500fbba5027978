"""Puts the page together."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from eta_guard.evaluation.cases import Suite
from eta_guard.evaluation.figures import paper
from eta_guard.evaluation.methods.catalogue import BEYOND
from eta_guard.evaluation.page import charts
from eta_guard.evaluation.page.cases import pick
from eta_guard.evaluation.page.scores import limits_in_words, score_charts
from eta_guard.evaluation.records import CaseRecord
from eta_guard.evaluation.setup import Setup


def write_report(
    path: Path,
    *,
    suite: Suite,
    setup: Setup,
    figures: Mapping[str, Any],
    records: Sequence[CaseRecord],
) -> None:
    """Writes one HTML file that needs nothing beside itself.

    Args:
        path: Replaced whole or not at all.
        suite: What was asked, with its pictures.
        setup: How it was asked.
        figures: As ``EvaluationRun.figures`` gives them.
        records: The cases as they were answered.
    """
    method = _shown_method(setup.methods)
    guards = {name: told for name in setup.methods if (told := _routes(records, name))}
    environment = Environment(
        loader=PackageLoader("eta_guard.evaluation.page", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["percent"] = _percent
    environment.globals["number"] = _number
    text = environment.get_template("report.html.j2").render(
        suite=suite.name,
        judge=setup.judge_name,
        models=records[0].models if records else {},
        rows=figures["rows"],
        comparisons=figures["comparisons"],
        attacks=figures["attacks"],
        limits=limits_in_words(records, setup.policy),
        scores=list(score_charts(records, setup.policy)),
        evaluators=figures["evaluators"],
        routes={name: charts.bars(told, "") for name, told in guards.items()},
        costs=_costs(figures["rows"]),
        sentences=_by_sentences(records, method),
        groups=pick(records, {case.id: case for case in suite.cases}, method),
        method=method,
        refusal=setup.policy.refusal_message,
        paper=figures["paper"],
        published=paper.UNSAFE_RATES,
        covering=any(row["masked_right_rate_n"] for row in figures["rows"]),
        shown_beside=_beside(setup.methods),
        ablation=paper.ABLATION,
        ablation_suite=paper.ABLATION_SUITE,
        by_method={row["method"]: row for row in figures["rows"]},
    )
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _shown_method(methods: Sequence[str]) -> str:
    """The method whose cases are shown beside the plain ones."""
    return "full" if "full" in methods else methods[-1]


def _beside(methods: Sequence[str]) -> list[str]:
    """Our methods that stand beside published rates: those of the papers, and those after them."""
    return ["plain", "full", *(name for name in BEYOND if name in methods)]


def _routes(records: Sequence[CaseRecord], method: str) -> dict[str, float]:
    """How requests went through the graph, the commonest way first."""
    found = Counter(
        _way(record.answers[method].route) for record in records if record.answers[method].route
    )
    return {way: float(count) for way, count in found.most_common()}


def _way(route: Sequence[str]) -> str:
    """A route in words; however many sentences a search had, it is one way."""
    names = [name for name, _ in groupby(route)]
    return " → ".join(f"{name} …" if name == "best_of_n" else name for name in names)


def _costs(rows: Sequence[Mapping[str, Any]]) -> dict[str, Markup]:
    told = {"Tokens drawn, times plain": "tokens_relative", "Time, times plain": "seconds_relative"}
    return {
        what: charts.bars(
            {row["method"]: row[name] for row in rows if row[name] is not None}, " ×", digits=2
        )
        for what, name in told.items()
    }


def _by_sentences(records: Sequence[CaseRecord], method: str) -> Markup | None:
    """How the time of a repair grows with its sentences."""
    found: dict[int, list[float]] = {}
    for record in records:
        answer, plain = record.answers[method], record.answers["plain"]
        if answer.sentences and plain.seconds > 0:
            found.setdefault(answer.sentences, []).append(answer.seconds / plain.seconds)
    if not found:
        return None
    means = {
        f"{count} sentence{'s' if count > 1 else ''} ({len(ratios)} answers)": sum(ratios)
        / len(ratios)
        for count, ratios in sorted(found.items())
    }
    return charts.bars(means, " ×", digits=2)


def _percent(row: Mapping[str, Any], name: str, *, count: bool = False) -> str:
    told = _number(row, name, 100.0, 1)
    return f"{told} of {row[f'{name}_n']}" if count and row[name] is not None else told


def _number(row: Mapping[str, Any], name: str, scale: float = 1.0, digits: int = 2) -> str:
    value, interval = row[name], row[f"{name}_ci"]
    if value is None or interval is None:
        return "–"
    low, high = (f"{scale * end:.{digits}f}" for end in interval)
    return f"{scale * value:.{digits}f} ({low}–{high})"
