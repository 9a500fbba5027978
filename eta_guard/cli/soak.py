"""``eta-guard soak``: many requests at once, and whether anything goes wrong or is left behind."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eta_guard.cli import options
from eta_guard.cli.console import print_json, status, stdout
from eta_guard.cli.ending import FAULT

if TYPE_CHECKING:
    from rich.table import Table


def soak(
    requests: Annotated[int, typer.Option(min=1, help="How many, after the warm-up.")] = 2000,
    threads: Annotated[int, typer.Option(min=1, help="That ask synchronously.")] = 8,
    tasks: Annotated[int, typer.Option(min=1, help="That ask on one event loop.")] = 64,
    limit: Annotated[
        float, typer.Option(min=1, help="Seconds after which no request begins any more.")
    ] = 3600.0,
    seed: Annotated[int, typer.Option(help="Of the mixture.")] = 0,
    json: options.Json = False,
) -> None:
    """Ask the small models many things at once: safe, flagged, cancelled and failing requests.

    Each has to get the result that it gets alone. Afterwards no thread and no connection may be
    left, and no more memory held than 5 % above what was held after the warm-up. The exit code
    is 1 where something of this does not hold.
    """
    from eta_guard.bench.soak.run import soak as run
    from eta_guard.loading import silence_libraries

    silence_libraries()
    with _without_warnings(), status("Starting") as say:
        result = run(requests, threads=threads, tasks=tasks, seed=seed, limit=limit, say=say)
    if json:
        print_json(result)
    else:
        _print(result)
    if result["requests"] < requests or False in result["checks"].values():
        raise typer.Exit(FAULT)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Every injected fault is logged, as it should be; here that is a line for each."""
    ours = logging.getLogger("eta_guard")
    level = ours.level
    ours.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        ours.setLevel(level)


def _print(result: dict[str, Any]) -> None:
    console = stdout()
    console.print(_table(result))
    for wrong in result["wrong_shown"]:
        console.print(f"{wrong['request']}: {wrong['found']} and not {wrong['wanted']}")


def _table(result: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(
        title=f"{result['requests']} requests from {result['threads']} threads and"
        f" {result['tasks']} tasks in {result['seconds']:.0f} s"
    )
    for name in ("", "found", "holds"):
        table.add_column(name)
    ended = ", ".join(f"{count} {kind}" for kind, count in sorted(result["ended"].items()))
    memory, words = result["memory"], {True: "yes", False: "NO", None: "not told here"}
    grown = "" if memory["grown"] is None else f"{memory['warm'] / 1e6:.0f} MB"
    found = {
        "each its own result": f"{ended}; {result['wrong']} wrong",
        "all ended": f"{result['hung']} hang",
        "memory": grown and f"{grown} after the warm-up, {memory['grown']:+.1%} since",
        "no thread left": ", ".join(result["threads_left"]) or "none",
        "no connection left": _change(result["connections"]),
        "no file left open": _change(result["files"]),
    }
    for name, holds in result["checks"].items():
        table.add_row(name, found[name], words[holds])
    return table


def _change(counted: dict[str, int | None]) -> str:
    return f"{counted['before']} before, {counted['after']} after"
