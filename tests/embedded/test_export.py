from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from eta_guard import embedded
from eta_guard.embedded.train.export import rename_as_published, save_llava

SHIPPED = embedded.path("chat") / "model.safetensors"
LEVELS = ("vision_tower.vision_model.", "multi_modal_projector.linear_", "language_model.model.")
"""What the names in a published LLaVA checkpoint begin with, but for its output layer."""


@pytest.fixture(scope="module")
def loaded() -> Any:
    from transformers import AutoModelForImageTextToText

    folder = embedded.path("chat")
    loader: Any = AutoModelForImageTextToText
    return loader.from_pretrained(folder, dtype=torch.float16, output_loading_info=True)


def test_the_chat_weights_carry_the_published_names_and_all_are_read(loaded: Any) -> None:
    names = load_file(SHIPPED)
    assert all(name.startswith(LEVELS) for name in names)
    assert {level for level in LEVELS if any(name.startswith(level) for name in names)} == {*LEVELS}
    assert "vision_tower.vision_model.embeddings.patch_embedding.weight" in names
    _, report = loaded
    assert not any(report.values()), report


def test_an_export_writes_the_names_that_ship(loaded: Any, tmp_path: Path) -> None:
    model, _ = loaded
    save_llava(model, tmp_path)
    written, shipped = load_file(tmp_path / "model.safetensors"), load_file(SHIPPED)
    assert written.keys() == shipped.keys()
    assert all(torch.equal(value, shipped[name]) for name, value in written.items())


def test_published_names_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(SHIPPED.read_bytes())
    rename_as_published(file)
    assert load_file(file).keys() == load_file(SHIPPED).keys()
