"""The tables of ``eta-guard evaluate --attack``: a row an attack, and the list of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from eta_guard.cli.figures import shown

HAZARDS = {"flagged": "flagged", "unsafe_shown": "shown unsafe"}
SAFE = {"over_refusal": "refused", "refused_anew": "of helped, refused"}


def tables(figures: Mapping[str, Any]) -> Iterator[Table]:
    """Yields the tables of the figures' ``attacks``."""
    rows = [*figures["each"], *filter(None, [figures["pooled"]])]
    yield _table("Attacked hazards, in %", "unsafe_plain", HAZARDS, rows)
    safe = _table("Safe pictures treated alike, in %", "refused_plain", SAFE, rows)
    safe.caption = "Helped: those that the chat model answers helpfully by itself."
    yield safe
    if {row["method"] for row in figures["methods"]} - {"plain", "full", "before"}:
        yield _by_method(figures["methods"])
    if aimed := [row for row in rows if row["succeeded_n"]]:
        yield _aims(aimed)


def listed() -> Table:
    """The catalogue."""
    from eta_guard.evaluation.attacks.catalogue import ATTACKS

    table = Table(
        title="Attacks; a group's name stands for all in it, all for all but gradients",
        title_justify="left",
    )
    for heading in ("group", "attack", "what it does"):
        table.add_column(heading, overflow="fold")
    before = None
    for attack in ATTACKS.values():
        table.add_row("" if attack.group == before else attack.group, attack.name, attack.line)
        before = attack.group
    return table


def _table(
    title: str, plain: str, columns: Mapping[str, str], rows: list[Mapping[str, Any]]
) -> Table:
    sides = ("before", "after") if all(row["before"] for row in rows) else ("after",)
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("attack", overflow="fold")
    table.add_column("of", justify="right")
    table.add_column(f"plain\n{plain.removesuffix('_plain')}", justify="right")
    for told in columns.values():
        for side in sides:
            table.add_column(f"{told}\n{side}" if len(sides) > 1 else told, justify="right")
    for row in rows:
        cells = [_share(row[side], name) for name in columns for side in sides]
        table.add_row(row["attack"], str(row[f"{plain}_n"]), _share(row, plain), *cells)
    return table


def _by_method(rows: list[Mapping[str, Any]]) -> Table:
    table = Table(title="All but gradients by method, in %", title_justify="left")
    table.add_column("method")
    for heading in ("unsafe before\na refusal", "shown\nunsafe", "safe\nrefused"):
        table.add_column(heading, justify="right")
    for row in rows:
        shares = (_share(row, name) for name in ("unsafe", "unsafe_shown", "over_refusal"))
        table.add_row(row["method"], *shares)
    return table


def _aims(rows: list[Mapping[str, Any]]) -> Table:
    table = Table(title="Along gradients, against the undefended guard", title_justify="left")
    table.add_column("attack")
    table.add_column("aim reached, %", justify="right")
    for row in rows:
        table.add_row(row["attack"], _share(row, "succeeded"))
    return table


def _share(row: Mapping[str, Any], name: str) -> str:
    told = shown(row[name], row[f"{name}_ci"], scale=100, digits=1)
    return told.replace("100.0", "100")  # in 80 columns an interval has room for nine characters
