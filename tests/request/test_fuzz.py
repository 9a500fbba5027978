"""Mutated files: a few hundred here, as many as wanted by ``python -m tests.request.fuzz``."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.request import fuzz

CORPUS = Path(__file__).parents[1] / "data" / "fuzz"
"""Files that were faults once."""


def test_the_whole_files_are_decoded() -> None:
    for name, data in fuzz.seeds().items():
        assert fuzz.look(data) == "decoded", name


def test_mutated_files_are_decoded_or_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.request.fuzz", "--files", "500"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stdout
    assert "500 files" in done.stdout
    assert "'decoded'" in done.stdout
    assert "'refused'" in done.stdout


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*")), ids=lambda path: path.name)
def test_what_was_a_fault_is_none_any_more(path: Path) -> None:
    assert fuzz.look(path.read_bytes()) in ("decoded", "refused")


def test_another_seed_makes_other_files_and_the_same_one_the_same() -> None:
    known = fuzz.seeds()
    assert fuzz.mutated(3, known) == fuzz.mutated(3, known)
    assert len({fuzz.mutated(seed, known)[1] for seed in range(50)}) > 45


def test_a_fault_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def forever() -> str:
        while True:
            time.sleep(0.01)

    monkeypatch.setattr(fuzz, "SECONDS", 0.05)
    with pytest.raises(fuzz.HangError):
        fuzz.within_limits(forever)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("eta_guard.request.images._to_rgb", lambda image: image.convert("L"))
    with pytest.raises(AssertionError):
        fuzz.look(fuzz.seeds()["png-RGB"])
    monkeypatch.setattr("eta_guard.request.images.set_upright", broken)
    assert fuzz.look(fuzz.seeds()["png-RGB"]) == "refused"
    monkeypatch.setattr(fuzz, "read_conversation", broken)
    with pytest.raises(ZeroDivisionError):
        fuzz.look(fuzz.seeds()["png-RGB"])
