"""``eta-guard bench``: what the published procedure costs, and the guard beside it; or a server."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eta_guard.cli import options
from eta_guard.cli.console import print_json, status, stdout
from eta_guard.cli.ending import FAULT
from eta_guard.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table


class SizeOption(StrEnum):
    """Shapes of the random models."""

    small = "small"
    mid = "mid"
    seven_b = "7b"


class EngineOption(StrEnum):
    """What runs the chat model."""

    local = "local"
    vllm = "vllm"


SERVER = "Server"

ROWS = {
    "vlm_forwards": "chat model: forwards",
    "vlm_positions": "… positions",
    "vlm_image_encodes": "… image encodes",
    "reward_forwards": "reward model: forwards",
    "reward_positions": "… positions",
    "clip_image_encodes": "CLIP: images",
    "clip_text_encodes": "… texts",
    "peak_cache_rows": "peak cache, in answers",
    "seconds": "seconds",
}


def bench(
    size: Annotated[
        SizeOption,
        typer.Option(help="small takes seconds, mid minutes; 7b has the paper's shapes."),
    ] = SizeOption.mid,
    candidates: Annotated[
        int | None, typer.Option(min=1, max=64, help="N; the size's own without it.")
    ] = None,
    sentences: Annotated[
        int | None, typer.Option(min=1, help="Of an answer; the size's own without it.")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Times each side runs; the size's own without it.")
    ] = None,
    compiled: Annotated[
        bool,
        typer.Option("--compiled", help="Compile the guard's decode steps (CUDA graphs on a GPU)."),
    ] = False,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Measure how cost grows with N and with sentences.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --sweep: draw it, as .svg or .png.")
    ] = None,
    engine: Annotated[
        EngineOption,
        typer.Option(help="vllm: measure a server, at --url.", rich_help_panel=SERVER),
    ] = EngineOption.local,
    url: Annotated[
        str | None,
        typer.Option(help="Its address, up to and with /v1.", rich_help_panel=SERVER),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The name of its model; the first it tells of without it.", rich_help_panel=SERVER
        ),
    ] = None,
    requests: Annotated[
        int, typer.Option(min=1, help="How many it is asked.", rich_help_panel=SERVER)
    ] = 32,
    at_once: Annotated[
        int, typer.Option(min=1, help="How many of them at a time.", rich_help_panel=SERVER)
    ] = 16,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Add the result to this JSON file, with versions."),
    ] = None,
    device: options.Device = None,
    dtype: options.DtypeOption = None,
    json: options.Json = False,
) -> None:
    """Measure a flagged request: the published procedure beside the guard.

    Both run on the same random models, with the same draws and sentence lengths, by turns, and
    must end with the same text. "safe" is a request whose picture passes. Below stand settings of
    the guard: those that draft less end with the same text, those that repair otherwise do not.

    With --engine vllm: flagged requests to a server, one after another and many at once.
    """
    if (engine is EngineOption.vllm) != (url is not None):
        raise InputError("--engine vllm and --url go together.", hint="Pass both, or neither.")
    if url is not None:
        from eta_guard.cli.bench_server import bench_server

        bench_server(url, model, requests, at_once, json=json)
        return
    if sweep and (candidates or sentences):
        raise InputError("--sweep chooses candidates and sentences itself.", hint="Leave them out.")
    if plot and not sweep:
        raise InputError("--plot draws a sweep.", hint="Add --sweep.")
    if compiled and sweep:
        raise InputError("--sweep compiles nothing.", hint="Leave --compiled out.")
    result = _measured(size, sweep, device, dtype, candidates, sentences, repeats, compiled)
    if plot:
        from eta_guard.bench.plot import plot as draw

        draw(result, plot)
    if out:
        from eta_guard.bench.record import append

        command = _command(size, sweep, compiled, candidates, sentences, repeats, dtype)
        append(out, command, result)
    if json:
        print_json(result)
    else:
        _print(result)
    # In half precision noise alone may flip a draw; in full precision one of the sides is wrong.
    if result["dtype"] == "float32" and not result["same_text"]:
        raise typer.Exit(FAULT)


def _measured(
    size: SizeOption,
    sweep: bool,
    device: str | None,
    dtype: options.Dtype | None,
    candidates: int | None,
    sentences: int | None,
    repeats: int | None,
    compiled: bool,
) -> dict[str, Any]:
    from eta_guard.bench import run
    from eta_guard.bench import sweep as sweeping
    from eta_guard.cli.loading import checked_device, torch_dtype
    from eta_guard.loading import silence_libraries

    silence_libraries()
    where: dict[str, Any] = {"device": checked_device(device), "dtype": torch_dtype(dtype)}
    with status("Starting") as say:
        if sweep:
            return sweeping.sweep(size.value, **where, repeats=repeats or 1, say=say)
        asked: dict[str, Any] = {
            "candidates": candidates,
            "sentences": sentences,
            "repeats": repeats,
            "compiled": compiled,
        }
        return run.measure(size.value, **where, **asked, say=say)


def _command(
    size: SizeOption, sweep: bool, compiled: bool, *rest: int | options.Dtype | None
) -> str:
    names = ("candidates", "sentences", "repeats", "dtype")
    given = [f"--{name} {value}" for name, value in zip(names, rest, strict=True) if value]
    flags = [f"--{name}" for name, on in (("sweep", sweep), ("compiled", compiled)) if on]
    words = ["eta-guard bench", f"--size {size.value}", *flags, *given]
    return " ".join(words)


def _print(result: dict[str, Any]) -> None:
    console = stdout()
    if "by_candidates" in result:
        console.print(_sweep_table(result, "by_candidates", "n", "candidates"))
        console.print(_sweep_table(result, "by_sentences", "sentences", "sentences"))
        return
    console.print(_table(result))
    console.print(_notes(result), soft_wrap=False)


def _table(result: dict[str, Any]) -> Table:
    from rich.table import Table

    published, fast, safe = (result[side] for side in ("published", "fast", "safe"))
    times = result["repeats"]
    table = Table(
        title=f"{result['size']}, {result['device']}, {result['dtype']}: {result['sentences']}"
        f" sentences of {result['n']} candidates; seconds are medians of {times}"
    )
    for name in ("", "published", "eta_guard", "ratio", "safe request"):
        table.add_column(name, justify="right" if name else "left")
    for key, name in ROWS.items():
        ratio = published[key] / fast[key] if fast[key] else None
        if key == "seconds":
            ratio = result["ratio"]["whole"]
        cells = (_number(row[key]) for row in (published, fast))
        table.add_row(name, *cells, _ratio(ratio), _number(safe[key]))
    aligned = result["aligned_seconds"]
    table.add_row(
        "… without the draft",
        _number(aligned["published"]),
        _number(aligned["fast"]),
        _ratio(result["ratio"]["aligned"]),
        "",
    )
    for name, option in {**result["options"], **result["otherwise"]}.items():
        ratio = _ratio(1 / option["of_published"])
        table.add_row(f"… {name}", "", _number(option["seconds"]), ratio, "")
    return table


def _notes(result: dict[str, Any]) -> str:
    overhead, provider = result["graph_overhead"], result["provider"]
    short, long = result["own_work_by_tokens"].values()
    same = "the same text" if result["same_text"] else "DIFFERENT texts"
    if result["draws_alike"] is not None:
        same += f" (the guard went on from the other's draws, {result['draws_alike']:.1%} its own)"
    return (
        f"Both sides ended with {same}. A safe request takes {result['overhead_safe']:.2f} of the"
        f" time that it takes without a guard, a flagged one {result['of_unguarded']:.2f}. The"
        f" graph itself costs {overhead['request_ms']:.1f} ms a request, where LangGraph takes"
        f" {overhead['empty_ms']:.1f} ms for as many empty nodes, and"
        f" {overhead['sentence_ms']:.1f} ms a sentence; the engine itself works"
        f" {short['plain_ms']:.1f} ms a step of a plain answer at 100 tokens and"
        f" {long['plain_ms']:.1f} ms at 1,000, {short['search_ms']:.1f} and"
        f" {long['search_ms']:.1f} ms a step of five candidates. In front of a provider that takes"
        f" {provider['latency_s']} s a call, a flagged request takes {provider['alone_s']:.2f} s,"
        f" {provider['requests']} at once {provider['at_once_s']:.2f} s (up to"
        f" {provider['most_calls']} calls under way, {provider['most_threads']} threads); with a"
        f" photo of 12 megapixels the guard itself computes for {provider['photo_cpu_s']:.2f} s."
        f" {_views(result['views'])}"
    )


def _views(told: dict[str, Any]) -> str:
    published, doubted, every = (told[name] for name in ("published", "default_in_doubt", "all"))
    return (
        f"CLIP takes {published['ms']:.0f} ms for a picture's published view,"
        f" {doubted['ms']:.0f} ms for the {doubted['encodes']} views of one in doubt and"
        f" {every['ms']:.0f} ms for all {every['encodes']}; of a safe request it encodes"
        f" {told['safe_request_encodes']:.2f} on average, by the embedded models' offsets."
    )


def _sweep_table(result: dict[str, Any], rows: str, key: str, name: str) -> Table:
    from rich.table import Table

    fixed = "sentences" if key == "n" else "n"
    with_ = f"{result[rows][0][fixed]} {'sentences' if key == 'n' else 'candidates'}"
    table = Table(title=f"{result['size']}, {result['device']}, {result['dtype']}: {with_}")
    for column in (name, "published s", "eta_guard s", "ratio", "aligned", "plain s"):
        table.add_column(column, justify="right")
    for row in result[rows]:
        table.add_row(
            str(row[key]),
            _number(row["published"]["seconds"]),
            _number(row["fast"]["seconds"]),
            _ratio(row["ratio"]["whole"]),
            _ratio(row["ratio"]["aligned"]),
            _number(row["plain"]["seconds"]),
        )
    return table


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.2f}"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} ×"
