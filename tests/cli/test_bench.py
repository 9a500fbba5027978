from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eta_guard.bench import run as measuring
from tests.cli.conftest import Run

SMALL = ("bench", "--size", "small", "--device", "cpu", "--repeats", "1")


def test_the_table_fits_80_columns(run: Run) -> None:
    result = run(*SMALL, "--candidates", "2", "--sentences", "2")
    assert (result.code, result.err) == (0, "")
    assert max(map(len, result.out.splitlines())) <= 80
    assert "2 sentences of 2 candidates" in result.words
    assert "Both sides ended with the same text." in result.words
    for shown in ("published", "eta_guard", "safe request", "… without the draft"):
        assert shown in result.out


def test_json_has_the_sides_and_the_ratios(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    result = run(*SMALL, "--candidates", "1", "--sentences", "1", "--json", "--out", file)
    assert (result.code, result.err) == (0, "")
    expected = {"published", "fast", "safe", "ratio", "overhead_safe"}
    expected |= {"size", "device", "dtype", "n", "sentences"}
    assert expected <= set(result.json)
    (record,) = json.loads(file.read_text("utf-8"))
    assert record["result"] == result.json
    assert "--size small --candidates 1 --sentences 1 --repeats 1" in record["command"]


@pytest.mark.slow
def test_different_texts_in_full_precision_are_a_fault(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = measuring.summary

    def differing(pairs: list[Any]) -> dict[str, Any]:
        return {**summary(pairs), "same_text": False}

    monkeypatch.setattr(measuring, "summary", differing)
    result = run(*SMALL, "--candidates", "1", "--sentences", "1")
    assert result.code == 1
    assert "DIFFERENT" in result.out


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("--sweep", "--candidates", "2"), "Leave them out"),
        (("--plot", "cost.svg"), "Add --sweep"),
        (("--size", "13b"), "small"),
        (("--device", "abacus"), "--device cpu"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    run: Run, arguments: tuple[str, ...], hint: str
) -> None:
    result = run("bench", *arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1
    assert hint in result.err
