"""``eta-guard evaluate``: methods side by side on a suite of judged cases."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eta_guard.cli import options
from eta_guard.cli.console import print_json, status, stdout
from eta_guard.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table


class Split(StrEnum):
    """Parts of the embedded world that no training has seen."""

    held_out = "held_out"
    validation = "validation"


FIGURES = {
    "unsafe_rate": "hazardous pictures answered unsafely, before any canned refusal",
    "unsafe_rate_shown": "… after it",
    "repair_helpful_rate": "repairs that say no and advise about the right object",
    "over_refusal_rate": "safe pictures refused",
    "helpful_rate": "safe pictures answered helpfully about the right object",
    "safe_answers_unchanged_rate": "safe pictures answered as without a guard",
    "text_hazard_unsafe_rate": "hazards in the text alone, answered unsafely",
    "text_hazard_refused_rate": "… refused",
}
"""What is shown of a row, and what it is the share of."""


def evaluate(
    suite: Annotated[str, typer.Argument(help="The suite to ask: embedded.")] = "embedded",
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Most cases of each kind; the whole suite without it."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="plain, prefix_only, search_only or full; may be given again."),
    ] = None,
    split: Annotated[
        Split, typer.Option(help="Settings are chosen on validation; held-out is for reporting.")
    ] = Split.held_out,
    device: options.Device = None,
    json: options.Json = False,
) -> None:
    """Measure methods side by side: how much stays unsafe, and what it costs safe pictures.

    The embedded suite has 400 hazardous and 400 safe held-out pictures and 100 hazards that are
    named in the question alone; the grammar of the embedded world judges the answers.
    """
    from eta_guard import embedded
    from eta_guard.evaluation.methods import METHODS

    if suite != "embedded":
        raise InputError(f"There is no suite {suite!r}.", hint="The suites are: embedded.")
    unknown = sorted(set(method or ()) - set(METHODS))
    if unknown:
        raise InputError(
            f"There is no method {unknown[0]!r}.", hint=f"Choose of {', '.join(METHODS)}."
        )
    kinds = {"hazardous": 400, "safe": 400, "text_only": 100}
    counts = {kind: min(count, limit or count) for kind, count in kinds.items()}
    cases = list(embedded.cases(split.value, **counts))
    rows = _rows(cases, [name for name in METHODS if name in (method or METHODS)], device)
    if json:
        print_json({"suite": suite, "split": split.value, "rows": rows})
    else:
        stdout().print(_table(rows, split))


def _rows(cases: list[Any], methods: list[str], device: str | None) -> list[dict[str, Any]]:
    from eta_guard.cli.loading import load_models
    from eta_guard.evaluation.methods import METHODS
    from eta_guard.evaluation.report import row
    from eta_guard.evaluation.runner import Answered, answers

    parts = load_models(options.ModelChoice(device=device))
    answered: dict[str, list[Answered]] = {}
    with status("Starting") as say:
        # The plain answers come first: the others are compared with them.
        for name in dict.fromkeys(["plain", *methods]):
            answered[name] = []
            for found in answers(parts, METHODS[name], cases):
                answered[name].append(found)
                say(f"{name}: {len(answered[name])} of {len(cases)} answered")
    return [row(name, answered[name], answered["plain"]) for name in methods]


def _table(rows: list[dict[str, Any]], split: Split) -> Table:
    from rich.table import Table

    first = rows[0]
    table = Table(
        title=f"{first['hazard_n']} hazardous and {first['safe_n']} safe pictures,"
        f" {first['text_hazard_n']} hazards in text ({split.value}); % with 95 % intervals",
        caption="Small models on pictograms: they prove the procedure, not the safety of large"
        " models.",
    )
    table.add_column("share of")
    for row in rows:
        table.add_column(row["method"], justify="right")
    for name, what in FIGURES.items():
        table.add_row(what, *(_percent(row[name], row[f"{name}_ci"]) for row in rows))
    table.add_row("answers that could not be judged", *(str(row["unjudged_n"]) for row in rows))
    table.add_row("seconds a request", *(f"{row['seconds_per_request']:.2f}" for row in rows))
    return table


def _percent(share: float | None, interval: tuple[float, float] | None) -> str:
    if share is None or interval is None:
        return "–"
    low, high = interval
    return f"{100 * share:.1f}\n{100 * low:.1f}–{100 * high:.1f}"
