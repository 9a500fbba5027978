from __future__ import annotations

from typing import Any

import pytest

from eta_guard.cli import asking
from eta_guard.evaluation.setup import Setup
from tests.cli.conftest import Models, Run


def test_there_is_a_process_a_core_only_where_that_pays(
    run: Run, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def here(cases: Any, setup: Setup, *, workers: int) -> Any:
        asked.append(workers)
        parts: Any = models.load("embedded", progress=lambda what: None)
        return map(setup.runner(parts).run, cases)

    monkeypatch.setattr(asking, "in_processes", here)
    monkeypatch.setattr(asking, "cores", lambda: 3)
    monkeypatch.setattr(asking, "FEW", 4)
    shared = ("evaluate", "--method", "plain", "--json", "--limit")
    for arguments, workers in (
        (("1",), []),
        (("2",), [3]),
        (("2", "--workers", "1"), []),
        (("1", "--workers", "2"), [2]),
        (("2", "--clip", "another"), []),
    ):
        asked.clear()
        assert run(*shared, *arguments).code == 0
        assert asked == workers
