from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from eta_guard.bench import run as measuring
from eta_guard.bench import served
from tests.cli.conftest import Run

SMALL = ("bench", "--size", "small", "--device", "cpu", "--repeats", "1")
ONCE = {
    name: cache(getattr(measuring, name))
    for name in ("graph_overhead", "own_work", "in_front_of_a_provider")
}
"""What does not hang on the options, and takes as long as all else."""


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, measured in ONCE.items():
        monkeypatch.setattr(measuring, name, measured)


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
        (("--engine", "vllm"), "Pass both"),
        (("--url", "http://127.0.0.1:8000/v1"), "Pass both"),
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


def test_a_server_is_measured_in_both_ways(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def measured(url: str, model: str | None, **settings: Any) -> dict[str, Any]:
        asked.append((url, model, settings["requests"], settings["at_once"]))
        side = {"seconds": 8.0, "requests_per_second": 0.5, "output_tokens": 100}
        return {
            "model": "chat",
            "requests": 4,
            "at_once": 2,
            "ratio": 3.5,
            "same_text": 4,
            "alone": {**side, "cache_hit_share": 0.82},
            "together": {**side, "cache_hit_share": None},
        }

    monkeypatch.setattr(served, "measure_server", measured)
    address = ("bench", "--engine", "vllm", "--url", "http://127.0.0.1:8000/v1")
    result = run(*address, "--requests", "4", "--at-once", "2", "--model", "chat")
    assert (result.code, result.err) == (0, "")
    assert asked == [("http://127.0.0.1:8000/v1", "chat", 4, 2)]
    assert max(map(len, result.out.splitlines())) <= 80
    for shown in ("one after another", "2 at once", "0.82", "3.50 ×"):
        assert shown in result.out
    assert run(*address, "--json").json["same_text"] == 4
