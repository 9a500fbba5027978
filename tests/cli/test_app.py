from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

from tests.cli.conftest import Run

HEAVY = ("torch", "transformers", "open_clip", "langgraph", "langchain_core", "numpy", "PIL")


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["ask", "--help"], ["demo", "--help"], ["--version"]]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from eta_guard.cli import main; code = main(sys.argv[1:]); "
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr);"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert done.stdout


def test_version(run: Run) -> None:
    assert run("--version").out == f"eta-guard {version('eta_guard')}\n"


def test_without_arguments_the_commands_are_listed(run: Run) -> None:
    result = run()

    assert (result.code, result.err) == (0, "")
    assert " ask " in result.out
    assert " demo " in result.out


def test_it_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "eta_guard", "--version"]
    done = subprocess.run(command, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("eta-guard ")
