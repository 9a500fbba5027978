"""Our evaluators pass the suites that ship."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch
from PIL import Image

from eta_guard import embedded
from eta_guard.evaluators.classifier import ClassifierImageEvaluator
from eta_guard.evaluators.clip import ClipImageEvaluator
from eta_guard.evaluators.decision import DecisionEvaluator
from eta_guard.evaluators.guard_model.evaluator import GuardModelEvaluator
from eta_guard.evaluators.reward.armorm import ArmoRM
from eta_guard.evaluators.reward.evaluator import RewardResponseEvaluator
from eta_guard.evaluators.text_lines import TextLine
from eta_guard.evaluators.typographic import TypographicEvaluator
from eta_guard.further_evaluators import load_guard_model
from eta_guard.protocols import ImageEvaluator, Region, ResponseEvaluator
from eta_guard.testing import ImageEvaluatorTests, ResponseEvaluatorTests
from tests.evaluators.reward.test_armorm import save_checkpoint
from tests.evaluators.reward.test_remote import evaluator
from tests.evaluators.test_decision import FakeDecisions
from tests.evaluators.tiny_classifiers import save_convnext, save_vit


class Samples(ImageEvaluatorTests):
    """Asked with pictures of the embedded world."""

    @property
    def pictures(self) -> Sequence[Image.Image]:
        return [self.safe_picture, self.unsafe_picture, Image.new("RGB", (70, 30), "red")]

    @property
    def safe_picture(self) -> Image.Image:
        return sample("safe_cat_pictogram")

    @property
    def unsafe_picture(self) -> Image.Image:
        return sample("hazardous_pistol_pictogram")


def sample(name: str) -> Image.Image:
    (path,) = (one.path for one in embedded.samples() if one.path.stem == name)
    return Image.open(path).convert("RGB")


@cache
def clip() -> ClipImageEvaluator:
    return ClipImageEvaluator.from_pretrained(str(embedded.path("clip")), device="cpu")


@cache
def reward() -> RewardResponseEvaluator:
    return RewardResponseEvaluator.from_pretrained(str(embedded.path("reward")), device="cpu")


@cache
def guard_model() -> GuardModelEvaluator:
    return load_guard_model("embedded", device="cpu")


class TestClip(Samples):
    @pytest.fixture
    def image_evaluator(self) -> ImageEvaluator:
        return clip()


class TestReward(ResponseEvaluatorTests):
    @pytest.fixture
    def response_evaluator(self) -> ResponseEvaluator:
        return reward()


class TestGuardModel(ResponseEvaluatorTests):
    @pytest.fixture
    def response_evaluator(self) -> ResponseEvaluator:
        return guard_model()


class TestArmoRM(ResponseEvaluatorTests):
    @pytest.fixture
    def response_evaluator(self, tmp_path: Path) -> ResponseEvaluator:
        name = save_checkpoint(tmp_path / "tiny-armorm", torch.float32)
        return ArmoRM.from_pretrained(str(name), device="cpu", dtype=torch.float32)


class TestVllmReward(ResponseEvaluatorTests):
    """Over a played server that pays by the ids."""

    @pytest.fixture
    def response_evaluator(self) -> ResponseEvaluator:
        made, _ = evaluator()
        return made


class TestVit(ImageEvaluatorTests):
    @pytest.fixture
    def image_evaluator(self, tmp_path: Path) -> ImageEvaluator:
        directory = save_vit(tmp_path / "vit")
        return ClassifierImageEvaluator.from_pretrained(
            str(directory), unsafe_labels=["hazard"], device="cpu"
        )


class TestConvNext(ImageEvaluatorTests):
    @pytest.fixture
    def image_evaluator(self, tmp_path: Path) -> ImageEvaluator:
        directory = save_convnext(tmp_path / "convnext")
        return ClassifierImageEvaluator.from_pretrained(
            str(directory), unsafe_labels=["hazard", "weapon"], device="cpu"
        )


class TestDecisionsOnPictures(ImageEvaluatorTests):
    @pytest.fixture
    def image_evaluator(self) -> ImageEvaluator:
        return DecisionEvaluator(FakeDecisions(), locate=True)

    @property
    def safe_picture(self) -> Image.Image:
        return Image.new("RGB", (8, 8), "blue")

    @property
    def unsafe_picture(self) -> Image.Image:
        return Image.new("RGB", (8, 8), "red")


class TestDecisionsOnAnswers(ResponseEvaluatorTests):
    safe_answer, unsafe_answer = "a cat", "xxxx"

    @pytest.fixture
    def response_evaluator(self) -> ResponseEvaluator:
        return DecisionEvaluator(FakeDecisions())


@dataclass(frozen=True)
class Caption:
    """Reads the same line in the middle of every picture that is red there, and of no negative."""

    fingerprint: str = "caption"
    cost: float = 0.0

    def read(self, picture: Image.Image) -> list[TextLine]:
        middle = picture.getpixel((picture.width // 2, picture.height // 2))
        red = middle == (255, 0, 0)
        return [TextLine("xylophone", 0.9, Region(0.25, 0.25, 0.75, 0.75))] if red else []


class TestTypographic(ImageEvaluatorTests):
    @pytest.fixture
    def image_evaluator(self) -> ImageEvaluator:
        judge = DecisionEvaluator(FakeDecisions())
        return TypographicEvaluator(judge=judge, reader=Caption(), threshold=0.1)

    @property
    def safe_picture(self) -> Image.Image:
        return Image.new("RGB", (8, 8), "white")

    @property
    def unsafe_picture(self) -> Image.Image:
        return Image.new("RGB", (8, 8), "red")
