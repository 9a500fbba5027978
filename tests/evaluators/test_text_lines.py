from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from PIL import Image, ImageOps
from PIL.Image import Transpose

from eta_guard import counts
from eta_guard.evaluators.text_lines import VIEWS, TextLine, read_every_way
from eta_guard.protocols import Region

GREY, INK = (200, 200, 200), (10, 10, 10)


def line(text: str, confidence: float, *place: float) -> TextLine:
    return TextLine(text, confidence, Region(*place))


@dataclass
class Scripted:
    """Says of each view in turn what it is told to, and keeps the views."""

    readings: list[list[TextLine]]
    views: list[Image.Image] = field(default_factory=list)
    fingerprint: str = "scripted"
    cost: float = 0.0

    def read(self, picture: Image.Image) -> list[TextLine]:
        self.views.append(picture)
        return self.readings[len(self.views) - 1]


@dataclass
class DarkSpots:
    """Takes the box of all dark pixels for a line: what a view shows where can be told from it."""

    fingerprint: str = "spots"
    cost: float = 0.0

    def read(self, picture: Image.Image) -> list[TextLine]:
        box = picture.convert("L").point(lambda value: 255 if value < 100 else 0).getbbox()
        if box is None or box == (0, 0, *picture.size):  # the negative
            return []
        (left, top, right, bottom), (width, height) = box, picture.size
        return [line("spot", 0.9, left / width, top / height, right / width, bottom / height)]


def spotted() -> Image.Image:
    picture = Image.new("RGB", (80, 40), GREY)
    picture.paste(INK, (8, 4, 48, 8))
    return picture


SPOT = (0.1, 0.1, 0.6, 0.2)


def test_the_views_are_four_turns_and_the_stretched_negative() -> None:
    reader = Scripted([[]] * VIEWS)
    picture = spotted()
    with counts.counting() as tally:
        assert read_every_way(reader, picture) == []
    assert dict(tally) == {"text_readings": VIEWS}
    turned = [picture, *(picture.transpose(way) for way in TURNS)]
    assert [one.tobytes() for one in reader.views[:4]] == [one.tobytes() for one in turned]
    negative = reader.views[4]
    assert (negative.getpixel((0, 0)), negative.getpixel((10, 5))) == ((0,) * 3, (255,) * 3)


TURNS = (Transpose.ROTATE_90, Transpose.ROTATE_180, Transpose.ROTATE_270)


def test_places_are_those_in_the_picture_as_it_was_given() -> None:
    (found,) = read_every_way(DarkSpots(), ImageOps.autocontrast(spotted()))
    edges = (found.place.left, found.place.top, found.place.right, found.place.bottom)
    # One line alone: the four turns find it at the same place.
    assert edges == pytest.approx(SPOT)


@pytest.mark.parametrize("turns", range(4))
def test_of_one_place_the_most_confident_reading_is_kept(turns: int) -> None:
    upright = [SPOT, (0.1, 0.4, 0.2, 0.9), (0.4, 0.8, 0.9, 0.9), (0.8, 0.1, 0.9, 0.6)]
    readings = [[line(f"view {n}", 0.6, *place)] for n, place in enumerate(upright)]
    readings[turns] = [line("right", 0.99, *upright[turns])]
    (found,) = read_every_way(Scripted([*readings, []]), Image.new("RGB", (80, 80)))
    assert found.text == "right"
    place = found.place
    assert (place.left, place.top, place.right, place.bottom) == pytest.approx(SPOT)


def test_lines_come_as_the_view_has_them_that_reads_best() -> None:
    lying, standing = (0.1, 0.1, 0.9, 0.2), (0.1, 0.3, 0.9, 0.4)
    upright = [line("first line", 0.98, *lying), line("second line", 0.98, *standing)]
    # On its side each line stands; a reader that turns it by itself is as sure of it.
    side = [
        line("second line", 0.99, 0.3, 0.1, 0.4, 0.9),
        line("first line", 0.99, 0.1, 0.1, 0.2, 0.9),
    ]
    found = read_every_way(Scripted([upright, side, [], [], []]), Image.new("RGB", (80, 80)))
    assert [one.text for one in found] == ["first line", "second line"]


def test_what_another_view_alone_finds_is_added() -> None:
    views = [[line("main text", 0.99, *SPOT)], [], [line("hidden", 0.9, *SPOT)], [], []]
    found = read_every_way(Scripted(views), Image.new("RGB", (80, 80)))
    assert [one.text for one in found] == ["main text", "hidden"]


def test_lines_of_one_view_are_never_one_line() -> None:
    slanted = [line("one", 0.9, 0.1, 0.1, 0.9, 0.9), line("other", 0.9, 0.15, 0.1, 0.9, 0.9)]
    again = [line("other!", 0.95, 0.15, 0.1, 0.9, 0.9), line("one!", 0.8, 0.1, 0.1, 0.9, 0.9)]
    found = read_every_way(Scripted([slanted, [], [], [], again]), Image.new("RGB", (80, 80)))
    assert sorted(one.text for one in found) == ["one", "other!"]


def test_a_line_does_not_show_what_it_says() -> None:
    assert "spot" not in repr(line("spot", 0.9, *SPOT))
