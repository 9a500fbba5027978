from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from eta_guard.bench import record, run
from eta_guard.bench.graph_overhead import graph_overhead
from eta_guard.bench.pictures import request
from eta_guard.bench.plot import plot
from eta_guard.bench.run import COUNTS, Bench, measure, summary
from eta_guard.bench.sizes import SIZES
from eta_guard.bench.sweep import sweep
from eta_guard.errors import InputError
from eta_guard.evaluators.regions.settings import RegionSettings
from eta_guard.evaluators.regions.tiles import tiles_of


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return measure("small", device="cpu", candidates=2, sentences=2, repeats=2)


def test_the_result_is_plain_json(result: dict[str, Any]) -> None:
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    for side in ("published", "fast", "safe"):
        assert set(result[side]) == {*COUNTS, "seconds"}
        assert all(isinstance(result[side][name], int) for name in COUNTS[:-1])
        assert result[side]["seconds"] > 0
    assert set(result["ratio"]) == {"whole", "aligned"}
    assert result["overhead_safe"] > 0
    assert set(result["options"]) == {"draft_stop_margin", "draft_with_candidates"}
    assert set(result["otherwise"]) == {"accept_above", "mask", "mask+eta", "guardalign"}
    assert all(one["of_published"] > 0 for one in result["otherwise"].values())
    assert result["provider"]["most_calls"] >= 5
    assert list(result["own_work_by_tokens"]) == ["100", "1000"]
    for own in result["own_work_by_tokens"].values():
        assert set(own) == {"plain_ms", "search_ms"}
        assert min(own.values()) > 0
    assert set(result["graph_overhead"]) == {"request_ms", "sentence_ms", "empty_ms"}
    assert [result[key] for key in ("size", "device", "dtype", "n", "sentences", "repeats")] == [
        "small",
        "cpu",
        "float32",
        2,
        2,
        2,
    ]


def test_both_sides_did_the_work_they_claim(result: dict[str, Any]) -> None:
    assert result["same_text"] is True
    published, fast, safe = (result[side] for side in ("published", "fast", "safe"))
    assert [side["vlm_image_encodes"] for side in (published, fast, safe)] == [2, 1, 1]
    assert published["vlm_positions"] > 2 * fast["vlm_positions"]
    assert published["reward_positions"] > 2 * fast["reward_positions"]
    assert (safe["reward_forwards"], safe["clip_image_encodes"]) == (0, 1)


def test_drafting_less_is_measured_too(result: dict[str, Any]) -> None:
    fast, options = result["fast"], result["options"]
    assert all(option["same_text"] for option in options.values())
    stopped, alongside = options["draft_stop_margin"], options["draft_with_candidates"]
    assert stopped["vlm_positions"] < fast["vlm_positions"]
    assert alongside["vlm_positions"] == fast["vlm_positions"]
    assert alongside["vlm_forwards"] < fast["vlm_forwards"]


def test_repairing_otherwise_is_measured_too(result: dict[str, Any]) -> None:
    fast, otherwise = result["fast"], result["otherwise"]
    early, mask, both = (otherwise[name] for name in ("accept_above", "mask", "mask+eta"))
    # The prompt is read anew with the covered picture.
    assert [one["vlm_image_encodes"] for one in (early, mask, both)] == [1, 2, 2]
    assert fast["vlm_positions"] < mask["vlm_positions"] < both["vlm_positions"]
    assert mask["reward_forwards"] == 2  # the draft, and the answer anew
    by_region = otherwise["guardalign"]
    assert by_region["vlm_positions"] == mask["vlm_positions"]
    tiles = len(tiles_of(Image.new("RGB", (96, 96)), RegionSettings().tiling))
    assert by_region["clip_image_encodes"] == tiles > mask["clip_image_encodes"]
    assert both["reward_forwards"] == fast["reward_forwards"] + 1
    assert early["reward_forwards"] <= fast["reward_forwards"]


def test_a_difference_in_text_is_told() -> None:
    bench = Bench(SIZES["small"], torch.device("cpu"), torch.float32)
    (pair,) = bench.pairs(1, 1, repeats=1)
    assert summary([pair])["same_text"] is True
    assert summary([pair, replace(pair, same_text=False)])["same_text"] is False


