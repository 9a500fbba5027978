"""The tables of ``eta-guard evaluate``: a row a method, so that they fit a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

Row = Mapping[str, Any]

HAZARDS = {
    "unsafe_rate": "answered unsafely",
    "unsafe_rate_shown": "unsafe answer shown",
    "repair_helpful_rate": "repair helps",
    "text_hazard_unsafe_rate": "text alone: unsafe",
}
SAFE = {
    "over_refusal_rate": "refused",
    "helpful_rate": "answered helpfully",
    "safe_answers_unchanged_rate": "as without guard",
    "correct_rate": "known answer found",
}
MASKED = {"masked_right_rate": "names what is there"}
"""Of answers to covered pictures; what is covered counts as there."""
OF_SOME = ("repair_helpful_rate", "correct_rate", "masked_right_rate")
"""Shares of fewer cases than the title counts: their own count stands with them."""

COST = {
    "mean_reward": "mean reward",
    "tokens_relative": "tokens, times plain",
    "seconds_relative": "time, times plain",
    "seconds_per_request": "seconds a request",
}


KINDS = {"image": "Image evaluator", "response": "Response evaluator"}

UNION = "any of them"
"""The row of several evaluators together."""


def tables(title: str, figures: Mapping[str, Any]) -> Iterator[Table]:
    """Yields the tables of ``EvaluationRun.figures``; what nothing was asked for is left out."""
    rows, comparisons = figures["rows"], figures["comparisons"]
    first = rows[0]
    if first["hazard_n"] or first["text_hazard_n"]:
        yield _table(f"{title}\nOf hazards, in %", HAZARDS, rows, 100, 1)
    if first["safe_n"]:
        yield _table("Of safe requests, in %", SAFE, rows, 100, 1)
    if covering := [row for row in rows if row["masked_right_rate_n"]]:
        yield _table("Of answers to covered pictures, in %", MASKED, covering, 100, 1)
    cost = _table("Cost", COST, rows, 1, 2)
    unjudged = {row["method"]: row["unjudged_n"] for row in rows if row["unjudged_n"]}
    told = ", ".join(f"{name} {count}" for name, count in unjudged.items()) or "none"
    cost.caption = f"Answers that could not be judged (they count as neither): {told}."
    yield cost
    if comparisons:
        yield _wins(comparisons)
    for kind, found in figures["evaluators"].items():
        yield _evaluators(kind, found)
        if found["agreement"]:
            yield agreement(kind, found["agreement"])
    if figures["places"]:
        yield _places(figures["places"])


def agreement(kind: str, rows: Sequence[Row]) -> Table:
    """How often each two evaluators of a kind flag the same cases."""
    table = Table(
        title=f"{KINDS[kind]}s: who flags what, in cases that all have scored",
        title_justify="left",
    )
    table.add_column("first\nsecond", overflow="fold")
    table.add_column("cases")
    for heading in ("both", "only first", "only second", "neither"):
        table.add_column(heading, justify="right")
    for row in rows:
        names = f"{row['first']}\n{row['second']}"
        counts = zip(row["unsafe"].values(), row["safe"].values(), strict=True)
        table.add_row(names, "unsafe\nsafe", *(f"{unsafe}\n{safe}" for unsafe, safe in counts))
    return table


def _evaluators(kind: str, found: Mapping[str, Any]) -> Table:
    both = found["together"]
    what = "pictures" if kind == "image" else "plain answers"
    table = Table(
        title=f"{KINDS[kind]}{'s' if len(found['each']) > 1 else ''}:"
        f" {both['flagged_unsafe_n']} unsafe and {both['flagged_safe_n']} safe {what}",
        title_justify="left",
    )
    table.add_column("evaluator", overflow="fold")
    for heading in ("threshold", "area under ROC", "unsafe flagged, %", "safe flagged, %"):
        table.add_column(heading, justify="right")
    for name, row in found["each"].items():
        sign = "≥" if row["unsafe"] == "above" else "≤"
        area = shown(row["area"], row["area_ci"], scale=1, digits=3)
        table.add_row(name, f"{sign} {row['threshold']:.4g}", area, *_flagged(row))
    if len(found["each"]) > 1:
        table.add_row(UNION, "", "", *_flagged(both))
    return table


def _places(found: Mapping[str, Row]) -> Table:
    table = Table(
        title="Regions: where the evaluators say that hazards lie, of those flagged; in %",
        caption="Blind: the picture's own middle, and the whole picture.",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("evaluator", overflow="fold")
    headings = {
        "hit": "middle on the hazard",
        "hit_blind": "blind",
        "overlap": "overlap (IoU)",
        "overlap_blind": "blind",
        "covered": "hazard covered",
    }
    for heading in headings.values():
        table.add_column(heading, justify="right")
    for name, row in found.items():
        cells = (shown(row[one], row[f"{one}_ci"], scale=100, digits=1) for one in headings)
        table.add_row(f"{name}, {row['hit_n']} pictures", *cells)
    return table


def _flagged(row: Row) -> Iterator[str]:
    for name in ("flagged_unsafe", "flagged_safe"):
        yield shown(row[name], row[f"{name}_ci"], scale=100, digits=1)


def _table(
    title: str, figures: Mapping[str, str], rows: Sequence[Row], scale: float, digits: int
) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("method")
    for what in figures.values():
        table.add_column(what, justify="right")
    for row in rows:
        cells = (
            shown(
                row[name],
                row[f"{name}_ci"],
                scale=scale,
                digits=digits,
                count=row[f"{name}_n"] if name in OF_SOME else None,
            )
            for name in figures
        )
        table.add_row(row["method"], *cells)
    return table


def _wins(comparisons: Sequence[Row]) -> Table:
    table = Table(title="Win or tie, in %", title_justify="left")
    for heading in ("method", "against", "win or tie", "wins", "ties", "losses", "unjudged"):
        table.add_column(heading)
    for found in comparisons:
        counts = (str(found[name]) for name in ("wins", "ties", "losses", "unjudged_n"))
        rate = shown(found["win_tie_rate"], found["win_tie_rate_ci"], scale=100, digits=1)
        table.add_row(found["method"], found["against"], rate, *counts)
    return table


def shown(
    value: float | None,
    interval: tuple[float, float] | None,
    *,
    scale: float,
    digits: int,
    count: int | None = None,
) -> str:
    """``1.0`` above ``0.4–2.5``; with a count, ``1.0 of 371``."""
    if value is None or interval is None:
        return "–"
    low, high = interval
    of = "" if count is None else f" of {count}"
    return f"{scale * value:.{digits}f}{of}\n{scale * low:.{digits}f}–{scale * high:.{digits}f}"
