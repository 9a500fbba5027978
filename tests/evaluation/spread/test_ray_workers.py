"""A run over Ray actors gives what a run in one process gives, and survives a worker's death."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from eta_guard import GuardPolicy
from eta_guard.errors import InputError
from eta_guard.evaluation.records import CaseRecord
from eta_guard.evaluation.results import ResultsFile
from eta_guard.evaluation.setup import Setup
from eta_guard.evaluation.spread.ray_workers import RayWorkers
from eta_guard.evaluation.suites.catalogue import read_suite

pytestmark = [
    pytest.mark.enable_socket,
    # Ray's own: sockets and files that it leaves to the garbage collector.
    pytest.mark.filterwarnings("ignore"),
]

SETUP = Setup(
    judge="grammar",
    policy=GuardPolicy(),
    models={"assembly": "embedded"},
    methods=("plain", "full"),
    device="cpu",
)


def workers() -> list[int]:
    """Processes of Ray actors that run cases."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::MapWorker"):
                found.append(int(path.parent.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def told(record: CaseRecord) -> object:
    """What does not depend on which process it was, nor on what that did before."""
    answers = {
        name: (answer.text, answer.decision, answer.judgement, answer.sentences)
        for name, answer in record.answers.items()
    }
    return record.id, record.models, answers


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    cases = read_suite("embedded", limit=5).cases
    before = set(workers())
    results = ResultsFile(tmp_path / "out", SETUP.configuration)
    killed = 0
    for record in RayWorkers(workers=2)(cases, SETUP):
        results.append(record)
        mine = sorted(set(workers()) - before)
        if not killed:
            assert len(mine) == 2
            killed = mine[0]
            os.kill(killed, signal.SIGKILL)
            assert len(results.records) < len(cases)
    assert killed
    again = ResultsFile(tmp_path / "out", SETUP.configuration)
    assert again.missing(cases) == []
    lines = (tmp_path / "out" / "cases.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == len(cases)
    # The same, case by case, as one process without Ray.
    runner = SETUP.runner()
    for case in cases[::4]:
        assert told(again.records[case.id]) == told(runner.run(case))


@pytest.mark.parametrize("error", [ConnectionError("nobody\nthere"), ValueError("no address")])
def test_where_there_is_no_cluster_one_line_says_so(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")

    def refuse(**settings: object) -> None:
        raise error

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(InputError, match="no Ray cluster") as caught:
        next(RayWorkers("ray://nowhere:1")(read_suite("embedded", limit=1).cases, SETUP))
    assert "\n" not in str(caught.value)
