"""The embedded CLIP, looking at pictures that are hidden."""

from __future__ import annotations

import logging
from random import Random

import pytest
from PIL import Image

from eta_guard import embedded
from eta_guard.counts import counting
from eta_guard.evaluation.views.fit import MORE_ALARMS
from eta_guard.evaluation.views.hidden import HIDINGS
from eta_guard.evaluators.clip import ClipImageEvaluator
from eta_guard.policy import GuardPolicy
from eta_guard.prompts import SAFETY_PROMPT
from eta_guard.protocols import SeesViews, Views
from eta_guard.view_names import DEFAULT_VIEWS, VIEW_NAMES

from .test_clip import picture

THRESHOLD = GuardPolicy().image_threshold
LOOKING = Views(DEFAULT_VIEWS, (64,))


def drawn(hazardous: int, safe: int) -> list[Image.Image]:
    cases = embedded.cases("held_out", hazardous=hazardous, safe=safe, text_only=0)
    return [case.image for case in cases if case.image is not None]


SAFE, HAZARDS = drawn(0, 3), drawn(20, 0)


@pytest.fixture(scope="module")
def shared() -> ClipImageEvaluator:
    return ClipImageEvaluator.from_pretrained(str(embedded.path("clip")), device="cpu")


@pytest.fixture
def clip(shared: ClipImageEvaluator) -> ClipImageEvaluator:
    """The shipped weights, with nothing kept yet."""
    kept = shared.embeddings
    return ClipImageEvaluator(
        kept.model,
        kept.preprocess,
        kept.tokenizer,
        fingerprint=shared.fingerprint,
        offsets=shared.offsets,
    )


def hidden(name: str) -> list[Image.Image]:
    rng = Random(name)
    return [HIDINGS[name](one, SAFE, rng) for one in HAZARDS]


def test_the_shipped_offsets_are_of_the_shipped_weights(clip: ClipImageEvaluator) -> None:
    assert isinstance(clip, SeesViews)
    assert clip.offsets is not None
    assert clip.offsets.hold_for(clip.fingerprint, SAFETY_PROMPT)
    assert set(clip.offsets.offsets) == set(VIEW_NAMES) - {"whole"}
    assert 1 < clip.offsets.encodes <= 2


@pytest.mark.parametrize(
    ("name", "view"),
    [
        ("canvas twice its side", "trimmed"),
        ("one of four tiles", "panels"),
        ("mirrored", "mirrored"),
        ("turned by 90°", "turned_270"),
        ("low contrast", "stretched"),
    ],
)
def test_what_the_published_view_missed_is_flagged(
    clip: ClipImageEvaluator, name: str, view: str
) -> None:
    pictures = hidden(name)
    before = clip.evaluate(pictures, SAFETY_PROMPT)
    after = clip.evaluate_views(pictures, SAFETY_PROMPT, LOOKING)
    missed = [place for place, found in enumerate(before) if found.score < THRESHOLD]
    caught = [after[place] for place in missed if after[place].score >= THRESHOLD]
    assert len(caught) >= 0.3 * len(missed) > 0
    assert view in {found.view for found in caught}
    assert all(one.score >= other.score for one, other in zip(after, before, strict=True))


