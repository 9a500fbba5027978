from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from PIL import Image, ImageChops, ImageStat

from eta_guard import embedded
from eta_guard.embedded.draw_samples import draw_samples
from eta_guard.embedded.files import Model
from eta_guard.embedded.objects import BY_NAME


def test_at_least_twelve_samples_of_every_sort() -> None:
    samples = embedded.samples()
    assert len(samples) >= 12
    sorts = {(sample.hazardous, sample.kind) for sample in samples}
    assert sorts == {(h, k) for h in (True, False) for k in ("pictogram", "typographic")}


def test_the_index_agrees_with_the_files() -> None:
    samples = embedded.samples()
    folder = samples[0].path.parent
    assert {sample.path for sample in samples} == set(folder.glob("*.png"))
    for sample in samples:
        assert BY_NAME[sample.object].hazardous == sample.hazardous
        assert sample.question
        with Image.open(sample.path) as picture:
            assert picture.size == (384, 384)


def test_the_command_draws_the_same_samples(tmp_path: Path) -> None:
    draw_samples(tmp_path)
    for sample in embedded.samples():
        with Image.open(sample.path) as shipped, Image.open(tmp_path / sample.path.name) as drawn:
            # Letters may differ by a shade between releases of Pillow.
            difference = ImageStat.Stat(ImageChops.difference(shipped, drawn)).mean
            assert max(difference) < (3 if sample.kind == "typographic" else 0.01)


def test_an_unknown_model_is_refused() -> None:
    unknown: Any = "llava"
    with pytest.raises(ValueError, match="there are 'clip', 'reward', 'chat', 'guard'"):
        embedded.path(unknown)


def test_the_weights_are_small_and_come_with_a_card() -> None:
    total = 0
    for model in get_args(Model):
        folder = embedded.path(model)
        assert "MIT" in (folder / "README.md").read_text(encoding="utf-8")
        total += sum(file.stat().st_size for file in folder.iterdir())
        assert not list(folder.glob("*.bin"))
    assert total <= 25_000_000
