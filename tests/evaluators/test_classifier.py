from __future__ import annotations

import logging
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import pipeline

from eta_guard import counts
from eta_guard.errors import MissingWeightsError, ModelLoadError, UnsupportedModelError
from eta_guard.evaluators.classifier import ClassifierImageEvaluator
from eta_guard.evaluators.views.geometry import covering_views
from eta_guard.protocols import ImageEvaluator

from .tiny_classifiers import LABELS, save_convnext, save_vit

UNSAFE = ["weapon", "hazard"]


def picture(seed: int, size: tuple[int, int] = (40, 40)) -> Image.Image:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (size[1], size[0], 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(pixels.numpy())


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("classifiers")
    return {
        "vit": save_vit(folder / "vit"),
        "convnext": save_convnext(folder / "convnext"),
        "independent": save_vit(folder / "independent", problem_type="multi_label_classification"),
        "one": save_vit(folder / "one", labels=["hazard"]),
    }


def load(directory: Path, **settings: Any) -> ClassifierImageEvaluator:
    given: dict[str, Any] = {"unsafe_labels": UNSAFE, "device": "cpu", **settings}
    return ClassifierImageEvaluator.from_pretrained(str(directory), **given)


def by_the_library(directory: Path, image: Image.Image) -> dict[str, float]:
    """Every label's score by transformers' own pipeline."""
    ask: Any = pipeline("image-classification", model=str(directory), device="cpu")
    return {one["label"]: one["score"] for one in ask(image, top_k=None)}


@pytest.mark.parametrize("kind", ["vit", "convnext"])
def test_the_score_is_the_sum_of_the_library_s_own_probabilities(
    directories: dict[str, Path], kind: str
) -> None:
    evaluator = load(directories[kind])
    pictures = [picture(seed, (48, 48)) for seed in range(4)]
    found = evaluator.evaluate(pictures)
    expected = [by_the_library(directories[kind], one) for one in pictures]
    assert [set(one) for one in expected] == [set(LABELS)] * 4
    sums = [one["weapon"] + one["hazard"] for one in expected]
    assert [one.score for one in found] == pytest.approx(sums, abs=1e-5)
    assert [one.category for one in found] == [max(UNSAFE, key=one.__getitem__) for one in expected]
    assert max(sums) - min(sums) > 0.01  # or else any of them would do for any other
    assert isinstance(evaluator, ImageEvaluator)


def test_of_independent_labels_the_highest_probability_counts(
    directories: dict[str, Path],
) -> None:
    evaluator = load(directories["independent"])
    (found,) = evaluator.evaluate([picture(1)])
    expected = by_the_library(directories["independent"], picture(1))
    assert sum(expected.values()) > 1.01
    assert found.score == pytest.approx(max(expected["weapon"], expected["hazard"]), abs=1e-5)
    assert found.category == max(UNSAFE, key=expected.__getitem__)


def test_a_single_label_is_a_sigmoid(directories: dict[str, Path]) -> None:
    evaluator = load(directories["one"], unsafe_labels=["hazard"])
    (found,) = evaluator.evaluate([picture(1)])
    expected = by_the_library(directories["one"], picture(1))
    assert found.score == pytest.approx(expected["hazard"], abs=1e-5)
    assert found.score < 1
    assert found.category == "hazard"


def test_a_picture_that_is_wide_is_read_whole_where_the_processor_squeezes_it(
    directories: dict[str, Path],
) -> None:
    wide = picture(3, (120, 40))
    (found,) = load(directories["vit"]).evaluate([wide])
    expected = by_the_library(directories["vit"], wide)
    assert found.score == pytest.approx(expected["weapon"] + expected["hazard"], abs=1e-5)


def test_what_a_processor_would_cut_off_is_read_too(
    directories: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "eta_guard"):
        evaluator = load(directories["convnext"])
    assert "cuts the middle out" in caplog.text
    wide = picture(3, (120, 40))
    (found,) = evaluator.evaluate([wide])
    expected = [by_the_library(directories["convnext"], one) for one in covering_views(wide)]
    assert len(expected) == 4
    highest = max(one["weapon"] + one["hazard"] for one in expected)
    assert found.score == pytest.approx(highest, abs=1e-5)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            ["weapon", "Hazard"],
            r"does not know 'Hazard'\. Choose unsafe_labels among 'drawings', '",
        ),
        ([], "Which labels of the image classifier are unsafe is not said"),
    ],
)
def test_labels_are_the_model_s_own(
    directories: dict[str, Path], labels: list[str], message: str
) -> None:
    with pytest.raises(UnsupportedModelError, match=message):
        load(directories["vit"], unsafe_labels=labels)


