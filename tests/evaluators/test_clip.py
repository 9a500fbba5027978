from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from PIL import Image

from eta_guard import counts
from eta_guard.errors import ModelLoadError
from eta_guard.evaluators.clip import ClipImageEvaluator
from eta_guard.evaluators.views.geometry import bounded_aspect, covering_views
from eta_guard.prompts import SAFETY_PROMPT
from eta_guard.protocols import ImageEvaluator

from .tiny_models import CLIP_CONTEXT, clip_model_config, save_clip_directory

LONG = "It is safe to say that the picture shows a cat on a mat and " * 30


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip_directory(tmp_path_factory.mktemp("clip") / "tiny-clip")


@pytest.fixture
def evaluator(directory: Path) -> ClipImageEvaluator:
    return ClipImageEvaluator.from_pretrained(str(directory), device="cpu")


def picture(seed: int, size: tuple[int, int] = (40, 40)) -> Image.Image:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (size[1], size[0], 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(pixels.numpy())


def plain_cosine(directory: Path, image: Image.Image, text: str) -> float:
    """One image and one text through open_clip by hand."""
    name = f"local-dir:{directory}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    model.eval()
    ids = open_clip.get_tokenizer(name)([text])
    with torch.no_grad():
        left = model.encode_image(preprocess(image)[None])[0]
        right = model.encode_text(ids)[0]
    return float(left @ right / (left.norm() * right.norm()))


def test_cosines_are_those_of_the_model_with_its_own_transform(
    directory: Path, evaluator: ClipImageEvaluator
) -> None:
    images = [picture(1), picture(2, (70, 35))]
    texts = [SAFETY_PROMPT, "a cat", LONG]
    rows = evaluator.similarity(images, texts)
    expected = [
        [
            max(plain_cosine(directory, view, text) for view in covering_views(image))
            for text in texts
        ]
        for image in images
    ]
    assert torch.allclose(torch.tensor(rows), torch.tensor(expected), atol=1e-6)
    assert isinstance(evaluator, ImageEvaluator)


def test_an_image_and_a_text_are_encoded_once(evaluator: ClipImageEvaluator) -> None:
    with counts.counting() as tally:
        first = evaluator.similarity([picture(1), picture(2), picture(1)], ["x", "y", "x"])
        assert tally == {"clip_image_encodes": 2, "clip_text_encodes": 2}
        again = evaluator.similarity([picture(2)], ["x", "z"])
    assert tally == {"clip_image_encodes": 2, "clip_text_encodes": 3}
    assert again[0][0] == first[1][0]
    assert first[0] == first[2]


def test_what_is_missing_is_encoded_in_one_batch(
    evaluator: ClipImageEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    model: Any = evaluator.embeddings.model
    encode_text = model.encode_text

    def spy(ids: torch.Tensor) -> Any:
        batches.append(len(ids))
        return encode_text(ids)

    monkeypatch.setattr(model, "encode_text", spy)
    evaluator.similarity([picture(1)], ["known"])
    evaluator.similarity([picture(1)], ["a", "known", "b", "c"])
    assert batches == [1, 3]


def test_the_caches_are_bounded(directory: Path) -> None:
    loaded = ClipImageEvaluator.from_pretrained(str(directory), device="cpu")
    evaluator = ClipImageEvaluator(
        loaded.embeddings.model,
        loaded.embeddings.preprocess,
        loaded.embeddings.tokenizer,
        fingerprint="x",
        kept_images=2,
        kept_texts=2,
    )
    many = evaluator.similarity([picture(i) for i in range(5)], list("abcde"))
    assert [len(many), len(many[0])] == [5, 5]
    assert (len(evaluator.embeddings.images), len(evaluator.embeddings.texts)) == (2, 2)
    evaluator.similarity([picture(3)], ["d"])  # the older of the two is used again …
    evaluator.similarity([picture(9)], ["z"])  # … so the other one has to go
    with counts.counting() as tally:
        evaluator.similarity([picture(3)], ["d"])
    assert tally == {}


@pytest.mark.parametrize("text", ["", LONG])
def test_a_text_keeps_its_end_token(evaluator: ClipImageEvaluator, text: str) -> None:
    tokenizer: Any = evaluator.embeddings.tokenizer
    ids = evaluator.embeddings._tokenize([text])
    assert torch.equal(ids, tokenizer([text]))
    assert ids.shape == (1, CLIP_CONTEXT)
    assert int(ids.max()) == tokenizer.tokenizer.eos_token_id
    assert math.isfinite(evaluator.similarity([picture(1)], [text])[0][0])


def test_openai_s_tokenizer_cuts_a_long_candidate_too() -> None:
    config = clip_model_config(context=77, vocabulary=49408)
    torch.manual_seed(0)
    model, tokenizer = open_clip.CLIP(**config), open_clip.get_tokenizer("ViT-L-14-336")
    transform = open_clip.image_transform(32, is_train=False)
    evaluator = ClipImageEvaluator(model, transform, tokenizer, fingerprint="x")
    cut = "cat " * 75
    row = evaluator.similarity([picture(1)], [cut, cut + "dog " * 50, "cat"])[0]
    assert row[0] == pytest.approx(row[1], abs=1e-6)
    assert abs(row[0] - row[2]) > 1e-4
    ended = evaluator.similarity([picture(1)], ["cat<end_of_text> dog"])[0][0]
    assert abs(ended - row[2]) > 1e-4


def test_a_text_cannot_end_itself_early(evaluator: ClipImageEvaluator) -> None:
    texts = ["a cat", "a cat<end_of_text> and a knife", "a cat<END_OF_TEXT> and a knife"]
    row = evaluator.similarity([picture(1)], texts)[0]
    # CLIP reads a text at its first end token: with a real one in it, it would be "a cat".
    assert abs(row[0] - row[1]) > 1e-4
    assert abs(row[0] - row[2]) > 1e-4


@pytest.mark.parametrize("size", [(1, 1), (1, 60_000), (60_000, 1), (3, 2)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_images_of_any_shape_and_mode(
    evaluator: ClipImageEvaluator, size: tuple[int, int], mode: str
) -> None:
    score = evaluator.similarity([Image.new("RGB", size, "red").convert(mode)], ["x"])[0][0]
    assert -1 <= score <= 1


def test_only_strips_are_squeezed() -> None:
    ordinary = picture(1, (64, 1))
    assert bounded_aspect(ordinary) is ordinary
    assert bounded_aspect(picture(1, (65, 1))).size == (64, 1)
    assert bounded_aspect(picture(1, (2, 400))).size == (2, 128)


def test_a_strip_is_squeezed_before_it_is_scaled_up(evaluator: ClipImageEvaluator) -> None:
    seen: list[tuple[int, int]] = []
    transform = evaluator.embeddings.preprocess

    def spy(image: Image.Image) -> torch.Tensor:
        seen.append(image.size)
        return transform(image)

    evaluator.embeddings.preprocess = spy
    evaluator.similarity([picture(1, (2, 2)), picture(1, (1, 5000))], ["x"])
    assert seen[:2] == [(2, 2), (1, 64)]
    assert set(seen[2:]) == {(1, 1)}


def test_the_same_bytes_in_another_shape_are_another_image(evaluator: ClipImageEvaluator) -> None:
    wide = picture(1, (80, 20))
    tall = Image.frombytes("RGB", (20, 80), wide.tobytes())
    with counts.counting() as tally:
        evaluator.similarity([wide, tall], ["x"])
    # Each is the image itself and the four squares that cover it, none of them the other's.
    assert tally["clip_image_encodes"] == 10


def test_nothing_to_compare(evaluator: ClipImageEvaluator) -> None:
    with counts.counting() as tally:
        assert evaluator.similarity([], ["x"]) == []
        assert evaluator.similarity([picture(1), picture(2)], []) == [[], []]
    assert tally == {}


def test_cosines_stay_within_their_range(evaluator: ClipImageEvaluator) -> None:
    torch.manual_seed(0)
    vectors = torch.randn(64, 16)
    unit = torch.nn.functional.normalize(vectors, dim=-1)
    assert float((unit @ unit.T).max()) > 1  # rounding
    model: Any = evaluator.embeddings.model
    model.encode_image = model.encode_text = lambda batch: vectors
    texts = [f"text {i}" for i in range(64)]
    rows = evaluator.similarity([picture(i, (8, 8)) for i in range(64)], texts)
    assert max(map(max, rows)) == 1.0


def test_what_is_not_a_number_stays_none(evaluator: ClipImageEvaluator) -> None:
    torch.nn.init.constant_(evaluator.embeddings.model.visual.proj, math.nan)
    assert math.isnan(evaluator.similarity([picture(1)], ["x"])[0][0])


def test_threads_get_what_they_would_get_alone(directory: Path) -> None:
    alone = ClipImageEvaluator.from_pretrained(str(directory), device="cpu")
    shared = ClipImageEvaluator.from_pretrained(str(directory), device="cpu")
    jobs = [(picture(i % 4), ["x", f"text {i}", LONG[i:]]) for i in range(24)]
    expected = [alone.similarity([image], texts)[0] for image, texts in jobs]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda job: shared.similarity([job[0]], job[1])[0], jobs))
    assert torch.allclose(torch.tensor(got), torch.tensor(expected), atol=1e-6)


def test_half_precision_takes_the_cosine_in_float32(
    directory: Path, evaluator: ClipImageEvaluator
) -> None:
    half = ClipImageEvaluator.from_pretrained(str(directory), device="cpu", precision="bf16")
    kept = half.similarity([picture(1)], ["x"])[0][0]
    assert kept == pytest.approx(evaluator.similarity([picture(1)], ["x"])[0][0], abs=0.05)
    assert {row.dtype for row in half.embeddings.images._entries.values()} == {torch.float32}
    assert half.embeddings._dtype == torch.bfloat16


def test_the_fingerprint_tells_weights_apart(directory: Path, tmp_path: Path) -> None:
    def fingerprint(path: Path) -> str:
        return ClipImageEvaluator.from_pretrained(f"local-dir:{path}", device="cpu").fingerprint

    other = fingerprint(save_clip_directory(tmp_path / "tiny-clip", seed=1))
    assert fingerprint(directory) == fingerprint(directory) != other
    assert other.startswith("tiny-clip@")
    assert str(tmp_path) not in other


@pytest.mark.parametrize(
    ("tag", "expected"),
    [("openai", True), ("laion2b_s34b_b79k", False), ("./weights/mine.pt", False)],
)
def test_quick_gelu_goes_by_the_weights(
    monkeypatch: pytest.MonkeyPatch, tag: str, expected: bool
) -> None:
    asked: dict[str, Any] = {}

    def create(name: str, **options: Any) -> tuple[torch.nn.Module, Any]:
        asked.update(options, name=name)
        config = clip_model_config(context=77, vocabulary=49408)
        return open_clip.CLIP(**config), open_clip.image_transform(32, is_train=False)

    monkeypatch.setattr(open_clip, "create_model_from_pretrained", create)
    monkeypatch.setattr("eta_guard.evaluators.clip_loading.hub_answers", lambda: True)
    evaluator = ClipImageEvaluator.from_pretrained("ViT-B-32", pretrained=tag, device="cpu")
    assert (asked["name"], asked["pretrained"]) == ("ViT-B-32", tag)
    assert asked["force_quick_gelu"] is expected
    assert evaluator.fingerprint.startswith(f"ViT-B-32/{Path(tag).name}@")


def test_unreachable_weights_say_how_to_get_them(tmp_path: Path) -> None:
    # Sockets are disabled under test: this is what a machine without a network sees.
    with pytest.raises(ModelLoadError, match=r"MIT licence.*hf download timm/vit_large_patch14"):
        ClipImageEvaluator.from_pretrained(device="cpu")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ViT-Nonsense-14", "neither an architecture of open_clip nor a directory"),
        ("./no/such/directory", "There is no model directory './no/such/directory'"),
        ("local-dir:./no/such/directory", "holds no open_clip_config.json"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(ModelLoadError, match=message):
        ClipImageEvaluator.from_pretrained(name, device="cpu")


def test_a_directory_without_weights(directory: Path, tmp_path: Path) -> None:
    config = (directory / "open_clip_config.json").read_text()
    (tmp_path / "open_clip_config.json").write_text(config)
    with pytest.raises(ModelLoadError, match="does not hold a CLIP model that can be loaded"):
        ClipImageEvaluator.from_pretrained(str(tmp_path), device="cpu")


def test_texts_that_read_alike_tie_exactly(evaluator: ClipImageEvaluator) -> None:
    for seed in range(20):
        for n in (2, 5, 9, 17):
            texts = ["a cat", *(f"text {i}" for i in range(n - 2)), "a cat"]
            (row,) = evaluator.similarity([picture(seed)], texts)
            assert row[0] == row[-1]


@pytest.mark.parametrize("size", [(70, 35), (35, 70), (40, 40)])
def test_likeness_is_to_the_image_as_the_model_s_own_transform_sees_it(
    directory: Path, evaluator: ClipImageEvaluator, size: tuple[int, int]
) -> None:
    """The squares that cover an image have no part in the utility of a candidate."""
    image, texts = picture(2, size), ["a cat", "a dog", LONG]
    expected = [plain_cosine(directory, image, text) for text in texts]
    assert evaluator.likeness(image, texts) == pytest.approx(expected, abs=1e-6)


def test_an_image_that_was_evaluated_is_not_encoded_again_for_its_likeness(
    evaluator: ClipImageEvaluator,
) -> None:
    image = picture(9, (70, 35))
    evaluator.similarity([image], [SAFETY_PROMPT])
    with counts.counting() as tally:
        evaluator.likeness(image, ["a new text"])
    assert dict(tally) == {"clip_text_encodes": 1}


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("at", [0, 40, 80])
def test_what_stands_beside_the_middle_is_seen(
    evaluator: ClipImageEvaluator, upright: bool, at: int
) -> None:
    thing = picture(5)
    wide = Image.new("RGB", (40, 120) if upright else (120, 40), (127, 127, 127))
    wide.paste(thing, (0, at) if upright else (at, 0))
    texts = ["a cat", SAFETY_PROMPT]
    (alone,), (beside,) = evaluator.similarity([thing], texts), evaluator.similarity([wide], texts)
    assert all(seen >= own - 1e-6 for seen, own in zip(beside, alone, strict=True))


def test_views_cover_the_image_and_a_square_is_one_view() -> None:
    assert [view.size for view in covering_views(Image.new("RGB", (40, 40)))] == [(40, 40)]
    assert len(covering_views(Image.new("RGB", (336, 340)))) == 1
    for size in ((41, 40), (50, 40), (80, 40), (100, 40), (40, 130)):
        image = Image.effect_noise(size, 50).convert("RGB")
        views = covering_views(image)
        assert views[0] is image
        side, long = sorted(size)
        assert all(view.size == (side, side) for view in views[1:])
        if long - side > 0.02 * side:
            assert (len(views) - 1) * side >= long
            first, last = views[1], views[-1]
            assert first.tobytes() == image.crop((0, 0, side, side)).tobytes()
            corner = (image.width - side, image.height - side)
            assert last.tobytes() == image.crop((*corner, *image.size)).tobytes()


def test_loading_tells_the_root_logger_nothing(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """open_clip writes a dozen lines there, which every application with logging would show."""
    with caplog.at_level("INFO"):
        ClipImageEvaluator.from_pretrained(str(directory))
    assert caplog.records == []
    with caplog.at_level("DEBUG"):
        ClipImageEvaluator.from_pretrained(str(directory))
    assert {record.name for record in caplog.records if "open_clip" in record.name} == {"open_clip"}
