"""What holds for the suites as a package."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest

import eta_guard
from eta_guard import testing

SUITES = [getattr(testing, name) for name in testing.__all__]


def imports_pytest(path: Path) -> bool:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return any(name.split(".")[0] in {"pytest", "_pytest"} for name in names)


def test_pytest_is_imported_nowhere_else() -> None:
    root = Path(eta_guard.__file__).parent
    using = {path.relative_to(root).parts[0] for path in root.rglob("*.py") if imports_pytest(path)}
    assert using == {"testing"}


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.__name__)
def test_every_rule_says_what_to_look_at_if_it_fails(suite: Any) -> None:
    rules = {name: rule for name, rule in inspect.getmembers(suite) if name.startswith("test_")}
    assert len(rules) > 15
    for name, rule in rules.items():
        assert "If it fails: " in (rule.__doc__ or ""), name


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.__name__)
def test_a_suite_is_not_collected_by_itself(suite: type) -> None:
    assert not suite.__name__.startswith("Test")
