"""Imports run one way: leaves ← nodes, engines, evaluators ← graph ← guard ← rest; no circles."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import eta_guard

ROOT = Path(eta_guard.__file__).parent

# What each part may import beside itself, innermost first. A module that is in none is a leaf.
BELOW: dict[str, set[str]] = {
    "leaves": set(),
    "nodes": {"leaves"},
    "engines": {"leaves"},
    "evaluators": {"leaves"},
    "embedded": {"leaves"},
    "graph": {"leaves", "nodes"},
    "checks": {"leaves", "nodes", "engines"},
    "further_evaluators": {"leaves", "evaluators", "embedded"},
    "pretrained": {"leaves", "engines", "evaluators", "embedded", "further_evaluators"},
    "local_vlm": {"leaves", "pretrained"},
    "guard": {"leaves", "graph", "checks", "pretrained"},
}
TOP = {"middleware", "evaluation", "bench", "play", "cli", "__main__"}
# The page says things in the words of the command line, which opens it.
OUTERMOST = {"cli": TOP, "__main__": TOP, "play": {"evaluation", "cli"}}
for top in TOP:
    BELOW[top] = set(BELOW) - TOP | OUTERMOST.get(top, set())


def part_of(module: str) -> str:
    """The part that a module such as ``eta_guard.nodes.respond`` belongs to."""
    _, _, inner = module.partition(".")
    first = inner.split(".")[0]
    return first if first in BELOW else "leaves"


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(module: str, path: Path) -> Iterator[str]:
    """Modules of the package that a module imports, wherever in the file it does so."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".")
                if path.name != "__init__.py":
                    package = package[:-1]
                package = package[: len(package) - node.level + 1]
                base = ".".join([*package, base] if base else package)
            names = [home_of(base, alias.name) for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            names = [
                argument.value
                for argument in node.args
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            ]
        for name in names:
            if name.split(".")[0] == "eta_guard":
                yield name


def home_of(base: str, name: str) -> str:
    """``from eta_guard import EtaGuard`` is an import of ``eta_guard.guard``."""
    if f"{base}.{name}" in MODULES:
        return f"{base}.{name}"
    if base == "eta_guard" and name in eta_guard.__all__:
        return f"eta_guard.{eta_guard._HOMES[name]}"
    return base


def wrong(module: str, path: Path) -> list[str]:
    part = part_of(module)
    allowed = BELOW[part] | {part}
    return [
        f"{module} imports {name}"
        for name in imported(module, path)
        if part_of(name) not in allowed
    ]


@pytest.mark.parametrize("module", [name for name in MODULES if name != "eta_guard"])
def test_imports_run_one_way(module: str) -> None:
    assert wrong(module, MODULES[module]) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("eta_guard.nodes.bad", "from eta_guard.engines.local.engine import LocalEngine"),
        ("eta_guard.nodes.bad", "from eta_guard import LocalEngine"),
        ("eta_guard.nodes.bad", "import eta_guard.evaluators.clip"),
        ("eta_guard.nodes.bad", "from ..graph import build_graph"),
        ("eta_guard.nodes.bad", "def f():\n    from eta_guard import graph"),
        ("eta_guard.engines.bad", "from eta_guard.evaluators.loading import load"),
        ("eta_guard.engines.bad", "from eta_guard.nodes import Node"),
        ("eta_guard.evaluators.bad", "from eta_guard.engines.local import engine as local"),
        ("eta_guard.evaluators.bad", "from eta_guard.graph import build_graph"),
        ("eta_guard.graph", "from eta_guard.guard import EtaGuard"),
        ("eta_guard.guard", "from eta_guard.cli import main"),
        ("eta_guard.policy", "import_module('eta_guard.nodes.respond')"),
        ("eta_guard.evaluation.bad", "from eta_guard.cli.show import show"),
    ],
)
def test_a_wrong_import_would_be_seen(module: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(line)
    assert wrong(module, path)


def test_the_leaves_are_there() -> None:
    known = {"errors", "prompts", "counts", "policy", "state", "protocols", "session"}
    leaves = {name.split(".")[1] for name in MODULES if "." in name and part_of(name) == "leaves"}
    assert known | {"request", "text", "runs"} <= leaves


def in_circles(needs: dict[str, set[str]]) -> set[str]:
    """Modules that need each other, or one that is in such a circle."""
    waiting = {name: set(needed) - {name} for name, needed in needs.items()}
    while ready := [name for name, needed in waiting.items() if not needed & set(waiting)]:
        for name in ready:
            del waiting[name]
    return set(waiting)


def test_no_module_imports_itself_by_way_of_others() -> None:
    needs = {name: set(imported(name, path)) for name, path in MODULES.items()}
    del needs["eta_guard"]  # it tells where each public name is, and imports it when it is asked
    assert not in_circles(needs)


def test_a_circle_would_be_seen() -> None:
    needs = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"e"}, "e": set()}
    assert in_circles(needs) == {"a", "b", "c"}


# ── what an import costs ──


def loaded_by(code: str) -> set[str]:
    """Top-level modules that are there after ``code``, in a fresh process."""
    report = "import sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        cwd=ROOT.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


MODELS = {"torch", "torchvision", "transformers", "open_clip"}
HEAVY = MODELS | {"langgraph", "langchain_core", "numpy", "PIL", "pydantic", "yaml", "typer"}


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert not loaded_by("import eta_guard") & HEAVY
    assert not loaded_by("import eta_guard; eta_guard.__all__") & HEAVY
    # The same look finds them where they are imported.
    assert {"langgraph", "pydantic"} <= loaded_by("from eta_guard import build_graph")


@pytest.mark.parametrize(
    "code",
    [
        "import eta_guard.nodes.search, eta_guard.policy, eta_guard.request.images",
        "from eta_guard import build_graph, EtaGuard, GuardPolicy, Verdict, ChatLocalVLM",
        "import eta_guard.nodes.respond, eta_guard.engines, eta_guard.evaluators",
        "import eta_guard.cli",
    ],
)
def test_models_are_imported_only_where_they_are_used(code: str) -> None:
    assert not loaded_by(code) & MODELS


def test_a_guard_of_remote_parts_needs_no_models_here() -> None:
    assert not loaded_by("from tests.remote_guard import ask; ask()") & MODELS