def test_a_misspelt_label_does_not_cost_the_weights(directories: dict[str, Path]) -> None:
    (directories["vit"] / "model.safetensors").rename(directories["vit"] / "away")
    try:
        with pytest.raises(UnsupportedModelError, match="does not know 'x'"):
            load(directories["vit"], unsafe_labels=["x"])
        with pytest.raises(ModelLoadError, match="image classifier that can be loaded"):
            load(directories["vit"])
    finally:
        (directories["vit"] / "away").rename(directories["vit"] / "model.safetensors")


def test_a_model_by_regression_is_refused(tmp_path: Path) -> None:
    directory = save_vit(tmp_path / "regression", labels=["hazard"], problem_type="regression")
    with pytest.raises(UnsupportedModelError, match="by regression"):
        load(directory, unsafe_labels=["hazard"])


def test_unreachable_weights_say_how_to_get_them() -> None:
    with pytest.raises(MissingWeightsError, match="hf download Falconsai/nsfw_image_detection"):
        ClassifierImageEvaluator.from_pretrained(
            "Falconsai/nsfw_image_detection", unsafe_labels=["nsfw"], device="cpu"
        )


def test_a_picture_costs_one_forward_in_one_batch(
    directories: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = load(directories["vit"])
    forward, batches = evaluator._model.forward, list[int]()

    def spy(pixel_values: torch.Tensor, **kwargs: Any) -> Any:
        batches.append(len(pixel_values))
        return forward(pixel_values, **kwargs)

    monkeypatch.setattr(evaluator._model, "forward", spy)
    with counts.counting() as tally:
        first = evaluator.evaluate([picture(1), picture(2), picture(1)])
        again = evaluator.evaluate([picture(2), picture(3)])
        assert evaluator.evaluate([]) == []
    assert batches == [2, 1]
    assert dict(tally) == {"classifier_image_encodes": 3}
    assert (first[0], first[1]) == (first[2], again[0])


def test_the_findings_kept_are_bounded(directories: dict[str, Path]) -> None:
    whole = load(directories["vit"])
    evaluator = ClassifierImageEvaluator(
        whole._model, whole._processor, unsafe_labels=UNSAFE, fingerprint="x", kept=2
    )
    assert len(evaluator.evaluate([picture(seed) for seed in range(5)])) == 5
    assert len(evaluator._kept) == 2


@pytest.mark.parametrize("kind", ["vit", "convnext"])
@pytest.mark.parametrize("size", [(1, 1), (1, 60_000), (60_000, 1), (3, 2)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_pictures_of_any_shape_and_mode(
    directories: dict[str, Path], kind: str, size: tuple[int, int], mode: str
) -> None:
    image = Image.new("RGB", size, "red").convert(mode)
    assert 0 <= load(directories[kind]).evaluate([image])[0].score <= 1


def test_what_is_not_a_number_stays_none(directories: dict[str, Path]) -> None:
    evaluator = load(directories["vit"])
    torch.nn.init.constant_(evaluator._model.classifier.weight, math.nan)
    assert math.isnan(evaluator.evaluate([picture(1)])[0].score)


def test_a_score_is_at_most_one(directories: dict[str, Path]) -> None:
    evaluator = load(directories["vit"], unsafe_labels=LABELS)
    assert max(one.score for one in evaluator.evaluate([picture(i) for i in range(64)])) <= 1


def test_half_precision_takes_the_softmax_in_float32(directories: dict[str, Path]) -> None:
    half = load(directories["vit"], dtype=torch.bfloat16)
    assert half._model.dtype == torch.bfloat16
    exact = load(directories["vit"]).evaluate([picture(1)])[0].score
    assert half.evaluate([picture(1)])[0].score == pytest.approx(exact, abs=0.05)


def test_threads_get_what_they_would_get_alone(directories: dict[str, Path]) -> None:
    alone, shared = load(directories["vit"]), load(directories["vit"])
    expected = [alone.evaluate([picture(i % 4)])[0].score for i in range(24)]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda i: shared.evaluate([picture(i % 4)])[0].score, range(24)))
    assert got == pytest.approx(expected, abs=1e-6)


def test_name_threshold_cost_and_fingerprint(directories: dict[str, Path], tmp_path: Path) -> None:
    plain = load(directories["vit"])
    assert (plain.name, plain.threshold, plain.unsafe) == ("classifier", 0.5, "above")
    assert plain.cost == sum(p.numel() for p in plain._model.parameters()) / 1e9 > 0
    named = load(directories["vit"], name="nsfw", threshold=0.2)
    assert (named.name, named.threshold) == ("nsfw", 0.2)
    other = load(save_vit(tmp_path / "vit", seed=1))
    assert plain.fingerprint == named.fingerprint != other.fingerprint
    assert other.fingerprint.startswith("vit@")
