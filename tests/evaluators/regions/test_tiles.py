from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from eta_guard.evaluators.regions.tiles import Tiling, tiles_of
from eta_guard.evaluators.views.box import pixels_of

SIZES = [(1, 1), (2, 3), (40, 40), (333, 17), (1, 64), (3000, 2000)]
TILINGS = [
    Tiling(),
    Tiling(1, 1.0),
    Tiling(3, 0.75, in_place=True),
    Tiling(4, 0.25),
    Tiling(7, 1 / 7, in_place=True),
]


def noise(size: tuple[int, int], seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tiling", TILINGS, ids=str)
def test_every_pixel_lies_in_a_tile(size: tuple[int, int], tiling: Tiling) -> None:
    picture = noise(size)
    covered = np.zeros((size[1], size[0]), dtype=bool)
    for tile in tiles_of(picture, tiling):
        assert 0 <= tile.box.left < tile.box.right <= 1
        assert 0 <= tile.box.top < tile.box.bottom <= 1
        left, top, right, bottom = pixels_of(tile.box, size)
        covered[top:bottom, left:right] = True
        assert min(tile.make().size) >= 1
    # Of a square that is not cut without overlap, roundings may leave a seam of a pixel.
    assert covered.mean() == 1.0 or min(size) < tiling.along


def test_a_tile_alone_holds_its_own_pixels() -> None:
    picture = noise((40, 40))
    tiles = tiles_of(picture, Tiling(2, 0.5))
    assert [tile.make().size for tile in tiles] == [(20, 20)] * 4
    assert tiles[1].make().tobytes() == picture.crop((20, 0, 40, 20)).tobytes()


def test_a_tile_in_place_lies_on_the_colour_of_the_edge() -> None:
    picture = Image.new("RGB", (40, 40), (10, 20, 30))
    picture.paste((200, 0, 0), (4, 4, 16, 16))
    upper_left, *_, lower_right = tiles_of(picture, Tiling(2, 0.5, in_place=True))
    assert upper_left.make().tobytes() == picture.tobytes()
    assert lower_right.make().tobytes() == Image.new("RGB", (40, 40), (10, 20, 30)).tobytes()


def test_a_wide_picture_is_cut_in_the_squares_that_cover_it() -> None:
    boxes = [tile.box for tile in tiles_of(noise((80, 40)), Tiling(2, 0.5))]
    assert len(boxes) == 8
    assert (boxes[0].right, boxes[0].bottom) == (0.25, 0.5)
    assert (boxes[-1].left, boxes[-1].right, boxes[-1].bottom) == (0.75, 1.0, 1.0)


def test_a_huge_picture_is_scaled_down_before_it_is_copied_a_tile_each() -> None:
    tiles = tiles_of(Image.new("RGB", (6000, 6000)), Tiling(3, 0.75, in_place=True))
    assert {tile.make().size for tile in tiles} == {(512, 512)}
