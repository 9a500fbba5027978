"""The typer application: which commands there are, and how each of them ends."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from eta_guard.cli import ask, bench, calibrate, demo, evaluate, play, soak, views
from eta_guard.cli.ending import ending, prepare_output
from eta_guard.cli.log import one_line_log

PROGRAM = "eta-guard"

# Completion would add two options to every help page for what a shell's own can do.
app = typer.Typer(
    name=PROGRAM,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command("ask")(ask.ask)
app.command("demo")(demo.demo)
app.command("evaluate", cls=evaluate.Command)(evaluate.evaluate)
app.command("calibrate")(calibrate.calibrate)
app.command("views")(views.views)
app.command("play")(play.play)
app.command("bench")(bench.bench)
app.command("soak")(soak.soak)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"{PROGRAM} {version('eta_guard')}")
        raise typer.Exit


@app.callback()
def _program(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """A multimodal chat model whose unsafe answers to images come back repaired (ETA)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: What follows the program's name; those of the process without it.

    Returns:
        The exit code: 0; 1 for a fault of the program; 2 for input that cannot be worked with;
        130 after Ctrl-C; 141 where the reader of the output went away.
    """
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    with ending() as end, one_line_log(), warnings.catch_warnings():
        prepare_output()
        if not sys.warnoptions:  # the libraries' advice to programmers; -W brings it back
            warnings.simplefilter("ignore")
        end.code = app(given, prog_name=PROGRAM, standalone_mode=False) or 0
    return end.code
