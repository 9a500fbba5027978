from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from eta_guard.drawn_regions import unsafe_regions, with_regions
from eta_guard.panel.evaluation import CombinedEvaluation, Evaluation, Limit
from eta_guard.protocols import Finding, Region

LEFT, RIGHT = Region(0.0, 0.0, 0.5, 1.0, 0.66), Region(0.5, 0.25, 1.0, 1.0, 0.71)


def changed(size: tuple[int, int], *regions: Region) -> np.ndarray:
    """Which pixels of a grey picture were drawn on."""
    grey = Image.new("RGB", size, (90, 90, 90))
    drawn: np.ndarray = (np.asarray(with_regions(grey, regions)) != 90).any(axis=-1)
    return drawn


def test_the_outline_lies_on_the_edges_of_the_region() -> None:
    touched = changed((200, 100), Region(0.25, 0.2, 0.75, 0.9))
    ys, xs = np.nonzero(touched)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (49, 149, 19, 89)
    assert not touched[30:80, 60:140].any()  # without a score there is no label


def test_a_score_is_written_into_the_region_alone() -> None:
    touched = changed((400, 400), RIGHT)
    assert touched[105:140, 205:260].any()
    assert not touched[:, :198].any()


def test_two_scores_make_two_pictures() -> None:
    other = Region(*(LEFT.left, LEFT.top, LEFT.right, LEFT.bottom), 0.99)
    grey = Image.new("RGB", (300, 300), (90, 90, 90))
    assert with_regions(grey, [LEFT]).tobytes() != with_regions(grey, [other]).tobytes()


def test_the_first_is_drawn_over_the_others() -> None:
    covering = Region(0.0, 0.0, 1.0, 1.0, 0.1)
    first = np.asarray(with_regions(Image.new("RGB", (200, 200)), [LEFT, covering]))
    last = np.asarray(with_regions(Image.new("RGB", (200, 200)), [covering, LEFT]))
    alone = np.asarray(with_regions(Image.new("RGB", (200, 200)), [LEFT]))
    assert (first[:20, :40] == alone[:20, :40]).all()
    assert not (last[:20, :40] == alone[:20, :40]).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (3, 2), (64, 64)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "1"])
def test_any_picture_can_be_drawn_on(size: tuple[int, int], mode: str) -> None:
    picture = Image.new(mode, size)
    before = picture.tobytes()
    drawn = with_regions(picture, [LEFT, RIGHT, Region(0.999, 0.999, 1.0, 1.0)])
    assert (drawn.size, drawn.mode) == (size, "RGB")
    assert picture.tobytes() == before


def found(name: str, score: float, *regions: Region) -> Evaluation:
    return Evaluation.of(Finding(score, regions=regions), Limit(name, 0.5, "above"))


def test_regions_are_of_all_evaluators_that_found_it_unsafe() -> None:
    together = CombinedEvaluation.together(
        [found("clip", 0.9), found("regions", 0.8, LEFT), found("ocr", 0.1, RIGHT)]
    )
    assert together.regions == ()  # of the one that decides
    assert unsafe_regions(together) == (LEFT,)
    assert unsafe_regions(CombinedEvaluation(**dict(found("regions", 0.8, RIGHT)))) == (RIGHT,)