def test_in_half_precision_the_draws_are_compared_after_the_same_text() -> None:
    bench = Bench(SIZES["small"], torch.device("cpu"), torch.bfloat16)
    (pair,) = bench.pairs(2, 2, repeats=1)
    found = summary([pair])
    assert found["same_text"] is True
    assert 0.9 < found["draws_alike"] <= 1
    assert found["fast"]["peak_cache_rows"] <= 1.5
    options = bench.options(2, 2, pair)
    assert all(option["same_text"] for option in options.values())


def test_what_another_side_drew_is_gone_on_from_and_what_differs_is_told() -> None:
    bench = Bench(SIZES["small"], torch.device("cpu"), torch.bfloat16)
    (pair,) = bench.pairs(1, 1, repeats=1)
    drawn = {place: [*ids] for place, ids in pair.published.drawn.items()}
    words = drawn[1, 0]
    words[0], words[1] = words[1], words[0]
    with bench._following(drawn) as follow:
        answer, _ = bench._guarded(bench.lengths(1, 1)).repair(request(2, bench.models.side), 1)
    assert follow is not None
    assert sum(not alike for alike in follow.alike) >= 1
    assert answer.text != pair.fast.text
    assert sorted(answer.text.split()) == sorted(pair.fast.text.split())


@pytest.mark.slow
def test_a_slow_machine_repeats_less_unless_it_is_told_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "ENOUGH_SECONDS", 0)
    shape = replace(SIZES["small"], repeats=3)
    monkeypatch.setattr(run, "find_size", lambda _: shape)
    small: dict[str, Any] = {"device": "cpu", "candidates": 1, "sentences": 1}
    assert measure("small", **small)["repeats"] == 1
    assert measure("small", **small, repeats=2)["repeats"] == 2


def test_the_graph_runs_as_many_sentences_as_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    # A clock that strikes once for each proposal shows what the line is drawn through.
    from eta_guard.bench import graph_overhead as module

    class Counting(module._Constant):
        strikes = 0

        def open(self, *_: object) -> module._Constant:
            return Counting(self.sentences)

        def propose(self, n: int, sampling: Any) -> list[Any]:
            Counting.strikes += 1
            return super().propose(n, sampling)

    monkeypatch.setattr(module, "_Constant", Counting)
    monkeypatch.setattr(module, "process_time", lambda: float(Counting.strikes))
    assert graph_overhead(repeats=2) == {
        "request_ms": 0.0,
        "sentence_ms": 1000.0,
        "empty_ms": 0.0,
    }


def test_a_sweep_has_a_row_a_place_and_is_drawn(tmp_path: Path) -> None:
    swept = sweep("small", device="cpu", candidates=(1, 2), sentences=(1, 3))
    assert [(row["n"], row["sentences"]) for row in swept["by_candidates"]] == [(1, 3), (2, 3)]
    assert [(row["n"], row["sentences"]) for row in swept["by_sentences"]] == [(3, 1), (3, 3)]
    assert swept["same_text"] is True

    with pytest.raises(InputError, match="svg"):
        plot(swept, tmp_path / "cost.txt")
    pytest.importorskip("matplotlib")
    plot(swept, tmp_path / "cost.svg")
    assert "<svg" in (tmp_path / "cost.svg").read_text("utf-8")


def test_records_are_added_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    for n in (1, 2):
        record.append(file, f"eta-guard bench --candidates {n}", {"device": "cpu", "n": n})
    first, second = json.loads(file.read_text("utf-8"))
    assert first["command"] == "eta-guard bench --candidates 1"
    assert second["result"] == {"device": "cpu", "n": 2}
    assert {"torch", "transformers", "device"} <= set(first["on"])


@pytest.mark.parametrize("text", ["{}", "no JSON"])
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, text: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(text)
    with pytest.raises(InputError, match="holds no list of results"):
        record.append(file, "eta-guard bench", {"device": "cpu"})
    assert file.read_text() == text
