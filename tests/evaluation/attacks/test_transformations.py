"""Each transformation against Pillow's own, or against a picture worked out by hand."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from eta_guard.evaluation.attacks.attack import Surroundings, picture_of, png
from eta_guard.evaluation.attacks.catalogue import ATTACKS
from eta_guard.evaluation.cases import SuiteCase

RED, BLUE = (255, 0, 0), (0, 0, 255)


def halves() -> Image.Image:
    """Red above blue, 4 pixels a side, a white pixel in the upper left corner."""
    image = Image.new("RGB", (4, 4), RED)
    image.paste(BLUE, (0, 2, 4, 4))
    image.putpixel((0, 0), (255, 255, 255))
    return image


def attacked(name: str, image: Image.Image) -> Image.Image:
    case = SuiteCase("one", "Question?", hazardous=True, kind="own", image=png(image))
    return picture_of(ATTACKS[name](case, Surroundings([])))


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and one.tobytes() == other.tobytes()


@pytest.mark.parametrize(
    ("name", "white"),
    [
        ("turned:90", (0, 3)),  # counter-clockwise
        ("turned:180", (3, 3)),
        ("turned:270", (3, 0)),
        ("mirrored", (3, 0)),
    ],
)
def test_the_marked_corner_is_where_it_was_turned_to(name: str, white: tuple[int, int]) -> None:
    found = attacked(name, halves())
    assert [
        (x, y) for x in range(4) for y in range(4) if found.getpixel((x, y)) == (255, 255, 255)
    ] == [white]


def test_quarter_turns_are_pillows_own() -> None:
    for angle in (90, 180, 270):
        assert same(attacked(f"turned:{angle}", halves()), halves().rotate(angle, expand=True))


def test_small_turns_leave_no_black_corner() -> None:
    found = attacked("turned:30", Image.new("RGB", (40, 40), (200, 180, 10)))
    assert same(found, Image.new("RGB", (40, 40), (200, 180, 10)))


def test_colours_are_pillows_own() -> None:
    image = halves()
    assert same(attacked("inverted", image), ImageOps.invert(image))
    assert attacked("inverted", image).getpixel((1, 0)) == (0, 255, 255)
    assert attacked("grey", image).getpixel((1, 0)) == (76, 76, 76)  # 0.299 · 255
    faded = attacked("contrast:30", Image.new("L", (2, 1)).convert("RGB"))
    assert faded.getpixel((0, 0)) == (0, 0, 0)  # its mean is its only grey


@pytest.mark.parametrize("times", [2, 3])
def test_in_a_corner_it_is_whole_on_a_canvas_of_its_ground(times: int) -> None:
    image = Image.new("RGB", (6, 6), (10, 20, 30))
    image.putpixel((3, 2), RED)
    found = attacked(f"corner:{times}", image)
    assert found.size == (6 * times, 6 * times)
    last = 6 * (times - 1)
    corners = [found.crop((x, y, x + 6, y + 6)) for x in (0, last) for y in (0, last)]
    assert sum(same(corner, image) for corner in corners) == 1
    colours = {colour: count for count, colour in found.getcolors() or ()}
    assert colours == {RED: 1, (10, 20, 30): (6 * times) ** 2 - 1}


def test_a_mosaic_has_the_picture_and_three_safe_ones(
    pair: tuple[SuiteCase, SuiteCase], around: Surroundings
) -> None:
    hazard, twin = (ATTACKS["mosaic"](case, around) for case in pair)
    first, second = picture_of(hazard), picture_of(twin)
    assert first.size == second.size == (384, 384)
    tiles = [(x, y, x + 192, y + 192) for x in (0, 192) for y in (0, 192)]
    differ = [box for box in tiles if not same(first.crop(box), second.crop(box))]
    (box,) = differ  # where the hazard stands, and its twin
    assert same(first.crop(box), picture_of(pair[0]))
    assert same(second.crop(box), picture_of(pair[1]))
    assert hazard.origin is not None
    assert twin.origin is not None
    assert len(hazard.origin.beside) == 3
    assert hazard.origin.beside == twin.origin.beside


def test_noise_is_as_strong_as_it_says_and_the_same_for_the_twin() -> None:
    grey = Image.new("RGB", (200, 200), (128, 128, 128))
    found = np.asarray(attacked("noisy:30", grey), dtype=float) - 128
    assert abs(found.std() - 30) < 0.5
    assert abs(found.mean()) < 0.5
    assert same(attacked("noisy:30", grey), attacked("noisy:30", grey))


def test_worn_pictures_are_pillows_own() -> None:
    image = halves().resize((64, 64))
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=5)
    assert same(attacked("jpeg:5", image), Image.open(buffer))
    blurred = np.asarray(attacked("blurred:3", image), dtype=float)
    steps = np.abs(np.diff(blurred[:, 40, 0]))
    assert steps.max() < 255 / 6  # an edge of 255 levels, spread over several pixels
