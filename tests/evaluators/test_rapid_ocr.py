"""The real reader on pictures that Pillow draws."""

from __future__ import annotations

import builtins
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont, ImageOps
from PIL.Image import Transpose

from eta_guard.embedded import samples
from eta_guard.errors import ModelLoadError
from eta_guard.evaluators.rapid_ocr import RapidOcrReader
from eta_guard.evaluators.text_lines import TextLine, read_every_way
from eta_guard.evaluators.typographic import TypographicEvaluator

from .test_typographic import Judge

pytest.importorskip("rapidocr", reason="needs the extra ocr: pip install 'eta_guard[ocr]'")
pytest.importorskip("onnxruntime", reason="needs the extra ocr: pip install 'eta_guard[ocr]'")

FIRST, SECOND = "STEPS FOR THE WIDGET", "a placeholder phrase"


@pytest.fixture(scope="module")
def reader() -> RapidOcrReader:
    return RapidOcrReader()


def drawn(ink: str = "black", paper: str = "white") -> Image.Image:
    picture = Image.new("RGB", (400, 380), paper)  # as good as square: the cheapest to read
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(32)
    draw.text((20, 20), FIRST, fill=ink, font=font)
    draw.text((20, 80), SECOND, fill=ink, font=font)
    return picture


def said(lines: list[TextLine]) -> list[str]:
    return [line.text for line in lines]


def test_lines_and_their_places(reader: RapidOcrReader) -> None:
    first, second = reader.read(drawn())
    assert (first.text, second.text) == (FIRST, SECOND)
    assert min(first.confidence, second.confidence) > 0.9
    assert 0 <= first.place.left < 0.1 < 0.9 < first.place.right <= 1
    assert first.place.bottom < second.place.top
    assert second.place.right < 0.9


@pytest.mark.parametrize(
    "change",
    [
        Transpose.ROTATE_180,
        "negative",
        *(
            pytest.param(change, marks=pytest.mark.slow)
            for change in (None, Transpose.ROTATE_90, Transpose.ROTATE_270, "pale")
        ),
    ],
)
def test_a_picture_says_the_same_turned_inverted_and_pale(
    reader: RapidOcrReader, change: Transpose | str | None
) -> None:
    picture = drawn()
    if isinstance(change, Transpose):
        picture = picture.transpose(change)
    elif change:
        picture = ImageOps.invert(picture) if change == "negative" else drawn("#f7f7f7")
    found = read_every_way(reader, picture)
    assert said(found) == [FIRST, SECOND]
    # In the turned picture itself a box stands where its line does.
    stands = change in (Transpose.ROTATE_90, Transpose.ROTATE_270)
    for line in found:
        width = (line.place.right - line.place.left) * picture.width
        height = (line.place.bottom - line.place.top) * picture.height
        assert (height > width) is stands


def test_it_is_not_read_upside_down_without_being_turned(reader: RapidOcrReader) -> None:
    """Or else the turns would prove nothing."""
    assert FIRST not in said(reader.read(drawn().transpose(Transpose.ROTATE_180)))
    assert reader.read(drawn("#f7f7f7")) == []


@pytest.mark.slow
def test_a_typographic_picture_of_the_embedded_world_and_a_pictogram(
    reader: RapidOcrReader,
) -> None:
    evaluator = TypographicEvaluator(judge=Judge(), reader=reader)
    by_name = {sample.path.stem: sample.path for sample in samples()}
    shown = Image.open(by_name["safe_kite_typographic"])
    assert said(list(evaluator.read(shown))) == ["A GUIDE TO THE", "KITE"]
    assert evaluator.read(Image.open(by_name["hazardous_bomb_pictogram"])) == ()


@pytest.mark.parametrize("size", [(1, 1), (1, 6000), (6000, 1), (3, 2), (40, 40)])
def test_pictures_of_any_shape_without_text_say_nothing(
    reader: RapidOcrReader, size: tuple[int, int]
) -> None:
    assert reader.read(Image.new("RGB", size, "white")) == []


def test_places_in_a_strip_are_within_it(reader: RapidOcrReader) -> None:
    strip = Image.new("RGB", (3000, 40), "white")
    ImageDraw.Draw(strip).text((100, 0), FIRST, fill="black", font=ImageFont.load_default(32))
    (line,) = reader.read(strip)
    assert line.text == FIRST
    assert 0 < line.place.left < line.place.right < 0.3


def test_threads_get_what_they_would_get_alone(reader: RapidOcrReader) -> None:
    pictures = [drawn(), drawn("white", "black")]
    expected = [reader.read(picture) for picture in pictures]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(reader.read, pictures)) == expected


def test_it_writes_nothing_to_the_log(
    reader: RapidOcrReader, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO):
        assert reader.read(Image.new("RGB", (50, 50), "white")) == []
    captured = capfd.readouterr()
    assert (caplog.records, captured.out, captured.err) == ([], "", "")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "rapidocr":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ModelLoadError, match=r"pip install 'eta_guard\[ocr\]'"):
        TypographicEvaluator(judge=Judge())


def test_a_reader_that_does_not_read_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RapidOcrReader, "read", lambda *_: [])
    with pytest.raises(ModelLoadError, match=r"reads 'READ THIS' as \[\]"):
        RapidOcrReader()
    monkeypatch.setattr(RapidOcrReader, "read", lambda *_: 1 / 0)
    with pytest.raises(ModelLoadError, match="cannot be run: ZeroDivisionError"):
        RapidOcrReader()
