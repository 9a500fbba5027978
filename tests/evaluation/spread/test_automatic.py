from __future__ import annotations

import pytest

from eta_guard.evaluation import Automatic, Here, Processes, Setup
from eta_guard.evaluation.spread import automatic

SMALL = Setup(judge="grammar")


@pytest.fixture(autouse=True)
def three_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automatic, "cores", lambda: 3)


@pytest.mark.parametrize(
    ("cases", "setup", "spread"),
    [
        (automatic.FEW, SMALL, Here()),
        (automatic.FEW + 1, SMALL, Processes(3)),
        (1000, Setup(judge="grammar", models={"assembly": "embedded", "clip": "other"}), Here()),
        (1000, Setup(judge="grammar", models={"assembly": "paper"}), Here()),
    ],
)
def test_there_is_a_process_a_core_only_where_that_pays(
    cases: int, setup: Setup, spread: object
) -> None:
    assert Automatic().fitting(cases, setup) == spread


def test_one_core_needs_no_second_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automatic, "cores", lambda: 1)
    assert Automatic().fitting(1000, SMALL) == Here()
