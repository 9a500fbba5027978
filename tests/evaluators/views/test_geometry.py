from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps

from eta_guard.evaluators.views.box import WHOLE, Box, pixels_of
from eta_guard.evaluators.views.geometry import View, covering_squares, views_of
from eta_guard.evaluators.views.layout import panel_boxes, trimmed_box
from eta_guard.view_names import VIEW_NAMES, ViewName

TURNS = {
    "turned_90": Image.Transpose.ROTATE_90,
    "turned_180": Image.Transpose.ROTATE_180,
    "turned_270": Image.Transpose.ROTATE_270,
}


def noise(width: int = 60, height: int = 40, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def views(image: Image.Image, kind: ViewName, sides: tuple[int, ...] | None = None) -> list[View]:
    return views_of(image, [kind], sides)


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and one.tobytes() == other.tobytes()


@pytest.mark.parametrize("size", [(60, 40), (40, 60), (1, 7), (1, 1)])
def test_turned_and_changed_views_are_pillows(size: tuple[int, int]) -> None:
    image = noise(*size)
    turned = {view.name: view.make() for view in views(image, "turned")}
    assert turned.keys() == TURNS.keys()
    assert all(same(turned[name], image.transpose(turn)) for name, turn in TURNS.items())
    (mirrored,), (inverted,) = views(image, "mirrored"), views(image, "inverted")
    assert same(mirrored.make(), image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert same(inverted.make(), ImageOps.invert(image))
    assert mirrored.box == inverted.box == WHOLE


@pytest.mark.parametrize("size", [(60, 40), (1, 7), (1, 1)])
def test_tilted_views_are_pillows_with_a_corner_s_colour(size: tuple[int, int]) -> None:
    image = noise(*size)
    for view, degrees in zip(views(image, "tilted"), (30, -30), strict=True):
        turned = image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=image.getpixel((0, 0)))
        assert (view.name, view.box) == (f"tilted_{degrees}", WHOLE)
        assert same(view.make(), turned)


def test_a_stretched_view_uses_all_levels() -> None:
    pale = Image.blend(Image.new("RGB", (60, 40), (128, 128, 128)), noise(), 0.2)
    (view,) = views(pale, "stretched")
    assert np.ptp(np.asarray(pale.convert("L"))) < 60
    assert np.ptp(np.asarray(view.make().convert("L"))) > 200


def test_tiles_overlap_by_half_and_reach_every_edge() -> None:
    image = noise(120, 60)
    boxes = [view.box for view in views(image, "tiles")]
    assert boxes[:4] == [
        (0.0, 0.0, 0.5, 0.5),
        (0.25, 0.0, 0.75, 0.5),
        (0.5, 0.0, 1.0, 0.5),
        (0.0, 0.25, 0.5, 0.75),
    ]
    assert boxes[-1] == (0.5, 0.5, 1.0, 1.0)
    assert len(boxes) == 9
    middle = views(image, "tiles")[4].make()
    assert same(middle, image.crop((30, 15, 90, 45)))
    small = views(image, "small_tiles")
    assert len(small) == 25
    assert small[-1].box == pytest.approx((2 / 3, 2 / 3, 1, 1))
    assert same(small[-1].make(), image.crop((80, 40, 120, 60)))


def test_a_picture_is_shown_as_the_chat_model_is_where_that_is_smaller() -> None:
    assert [view.make().size for view in views(noise(60, 40), "as_shown", (20, 40, 80))] == [
        (30, 20)
    ]
    assert [view.name for view in views(noise(500, 400), "as_shown")] == [
        "as_shown_224",
        "as_shown_336",
    ]


def test_a_picture_on_a_canvas_comes_out_to_the_pixel() -> None:
    picture = noise(60, 40)
    canvas = Image.new("RGB", (180, 120), (250, 250, 250))
    canvas.paste(picture, (120, 30))
    (view,) = views(canvas, "trimmed")
    assert view.box == pytest.approx((120 / 180, 30 / 120, 1, 70 / 120))
    assert same(view.make(), picture)


def test_the_tiles_of_a_mosaic_come_out_to_the_pixel() -> None:
    flat = [Image.new("RGB", (50, 50), colour) for colour in ("navy", "gold", "white", "green")]
    mosaic = Image.new("RGB", (100, 100))
    for place, tile in enumerate(flat):
        tile.paste((90, 0, 0), (10 + place, 10, 30, 40))
        mosaic.paste(tile, (place % 2 * 50, place // 2 * 50))
    found = views(mosaic, "panels")
    assert [view.box for view in found] == [
        (0, 0, 0.5, 0.5),
        (0.5, 0, 1, 0.5),
        (0, 0.5, 0.5, 1),
        (0.5, 0.5, 1, 1),
    ]
    assert all(same(view.make(), tile) for view, tile in zip(found, flat, strict=True))


def test_an_ordinary_picture_has_neither_margin_nor_panels() -> None:
    shaded = Image.linear_gradient("L").convert("RGB")
    for image in (noise(), shaded, Image.new("RGB", (30, 30), "red"), noise(1, 1), noise(3, 900)):
        assert trimmed_box(image) == panel_boxes(image) == []


def test_a_large_picture_is_laid_out_as_a_small_one() -> None:
    halves = Image.new("RGB", (4000, 1000), "navy")
    halves.paste("gold", (2000, 0, 4000, 1000))
    left, right = panel_boxes(halves)
    assert left == pytest.approx((0, 0, 0.5, 1), abs=0.01)
    assert right == pytest.approx((0.5, 0, 1, 1), abs=0.01)


def test_squares_cover_a_picture_from_end_to_end() -> None:
    assert covering_squares((40, 40)) == []
    assert covering_squares((100, 40)) == [
        (0, 0, 0.4, 1),
        (0.3, 0, 0.7, 1),
        (0.6, 0, 1, 1),
    ]


def test_every_view_is_within_the_picture_whatever_its_size() -> None:
    for size in ((1, 1), (1, 64), (64, 1), (2, 3), (37, 91)):
        for view in views_of(noise(*size), VIEW_NAMES):
            left, top, right, bottom = view.box
            assert 0 <= left < right <= 1 + 1e-9
            assert 0 <= top < bottom <= 1 + 1e-9
            assert min(view.make().size) >= 1


def test_a_box_in_pixels_is_never_empty() -> None:
    assert pixels_of(Box(0.9, 0.99, 1.0, 1.0), (3, 2)) == (2, 1, 3, 2)
    assert Box(0.5, 0.0, 1.0, 0.5).within(Box(0.5, 0.5, 1.0, 1.0)) == (0.75, 0.5, 1.0, 0.75)