def test_the_panel_of_a_mosaic_is_where_the_hazard_lies(clip: ClipImageEvaluator) -> None:
    mosaic = Image.new("RGB", (384, 384))
    for place, tile in enumerate([*SAFE, HAZARDS[0]]):
        mosaic.paste(tile, (place % 2 * 192, place // 2 * 192))
    (found,) = clip.evaluate_views([mosaic], SAFETY_PROMPT, LOOKING)
    assert found.view == "panels"
    (region,) = found.regions
    assert (region.left, region.top, region.right, region.bottom) == (0.5, 0.5, 1.0, 1.0)


def test_the_published_view_alone_is_as_ever(clip: ClipImageEvaluator) -> None:
    pictures = [*hidden("turned by 90°"), picture(3, (90, 40))]
    published = clip.evaluate_views(pictures, SAFETY_PROMPT, Views(GuardPolicy.paper().views))
    rows = clip.similarity(pictures, [SAFETY_PROMPT])
    assert [found.score for found in published] == [max(row[0], 0.0) for row in rows]
    assert {found.view for found in published} <= {"whole", "square"}


def test_views_are_encoded_in_two_batches_and_kept(
    clip: ClipImageEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    encode = clip.embeddings.model.encode_image

    def spy(pixels: object) -> object:
        batches.append(len(pixels))  # type: ignore[arg-type]
        return encode(pixels)

    monkeypatch.setattr(clip.embeddings.model, "encode_image", spy)
    pictures = hidden("turned by 90°")[:4]
    looking = Views(DEFAULT_VIEWS, (64,), always=True)
    with counting() as tally:
        first = clip.evaluate_views(pictures, SAFETY_PROMPT, looking)
    assert len(batches) == 2
    assert sum(batches) == tally["clip_image_encodes"] >= 4 * 6
    with counting() as tally:
        again = clip.evaluate_views([one.copy() for one in pictures], SAFETY_PROMPT, looking)
        clip.likeness(pictures[0], ["a cup"])
    assert again == first
    assert dict(tally) == {"clip_text_encodes": 1}


def test_at_its_own_size_the_chat_model_sees_what_clip_does(clip: ClipImageEvaluator) -> None:
    def encodes(*sides: int) -> float:
        with counting() as tally:
            clip.evaluate_views([picture(5, (96, 96))], SAFETY_PROMPT, Views(VIEW_NAMES, sides))
        return tally.get("clip_image_encodes", 0)

    at_first = encodes(64)
    assert at_first >= 1
    assert (encodes(64), encodes(48), encodes(48), encodes(100)) == (0, 1, 0, 0)


def test_views_without_offsets_are_left_out_and_logged_once(
    shared: ClipImageEvaluator, caplog: pytest.LogCaptureFixture
) -> None:
    kept = shared.embeddings
    bare = ClipImageEvaluator(
        kept.model, kept.preprocess, kept.tokenizer, fingerprint="another@1", offsets=shared.offsets
    )
    turned = hidden("turned by 90°")[:2]
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = bare.evaluate_views(turned, SAFETY_PROMPT, Views(("whole", "turned")))
            assert found == bare.evaluate(turned, SAFETY_PROMPT)
    (record,) = caplog.records
    assert "turned" in record.getMessage()
    assert "eta-guard views" in record.getMessage()
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        shared.evaluate_views(turned, "another safety prompt", Views(("whole", "mirrored")))
    assert "mirrored" in caplog.text


@pytest.mark.slow
def test_false_alarms_and_encodes_keep_to_the_fit_on_pictures_it_never_saw(
    clip: ClipImageEvaluator,
) -> None:
    """Of a split that nothing was fitted on, within three standard errors."""
    twins = [
        embedded.twin(case).image
        for case in embedded.cases("held_out", hazardous=100, safe=0, text_only=0)
    ]
    hard = [pair.twin.image for pair in embedded.hard_pairs("held_out", count=100)]
    usual = drawn(0, 100)
    with counting() as tally:
        clip.evaluate_views(usual, SAFETY_PROMPT, LOOKING)
    assert len(usual) < tally["clip_image_encodes"] <= 2.3 * len(usual)
    safe = [one for one in (*usual, *twins, *hard) if one is not None]
    before = clip.evaluate(safe, SAFETY_PROMPT)
    after = clip.evaluate_views(safe, SAFETY_PROMPT, LOOKING)
    more = sum(
        one.score < THRESHOLD <= other.score for one, other in zip(before, after, strict=True)
    )
    assert more <= MORE_ALARMS * len(safe) + 3 * (MORE_ALARMS * len(safe)) ** 0.5
