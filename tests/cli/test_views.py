from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from eta_guard import pretrained
from eta_guard.evaluation.views import study
from eta_guard.evaluation.views.hidden import HIDINGS
from eta_guard.evaluators.clip import ClipImageEvaluator
from eta_guard.evaluators.views.offsets import ViewOffsets
from eta_guard.prompts import SAFETY_PROMPT
from tests.cli.conftest import Run
from tests.evaluators.tiny_models import save_clip_directory


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A random CLIP, few kinds of views, and two ways to hide."""
    monkeypatch.setattr(study, "VIEW_NAMES", ("whole", "turned", "inverted"))
    few = {name: HIDINGS[name] for name in ("as it is", "turned by 90°")}
    monkeypatch.setattr(study, "HIDINGS", few)
    return save_clip_directory(tmp_path / "tiny-clip")


def test_offsets_are_written_where_the_weights_are_loaded_with_them(run: Run, clip: Path) -> None:
    path = clip / "views.json"
    result = run("views", "embedded", "--limit", "4", "--clip", clip, "--save", path, "--json")
    assert (result.code, result.err) == (0, "")
    told = {row["view"]: row for row in result.json["views"]}
    assert told.keys() == {"turned", "inverted"}
    assert (told["turned"]["default"], told["inverted"]["default"]) == (True, False)
    assert result.json["together"]["published"]["encodes"] == 1
    assert result.json["together"]["in doubt"]["encodes"] <= 2
    loaded = ClipImageEvaluator.from_pretrained(str(clip), device="cpu")
    assert loaded.offsets == ViewOffsets.read(path)
    assert len(loaded.offsets.direction) == loaded.embeddings.of_texts(["So?"]).shape[1]
    assert loaded.offsets.hold_for(loaded.fingerprint, SAFETY_PROMPT)


def test_the_tables_tell_cost_and_catch(run: Run, clip: Path) -> None:
    shown = run("views", "embedded", "--limit", "3", "--clip", clip, "--more-alarms", "0.5").words
    for heading in ("offset", "encodes", "ms", "in doubt", "false alarms"):
        assert heading in shown


def test_without_hazards_there_is_nothing_to_fit_on(run: Run, clip: Path, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    line = '{"question": "What is this?", "image": "red.png", "label": "safe"}\n'
    own = tmp_path / "own.jsonl"
    own.write_text(4 * line)
    result = run("views", own, "--clip", clip)
    assert result.code == 2
    assert "0 hazardous" in result.err


def test_the_embedded_models_are_what_it_takes_by_itself() -> None:
    clip = pretrained.load_clip_evaluator()
    assert clip.offsets is not None
    assert clip.offsets.model == clip.fingerprint
