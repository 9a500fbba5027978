"""What the README shows is what happens."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_each_python_example_prints_what_stands_below_it() -> None:
    namespace: dict[str, Any] = {}
    shown = 0
    for (kind, code), (below, expected) in pairwise(BLOCKS):
        if kind != "python":
            continue
        printed = StringIO()
        with redirect_stdout(printed):
            exec(compile(code, "README.md", "exec"), namespace)
        assert below == "text"
        assert printed.getvalue() == expected
        shown += 1
    assert shown == [kind for kind, _ in BLOCKS].count("python") > 0


def test_nothing_is_left_to_fill_in() -> None:
    assert not re.findall(r"@[A-Z]{3,}@", README)


def test_the_first_example_is_short() -> None:
    first = next(code for kind, code in BLOCKS if kind == "python")
    assert len([line for line in first.splitlines() if line]) <= 12


def test_the_drawing_is_the_graph() -> None:
    """By its edges: the library draws one a line, which would take the first screen."""
    (drawing,) = [code for kind, code in BLOCKS if kind == "mermaid"]
    snapshot = (ROOT / "tests" / "snapshots" / "graph.mmd").read_text(encoding="utf-8")
    assert edges(drawing) == edges(snapshot)


def edges(drawing: str) -> list[tuple[str, str, str]]:
    """From, kind, to: one for each end of ``a -.-> b & c``."""
    found = re.findall(r"^\s*(\w+)(?:\(\[\w+\]\))? (-->|-\.->) (.+?);?$", drawing, re.MULTILINE)
    ends = [
        (start, kind, end.partition("(")[0]) for start, kind, to in found for end in to.split(" & ")
    ]
    named = {"__start__": "START", "__end__": "END"}
    return sorted((named.get(a, a), kind, named.get(b, b)) for a, kind, b in ends)


def test_it_stays_short() -> None:
    """Long outputs go where their command prints them, or into the notebooks."""
    assert len(README.splitlines()) < 350


def test_ci_runs_the_lines_that_install() -> None:
    made = "python3 -m venv .venv && . .venv/bin/activate"
    assert re.findall(r"^python3 -m venv .*$", README, re.MULTILINE) == [
        f"{made} && pip install . -c .ci/constraints.txt && eta-guard demo",
        f"{made} && pip install -e '.[dev]' -c .ci/constraints.txt && pytest",
    ]
    assert "grep -E '^python3 -m venv ' README.md" in (ROOT / ".ci/run").read_text()
