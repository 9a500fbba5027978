"""``eta-guard bench --engine vllm``: what a server gets done, on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eta_guard.cli.console import print_json, status, stdout

if TYPE_CHECKING:
    from rich.table import Table


def bench_server(url: str, model: str | None, requests: int, at_once: int, *, json: bool) -> None:
    """Measures a server, and prints what came of it.

    Arguments are the options of ``bench``; errors are those of ``measure_server``.
    """
    from eta_guard.bench.served import measure_server

    with status("Starting") as say:
        result = measure_server(url, model, requests=requests, at_once=at_once, say=say)
    if json:
        print_json(result)
    else:
        stdout().print(_table(result))


def _table(result: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(
        title=f"{result['model']} on a server: {result['requests']} flagged requests"
        f" ({result['same_text']} with the same text in both)"
    )
    for name in ("", "one after another", f"{result['at_once']} at once", "ratio"):
        table.add_column(name, justify="right" if name else "left")
    rows = {
        "seconds": "seconds",
        "requests_per_second": "requests a second",
        "output_tokens": "tokens drawn",
        "cache_hit_share": "found in the prefix cache",
    }
    for key, name in rows.items():
        cells = [result[side][key] for side in ("alone", "together")]
        shown = ["–" if cell is None else _number(cell) for cell in cells]
        table.add_row(
            name, *shown, f"{result['ratio']:.2f} ×" if key == "requests_per_second" else ""
        )
    return table


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.2f}"
