from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eta_guard import GuardPolicy
from eta_guard.errors import EngineError, ImageInputError
from eta_guard.evaluation.cases import SuiteCase
from eta_guard.evaluation.setup import Setup
from eta_guard.evaluation.spread.processes import Processes, cores
from eta_guard.evaluation.suites.catalogue import read_suite
from tests.evaluation.spread.test_ray_workers import told

SETUP = Setup(
    judge="grammar",
    policy=GuardPolicy(),
    models={"assembly": "embedded"},
    methods=("plain", "full"),
    device="cpu",
)
processes = pytest.mark.slow


@processes
@pytest.mark.timeout(600)
def test_two_processes_give_what_one_gives() -> None:
    cases = read_suite("embedded", limit=3).cases
    found = {record.id: record for record in Processes(2)(cases, SETUP)}
    assert set(found) == {case.id for case in cases}
    runner = SETUP.runner()
    for case in cases[::4]:
        assert told(found[case.id]) == told(runner.run(case))
    assert not multiprocessing.active_children()


@processes
@pytest.mark.timeout(600)
def test_a_killed_process_is_told_and_what_ended_before_was_given() -> None:
    cases = read_suite("embedded", limit=10).cases
    found = Processes(2)(cases, SETUP)
    assert next(found).id in {case.id for case in cases}
    os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)
    with pytest.raises(EngineError, match="worker process died"):
        list(found)


@processes
@pytest.mark.timeout(600)
def test_an_interrupt_is_quiet_and_keeps_what_has_ended(tmp_path: Path) -> None:
    kept = tmp_path / "out" / "cases.jsonl"
    command = [sys.executable, "-m", "eta_guard", "evaluate", "--limit", "40", "--workers", "2"]
    started = subprocess.Popen(
        [*command, "--method", "plain", "--out", tmp_path / "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )

    def lines() -> int:
        return len(kept.read_bytes().splitlines()) if kept.exists() else 0

    # Two: the last one is taken back if the interrupt comes while it is being written.
    while lines() < 2 and started.poll() is None:
        time.sleep(0.1)
    os.killpg(started.pid, signal.SIGINT)  # as a terminal does: to all of them
    out, err = started.communicate()
    assert (started.returncode, out) == (130, "")
    # On a slow machine the progress is told once or twice before; nothing but that.
    *before, last = err.splitlines()
    assert "of 120 cases are kept" in last
    assert all(line.startswith("Asking: ") for line in before)
    assert 1 <= len(kept.read_text("utf-8").splitlines()) < 120


@processes
@pytest.mark.timeout(600)
def test_an_error_comes_out_as_in_one_process(tmp_path: Path) -> None:
    missing = SuiteCase("1", "What?", hazardous=True, kind="own", image=tmp_path / "gone.png")
    with pytest.raises(ImageInputError, match=r"gone\.png .*Complete the copy"):
        list(Processes(2)([missing], SETUP))


def test_cores_are_those_that_may_be_used() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
