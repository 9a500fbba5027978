from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eta_guard import EtaGuard, Presentation, VllmEngine, pretrained
from eta_guard.engines.local.engine import LocalEngine
from eta_guard.errors import MissingWeightsError, ModelLoadError
from eta_guard.evaluators.reward import load


def test_the_embedded_assembly_loads_offline() -> None:
    said: list[str] = []
    parts = pretrained.load_parts("embedded", device="cpu", progress=said.append)
    assert set(parts) == {"engine", "image_evaluator", "response_evaluator"}
    assert [line.split()[2] for line in said] == ["clip", "reward", "chat"]


def test_an_unknown_assembly_names_the_known_ones() -> None:
    with pytest.raises(ModelLoadError, match=r"'nothing'.*embedded, paper"):
        pretrained.load_parts("nothing")


def test_all_that_is_missing_of_the_papers_models_is_said_in_one_sentence() -> None:
    with pytest.raises(MissingWeightsError) as caught:
        EtaGuard.from_pretrained("paper")
    sentence = caught.value.message
    assert sentence.count(". ") == 0
    for name, licence in (
        ("ViT-L-14-336", "MIT"),
        ("RLHFlow/ArmoRM-Llama3-8B-v0.1", "Meta Llama 3 Community License"),
        ("llava-hf/llava-1.5-7b-hf", "Llama 2 Community License"),
    ):
        assert name in sentence
        assert licence in sentence
    assert caught.value.hint.count("hf download ") == 3


def test_a_name_may_pin_a_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def remember(name: str, **options: Any) -> None:
        asked[name] = options["revision"]

    monkeypatch.setattr(LocalEngine, "from_pretrained", remember)
    monkeypatch.setattr(load, "load_response_evaluator", remember)
    pretrained.load_parts("embedded", chat_model="someone/chat@abc123", reward="someone/reward@v1")
    pretrained.load_chat_model("someone/other", revision="main")
    assert asked == {"someone/chat": "abc123", "someone/reward": "v1", "someone/other": "main"}


def test_a_directory_with_an_at_sign_is_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        LocalEngine, "from_pretrained", lambda name, **options: asked.append((name, options))
    )
    folder = tmp_path / "chat@home"
    folder.mkdir()
    pretrained.load_chat_model(str(folder))
    assert asked[0][0] == str(folder)
    assert asked[0][1]["revision"] is None


@pytest.mark.parametrize("as_published", [False, True])
def test_a_chat_model_may_be_a_servers(as_published: bool) -> None:
    engine = pretrained.load_chat_model(
        "org/llava@http://127.0.0.1:8000/v1", as_published=as_published
    )
    assert isinstance(engine, VllmEngine)
    assert repr(engine) == "VllmEngine('127.0.0.1:8000', 'org/llava')"
    assert engine.presentation == (Presentation.llava_1_5() if as_published else Presentation())
