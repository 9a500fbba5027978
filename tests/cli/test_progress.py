from __future__ import annotations

from types import SimpleNamespace

import pytest

from eta_guard.cli.progress import progress


def test_a_log_has_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 30.0, 61.0, 62.0])
    told_time = SimpleNamespace(monotonic=lambda: next(clock))
    monkeypatch.setattr("eta_guard.cli.progress.time", told_time)
    with progress("Asking") as told:
        for done in (10, 11, 12, 13):
            told(done, 132)
    # Two cases in 61 seconds; what was done before says nothing of the pace.
    assert capsys.readouterr().err == "Asking: 12 of 132, about 61 min left\n"


def test_a_bar_is_shown_from_the_first_call_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress("Asking"):
        pass
    assert capsys.readouterr().err == ""
    with progress("Asking") as told:
        told(1, 3)
        told(3, 3)
    assert "3/3" in capsys.readouterr().err
