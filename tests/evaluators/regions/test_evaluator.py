from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from eta_guard import ClipImageEvaluator, RegionImageEvaluator, RegionSettings, Tiling, counts
from eta_guard import embedded as small
from eta_guard.embedded.objects import HAZARDOUS_OBJECTS
from eta_guard.embedded.train.small_talk import CAPTIONS
from eta_guard.errors import ModelLoadError, UnsupportedModelError
from eta_guard.evaluators.regions.settings import CATEGORIES, FILE
from eta_guard.further_evaluators import FurtherEvaluators
from eta_guard.prompts import SAFETY_PROMPT
from eta_guard.testing import ImageEvaluatorTests
from tests.evaluators.tiny_models import save_clip_directory
from tests.fakes import FakeImages, FakeResponses

WORDS = {"one": ("a cat", "the cat"), "two": ("an example",)}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip_directory(tmp_path_factory.mktemp("clip") / "tiny-clip")


@pytest.fixture(scope="module")
def clip(directory: Path) -> ClipImageEvaluator:
    return ClipImageEvaluator.from_pretrained(str(directory), device="cpu")


@pytest.fixture(scope="module")
def embedded_regions() -> RegionImageEvaluator:
    return RegionImageEvaluator.from_pretrained(str(small.path("clip")), device="cpu")


def pictures(*, hazardous: bool) -> list[Image.Image]:
    found = [sample for sample in small.samples() if sample.hazardous is hazardous]
    return [Image.open(sample.path).convert("RGB") for sample in found]


class TestRegions(ImageEvaluatorTests):
    @pytest.fixture
    def image_evaluator(self, embedded_regions: RegionImageEvaluator) -> RegionImageEvaluator:
        return embedded_regions

    @property
    def safe_picture(self) -> Image.Image:
        return pictures(hazardous=False)[0]

    @property
    def unsafe_picture(self) -> Image.Image:
        return pictures(hazardous=True)[0]


class TestRegionsOfAnotherTiling(ImageEvaluatorTests):
    """The default one, over a random model."""

    @pytest.fixture
    def image_evaluator(self, clip: ClipImageEvaluator) -> RegionImageEvaluator:
        return RegionImageEvaluator(clip)


def test_samples_are_told_apart_and_named(embedded_regions: RegionImageEvaluator) -> None:
    misnamed = []
    for sample in small.samples():
        with Image.open(sample.path) as file:
            (found,) = embedded_regions.evaluate([file], SAFETY_PROMPT)
        assert (found.score <= embedded_regions.threshold) is sample.hazardous, sample
        if sample.hazardous and found.category != sample.object:
            misnamed.append(sample.object)
    assert misnamed in ([], ["pistol"])  # one picture of it is taken for a knife


def test_regions_are_the_unsafe_tiles_the_least_safe_first(clip: ClipImageEvaluator) -> None:
    (picture, *_) = pictures(hazardous=True)
    tiling = Tiling(3, 1 / 3)
    every = RegionImageEvaluator(clip, RegionSettings(WORDS, tiling, threshold=2.0))
    none = RegionImageEvaluator(clip, RegionSettings(WORDS, tiling, threshold=0.01))
    (all_unsafe,), (safe,) = every.evaluate([picture]), none.evaluate([picture])
    scores = [region.score for region in all_unsafe.regions]
    assert len(scores) == 9  # a picture that is unsafe throughout
    assert scores == sorted(scores, key=lambda score: score or math.nan)
    assert safe.regions == all_unsafe.regions[:1]  # where it is nearest, though not unsafe
    assert (safe.score, safe.category) == (all_unsafe.score, all_unsafe.category)
    assert safe.regions[0].score is not None
    assert safe.regions[0].score <= safe.score


def test_of_tiles_that_show_the_same_only_the_less_safe_is_told(
    embedded_regions: RegionImageEvaluator,
) -> None:
    for found in embedded_regions.evaluate(pictures(hazardous=True)):
        assert len(found.regions) < 4  # of nine, each of 3/4 of the side
        middles = [((r.left + r.right) / 2, (r.top + r.bottom) / 2) for r in found.regions]
        for place, region in enumerate(found.regions):
            for x, y in middles[place + 1 :]:
                assert not (region.left <= x <= region.right and region.top <= y <= region.bottom)


