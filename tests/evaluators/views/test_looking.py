from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from eta_guard.errors import ModelLoadError
from eta_guard.evaluators.views.geometry import View
from eta_guard.evaluators.views.looking import Mark, look
from eta_guard.evaluators.views.offsets import ViewOffsets, digest
from eta_guard.protocols import Finding, Views
from eta_guard.view_names import ViewName

from .test_geometry import noise

FITTED = ViewOffsets(
    "clip@1", digest("prompt"), 0.02, {"turned": 0.1, "mirrored": 0.0, "panels": 0.0, "tiles": 0.05}
)
TURNED: tuple[ViewName, ...] = ("whole", "turned")


class Scorer:
    """Scores views by their names, and keeps the batches. Their doubt is as high as they score."""

    def __init__(self, **scores: float) -> None:
        self.scores = scores
        self.batches: list[list[str]] = []

    def __call__(self, pairs: Sequence[tuple[Image.Image, View]]) -> list[Mark]:
        self.batches.append([view.name for _, view in pairs])
        return [self.mark(view) for _, view in pairs]

    def mark(self, view: View) -> Mark:
        score = self.scores.get(view.name, 0.0)
        return Mark(score, score)


def found(scorer: Callable[..., list[Mark]], views: Views, count: int = 1) -> list[Finding]:
    return look([noise(40, 40, seed) for seed in range(count)], views, FITTED, scorer)


def test_a_clearly_safe_picture_is_looked_at_once() -> None:
    scorer = Scorer(whole=0.019, turned_90=0.9)
    (one,) = found(scorer, Views(TURNED))
    assert (one.score, one.view) == (0.019, "whole")
    assert scorer.batches == [["whole"]]


def test_pictures_in_doubt_share_a_batch() -> None:
    scorer = Scorer(whole=0.02, turned_180=0.5)
    first, second = found(scorer, Views(TURNED), count=2)
    assert first == second == Finding(0.5 - 0.1, view="turned_180")
    assert scorer.batches == [["whole"] * 2, ["turned_90", "turned_180", "turned_270"] * 2]


@pytest.mark.parametrize(("doubt", "closer"), [(0.019, False), (0.02, True), (math.nan, True)])
def test_it_is_the_doubt_that_has_a_picture_looked_at_closer(doubt: float, closer: bool) -> None:
    class Doubted(Scorer):
        def mark(self, view: View) -> Mark:
            return Mark(super().mark(view).score, doubt)

    scorer = Doubted(whole=-0.5, turned_90=0.5)
    (one,) = found(scorer, Views(TURNED))
    assert one == (Finding(0.5 - 0.1, view="turned_90") if closer else Finding(0.0, view="whole"))


def test_always_means_every_picture() -> None:
    scorer = Scorer(whole=-0.5, mirrored=0.3)
    (one,) = found(scorer, Views(("whole", "mirrored"), always=True))
    assert (one.score, one.view) == (0.3, "mirrored")


def test_a_view_counts_less_its_offset() -> None:
    (one,) = found(Scorer(whole=0.05, turned_90=0.14), Views(TURNED))
    assert (one.score, one.view) == (0.05, "whole")


def test_a_view_without_an_offset_is_not_used() -> None:
    scorer = Scorer(whole=0.1, inverted=0.9)
    (one,) = found(scorer, Views(("whole", "inverted"), always=True))
    assert (one.score, scorer.batches) == (0.1, [["whole"]])
    (one,) = look([noise(40, 40)], Views(TURNED, always=True), None, scorer)
    assert one.score == 0.1


def test_a_finding_tells_where_the_tile_lies() -> None:
    class FifthTile(Scorer):
        def mark(self, view: View) -> Mark:
            score = 0.6 if view.box == (0.25, 0.25, 0.75, 0.75) else 0.1
            return Mark(score, score)

    (one,) = found(FifthTile(), Views(("whole", "tiles")))
    assert one.view == "tiles"
    assert one.score == pytest.approx(0.55)
    (region,) = one.regions
    assert (region.left, region.top, region.right, region.bottom) == (0.25, 0.25, 0.75, 0.75)
    assert region.score == one.score


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("view", ["whole", "turned_270"])
def test_what_fails_in_one_view_has_no_score(wrong: float, view: str) -> None:
    (one,) = found(Scorer(**{"whole": 0.1, view: wrong}), Views(TURNED))
    assert not math.isfinite(one.score)


def test_offsets_survive_a_file(tmp_path: Path) -> None:
    FITTED.write(tmp_path / "views.json")
    assert ViewOffsets.read(tmp_path / "views.json") == FITTED
    directed = replace(FITTED, direction=(0.6, -0.8))
    directed.write(tmp_path / "views.json")
    assert ViewOffsets.read(tmp_path / "views.json") == directed != FITTED
    assert directed.label != FITTED.label
    assert FITTED.hold_for("clip@1", "prompt")
    assert not FITTED.hold_for("clip@2", "prompt")
    assert not FITTED.hold_for("clip@1", "another prompt")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"model": "m", "prompt": "p", "clear": 0.1, "offsets": {"sideways": 0.1}}',
        '{"model": "m", "prompt": "p", "clear": 0.1, "offsets": {"turned": -0.1}}',
        '{"model": "m", "prompt": "p", "clear": 0.1, "offsets": {"turned": NaN}}',
        '{"model": "m", "prompt": "p", "clear": "low", "offsets": {}}',
        '{"model": "m", "prompt": "p", "clear": NaN, "offsets": {}}',
        '{"model": "m", "prompt": "p", "clear": 0.1, "offsets": {}, "direction": [NaN]}',
        '{"model": "m", "prompt": "p", "clear": 0.1, "offsets": {}, "direction": 1}',
        '{"model": "m", "prompt": "p", "clear": 0.1, "offsets": {}, "direction": ["up"]}',
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "views.json"
    path.write_text(text)
    with pytest.raises(ModelLoadError, match=r"views\.json holds no offsets"):
        ViewOffsets.read(path)
    with pytest.raises(ModelLoadError):
        ViewOffsets.read(tmp_path / "missing.json")
