from __future__ import annotations

import threading
from typing import Any

import pytest

from eta_guard.evaluation import Threads


class Runner:
    """Waits until so many cases are under way."""

    def __init__(self, together: int) -> None:
        self._meeting = threading.Barrier(together, timeout=20)
        self.asked: list[Any] = []

    def run(self, case: Any) -> Any:
        self.asked.append(case)
        self._meeting.wait()
        if case == "broken":
            raise ValueError(case)
        return f"record of {case}"


class Setup:
    def __init__(self, runner: Runner) -> None:
        self._runner, self.given = runner, list[Any]()

    def runner(self, parts: Any = None) -> Runner:
        self.given.append(parts)
        return self._runner


def test_cases_are_asked_at_the_same_time_and_share_the_models() -> None:
    setup: Any = Setup(Runner(3))
    parts: Any = {}
    found = Threads(3, lambda: parts)(["a", "b", "c"], setup)  # type: ignore[list-item]
    assert sorted(map(str, found)) == ["record of a", "record of b", "record of c"]
    assert setup.given == [parts]


def test_what_fails_ends_the_run() -> None:
    runner = Runner(1)
    setup: Any = Setup(runner)
    cases: Any = ["broken", *map(str, range(50))]
    with pytest.raises(ValueError, match="broken"):
        list(Threads(1)(cases, setup))
    assert len(runner.asked) < 51