def test_a_picture_s_tiles_are_one_batch_and_a_known_picture_none(
    clip: ClipImageEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = RegionImageEvaluator(clip, RegionSettings(WORDS, Tiling(2, 0.5)))
    model: Any = clip.embeddings.model
    encode, batches = model.encode_image, []

    def spy(pixels: torch.Tensor) -> Any:
        batches.append(len(pixels))
        return encode(pixels)

    monkeypatch.setattr(model, "encode_image", spy)
    one, other = pictures(hazardous=False)[:2]
    with counts.counting() as tally:
        evaluator.evaluate([one, other, one.copy()])
        evaluator.evaluate([other])
    assert batches == [4, 4]
    assert tally["clip_image_encodes"] == 8
    assert evaluator.cost == 4 * clip.cost


def test_the_papers_evaluator_beside_it_scores_as_without(directory: Path) -> None:
    alone = ClipImageEvaluator.from_pretrained(str(directory), device="cpu")
    shared = ClipImageEvaluator.from_pretrained(str(directory), device="cpu")
    (picture, *_) = pictures(hazardous=True)
    RegionImageEvaluator(shared).evaluate([picture])
    assert shared.evaluate([picture], SAFETY_PROMPT) == alone.evaluate([picture], SAFETY_PROMPT)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_moves_a_score_little(precision: str) -> None:
    name = str(small.path("clip"))
    whole, half = (
        RegionImageEvaluator.from_pretrained(name, device="cpu", precision=each)
        for each in ("fp32", precision)
    )
    several = pictures(hazardous=True)[:2] + pictures(hazardous=False)[:2]
    for one, other in zip(whole.evaluate(several), half.evaluate(several), strict=True):
        assert other.score == pytest.approx(one.score, abs=0.02)
        assert other.category == one.category


def test_where_clip_fails_there_is_no_score(
    clip: ClipImageEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = RegionImageEvaluator(clip, RegionSettings(WORDS))
    monkeypatch.setattr(
        clip.embeddings, "of_pictures", lambda made: torch.full((len(made), 16), math.nan)
    )
    (found,) = evaluator.evaluate(pictures(hazardous=True)[:1])
    assert math.isnan(found.score)
    assert not found.regions


# ── settings ──


def test_the_default_categories_are_the_published_prompt_s() -> None:
    named = SAFETY_PROMPT.removeprefix("The image contains ").removesuffix(" contents.")
    assert list(CATEGORIES) == named.split("/")
    assert all(len(wordings) > 1 for wordings in CATEGORIES.values())


def test_the_embedded_settings_name_the_hazards_in_words_that_clip_was_taught() -> None:
    settings = RegionSettings.beside(small.path("clip"))
    assert set(settings.categories) == {thing.name for thing in HAZARDOUS_OBJECTS}
    for name, wordings in settings.categories.items():
        assert set(wordings) <= {caption.format(object=name) for caption in CAPTIONS}
        assert len(wordings) > 1


def test_settings_are_read_as_written(tmp_path: Path) -> None:
    settings = RegionSettings(WORDS, Tiling(5, 0.3, in_place=True), threshold=0.7)
    settings.write(tmp_path / FILE)
    assert RegionSettings.beside(f"local-dir:{tmp_path}") == settings
    assert RegionSettings.beside(tmp_path).label == settings.label != RegionSettings().label
    assert RegionSettings.beside(tmp_path / "nowhere") == RegionSettings()


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": None},
        {"threshold": math.nan},
        {"categories": {}},
        {"categories": {"one": []}},
        {"tiling": {"along": 0}},
        {"tiling": {"share": 1.5}},
        {"iterations": 0},
        {"regularisation": 0},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_damaged_file_is_told(change: dict[str, Any], tmp_path: Path) -> None:
    RegionSettings(WORDS).write(tmp_path / FILE)
    whole = json.loads((tmp_path / FILE).read_text("utf-8"))
    (tmp_path / FILE).write_text(json.dumps(whole | change), "utf-8")
    with pytest.raises(ModelLoadError) as caught:
        RegionSettings.beside(tmp_path)
    assert caught.value.hint


# ── by a line of text ──


def test_the_assembly_s_clip_finds_the_regions(clip: ClipImageEvaluator, tmp_path: Path) -> None:
    further = FurtherEvaluators.read(["regions"], [])
    RegionSettings(WORDS, threshold=0.5).write(tmp_path / FILE)
    (found,), _ = further.load(FakeResponses(), 0.0, clip=clip, clip_weights=tmp_path)
    assert isinstance(found, RegionImageEvaluator)
    assert (found.name, found.unsafe, found.threshold) == ("regions", "below", 0.5)
    assert found.fingerprint.startswith(clip.fingerprint)
    with pytest.raises(UnsupportedModelError, match="CLIP"):
        further.load(FakeResponses(), 0.0, clip=FakeImages())
