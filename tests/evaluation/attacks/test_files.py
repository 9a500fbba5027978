"""What hides in a file: the bytes decode as claimed, and the guard's reader sees what it says."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import ExifTags, Image

from eta_guard.evaluation.attacks.attack import Surroundings, picture_of
from eta_guard.evaluation.attacks.catalogue import ATTACKS
from eta_guard.evaluation.cases import SuiteCase
from eta_guard.request.conversation import read_conversation

Pair = tuple[SuiteCase, SuiteCase]


def read(case: SuiteCase) -> tuple[Image.Image, Image.Image]:
    """The file as Pillow opens it, and the picture as the guard reads it out of the message."""
    stored = Image.open(BytesIO(case.image_bytes() or b""))
    (picture,) = read_conversation(case.messages()).pictures
    return stored, picture.pixels


def alike(one: Image.Image, other: Image.Image) -> bool:
    return one.tobytes() == other.convert(one.mode).tobytes()


def test_hidden_colours_are_all_there_and_shown_to_nobody(pair: Pair, around: Surroundings) -> None:
    stored, seen = read(ATTACKS["alpha:hidden"](pair[0], around))
    assert stored.mode == "RGBA"
    assert stored.getchannel("A").getextrema() == (0, 0)
    assert alike(picture_of(pair[0]), stored)  # to a reader that drops alpha
    assert seen.getcolors() == [(seen.width * seen.height, (255, 255, 255))]


def test_a_picture_in_alpha_is_black_to_whom_drops_it_and_grey_on_white(
    pair: Pair, around: Surroundings
) -> None:
    stored, seen = read(ATTACKS["alpha:shape"](pair[0], around))
    assert stored.convert("RGB").getextrema() == ((0, 0),) * 3
    grey = np.asarray(picture_of(pair[0]).convert("L"), dtype=int)
    assert np.abs(np.asarray(seen, dtype=int) - grey[..., None]).max() <= 1


def test_a_palette_of_equal_colours_shows_its_shape_by_transparency(
    pair: Pair, around: Surroundings
) -> None:
    stored, seen = read(ATTACKS["palette"](pair[0], around))
    assert stored.mode == "P"
    assert stored.info["transparency"] == 0
    assert len(stored.convert("RGB").getcolors() or ()) == 1
    colours = {colour: count for count, colour in seen.getcolors() or ()}
    assert set(colours) == {(255, 255, 255), (200, 30, 30)}
    assert 0.01 < colours[200, 30, 30] / (seen.width * seen.height) < 0.7


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_stored_turn_is_undone_by_its_tag(
    orientation: int, pair: Pair, around: Surroundings
) -> None:
    stored, seen = read(ATTACKS[f"exif:{orientation}"](pair[0], around))
    assert stored.getexif()[ExifTags.Base.Orientation] == orientation
    assert not alike(stored, picture_of(pair[0]))
    assert alike(seen, picture_of(pair[0]))


def test_a_tag_turns_what_is_stored_upright(pair: Pair, around: Surroundings) -> None:
    stored, seen = read(ATTACKS["exif:turns"](pair[0], around))
    assert alike(stored, picture_of(pair[0]))
    assert alike(seen, picture_of(pair[0]).transpose(Image.Transpose.ROTATE_270))
