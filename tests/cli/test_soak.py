from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from eta_guard.bench.soak import run as soaking
from tests.cli.conftest import Run

FOUND: dict[str, Any] = {
    "requests": 20,
    "threads": 8,
    "tasks": 64,
    "seconds": 3.2,
    "ended": {"safe": 12, "flagged": 4, "cancelled": 4, "cut off": 3},
    "wrong": 0,
    "wrong_shown": [],
    "hung": 0,
    "memory": {"before": 5 * 10**8, "warm": 6 * 10**8, "after": 6 * 10**8, "grown": 0.001},
    "threads_left": [],
    "connections": {"before": 0, "after": 0},
    "files": {"before": 5, "after": 5},
    "checks": {
        "each its own result": True,
        "all ended": True,
        "memory": True,
        "no thread left": True,
        "no connection left": None,
        "no file left open": True,
    },
}


def changed(name: str) -> dict[str, Any]:
    return {**FOUND, "checks": {**FOUND["checks"], name: False}}


def told(monkeypatch: pytest.MonkeyPatch, found: dict[str, Any]) -> list[Any]:
    asked: list[Any] = []

    def soak(*given: Any, **more: Any) -> dict[str, Any]:
        asked.append((given, more))
        return found

    monkeypatch.setattr(soaking, "soak", soak)
    return asked


def test_the_table_says_what_holds(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = told(monkeypatch, FOUND)
    result = run("soak", "--requests", "20", "--seed", "3")
    assert (result.code, result.err) == (0, "")
    assert max(map(len, result.out.splitlines())) <= 80
    for shown in ("20 requests from 8 threads and 64 tasks", "600 MB after the warm-up, +0.1%"):
        assert shown in result.words
    assert "not told here" in result.words
    ((given, more),) = asked
    assert given == (20,)
    assert (more["threads"], more["tasks"], more["seed"], more["limit"]) == (8, 64, 3, 3600.0)


@pytest.mark.parametrize("name", FOUND["checks"])
def test_what_does_not_hold_is_a_fault(
    name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(monkeypatch, changed(name))
    result = run("soak", "--requests", "20")
    assert result.code == 1
    assert "NO" in result.out
    assert run("soak", "--requests", "20", "--json").json == changed(name)


def test_so_is_a_request_that_was_not_begun_in_time(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(monkeypatch, FOUND)
    assert run("soak", "--requests", "21").code == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_small_models_stand_two_hundred() -> None:
    # A process of its own: memory and threads of this one are those of other tests too.
    done = subprocess.run(
        [sys.executable, "-m", "eta_guard", "soak", "--requests", "200", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout)
    assert found["wrong_shown"] == []
    assert False not in found["checks"].values(), found
    assert (done.returncode, found["requests"]) == (0, 200)
    assert found["ended"]["cut off"] > 0
