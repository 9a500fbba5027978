from __future__ import annotations

from collections import Counter
from itertools import combinations
from random import Random

import pytest
from PIL import ImageChops

from eta_guard import embedded
from eta_guard.embedded.objects import HAZARDOUS_OBJECTS, OBJECTS, SAFE_OBJECTS
from eta_guard.embedded.pictograms import ICONS, pictogram
from eta_guard.embedded.questions import Split, templates
from eta_guard.embedded.typography import PHRASES, typographic
from eta_guard.embedded.world import SEEDS, Kind, make_case, place_of, split_of

SPLITS: tuple[Split, ...] = ("train", "validation", "held_out")


def test_every_class_has_an_icon() -> None:
    assert set(ICONS) == {thing.name for thing in OBJECTS}
    assert len(SAFE_OBJECTS) >= 12
    assert len(HAZARDOUS_OBJECTS) >= 10


@pytest.mark.parametrize("name", [thing.name for thing in OBJECTS])
def test_both_ways_of_drawing_show_something(name: str) -> None:
    for picture in (pictogram(name, Random(1)), typographic(name, Random(1))):
        assert picture.size == (192, 192)
        assert picture.mode == "RGB"
        colours = picture.getcolors(1 << 16)
        assert colours is not None
        assert len(colours) > 1


def test_pictures_vary_with_the_seed() -> None:
    for draw in (pictogram, typographic):
        assert len({draw("bomb", Random(seed)).tobytes() for seed in range(20)}) == 20


def test_cases_are_a_function_of_their_seed() -> None:
    first, again = (
        [
            (case.seed, case.question, case.image and case.image.tobytes())
            for case in embedded.cases("held_out", hazardous=12, safe=12, text_only=4)
        ]
        for _ in range(2)
    )
    assert first == again


def test_a_longer_measurement_begins_with_the_same_cases() -> None:
    few = [case.question for case in embedded.cases(hazardous=5, safe=0, text_only=0)]
    more = [case.question for case in embedded.cases(hazardous=9, safe=0, text_only=0)]
    assert more[:5] == few


def test_the_default_measurement_is_as_large_and_as_mixed_as_promised() -> None:
    kinds = Counter((case.hazardous, case.kind) for case in embedded.cases())
    assert kinds[True, "pictogram"] + kinds[True, "typographic"] == 400
    assert kinds[False, "pictogram"] + kinds[False, "typographic"] == 400
    assert kinds[True, "typographic"] >= 100
    assert kinds[False, "typographic"] >= 100
    assert kinds[True, "text_only"] == 100


def test_every_class_comes_in_both_kinds() -> None:
    seen = {(case.object, case.kind) for case in embedded.cases(text_only=0)}
    assert len(seen) == 2 * len(OBJECTS)


def test_text_only_cases_name_the_hazard_and_pictured_ones_do_not() -> None:
    for case in embedded.cases(hazardous=40, safe=40, text_only=20):
        assert (case.image is None) == (case.kind == "text_only")
        assert (case.object in case.question) == (case.kind == "text_only")


def test_splits_share_no_seed_no_template_and_no_phrase() -> None:
    for one, other in combinations(SPLITS, 2):
        assert SEEDS[one].stop <= SEEDS[other].start
        assert not templates(one) & templates(other)
        assert not set(PHRASES[one]) & set(PHRASES[other])


def test_a_measurement_stays_inside_its_split() -> None:
    for split in SPLITS:
        for case in embedded.cases(split, hazardous=3, safe=3, text_only=3):
            assert split_of(case.seed) == split


def test_a_seed_outside_every_split_is_refused() -> None:
    with pytest.raises(ValueError, match="outside every split"):
        make_case(-1, hazardous=True, kind="pictogram")


def test_the_size_of_a_picture_is_free() -> None:
    case = make_case(0, hazardous=False, kind="typographic", size=384)
    assert case.image is not None
    assert case.image.size == (384, 384)


@pytest.mark.parametrize("kind", ["pictogram", "typographic"])
def test_all_that_is_drawn_lies_in_its_place(kind: Kind) -> None:
    for seed in range(101_000_000, 101_000_006):
        # Two things of one seed differ in nothing but the things: in one place or in the other.
        pair = [make_case(seed, hazardous=True, kind=kind, name=name) for name in ("knife", "bomb")]
        one, other = (case.image for case in pair)
        assert one is not None
        assert other is not None
        difference = ImageChops.difference(one, other).getbbox()
        boxes = [box for case in pair if (box := place_of(case)) is not None]
        assert difference is not None
        for side, end in ((0, min), (1, min), (2, max), (3, max)):
            edge, outermost = difference[side] / one.width, end(box[side] for box in boxes)
            assert edge >= outermost if end is min else edge <= outermost
            if kind == "pictogram":  # so the box is no larger than what is drawn
                assert edge == pytest.approx(outermost, abs=0.02)


def test_a_case_without_a_picture_has_no_place() -> None:
    assert place_of(make_case(101_000_000, hazardous=True, kind="text_only")) is None
