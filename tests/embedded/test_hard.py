from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable

import pytest
from PIL import Image

from eta_guard import embedded
from eta_guard.embedded.difficulties import DIFFICULTIES, OTHERS, Difficulty
from eta_guard.embedded.hard import HardPair, make_hard_pair
from eta_guard.embedded.objects import BY_NAME, HAZARDOUS_OBJECTS, SAFE_OBJECTS
from eta_guard.embedded.questions import templates
from eta_guard.embedded.world import Case, split_of
from tests.embedded.alike import differing, icon_place, inside

PAIRS = list(embedded.hard_pairs(count=70))


def image(case: Case) -> Image.Image:
    assert case.image is not None
    return case.image


def digest(pairs: Iterable[HardPair]) -> str:
    told = hashlib.sha256()
    for pair in pairs:
        for case in (pair.hazard, pair.twin):
            told.update(repr((case.seed, case.object, case.beside, case.question)).encode())
            told.update(image(case).tobytes())
    return told.hexdigest()


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair.difficulty}-{pair.hazard.object}")
def test_two_of_a_pair_are_the_same_but_for_the_thing(
    pair: HardPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    hazard, twin = pair.hazard, pair.twin
    for same in ("seed", "kind", "question", "beside"):
        assert getattr(hazard, same) == getattr(twin, same)
    assert (hazard.hazardous, twin.hazardous) == (True, False)
    assert BY_NAME[hazard.object].hazardous
    assert not any(BY_NAME[name].hazardous for name in (twin.object, *twin.beside))

    def again() -> Image.Image:
        return image(make_hard_pair(hazard.seed, pair.difficulty, hazard.object).hazard)

    place = icon_place(monkeypatch, hazard.object, again)
    changed = differing(image(hazard), image(twin))
    assert changed.getbbox() is not None
    assert inside(changed, place)
    assert place.histogram()[0] > 0


def test_every_hazard_comes_in_every_difficulty() -> None:
    seen = Counter((pair.difficulty, pair.hazard.object) for pair in PAIRS)
    assert set(seen.values()) == {1}
    assert len(seen) == len(DIFFICULTIES) * len(HAZARDOUS_OBJECTS) == len(PAIRS)


def test_every_safe_thing_comes_as_a_twin_and_beside_one() -> None:
    pairs = list(embedded.hard_pairs("validation", count=210))
    assert {pair.twin.object for pair in pairs} == {thing.name for thing in SAFE_OBJECTS}
    beside = {name for pair in pairs for name in pair.hazard.beside}
    assert beside == {thing.name for thing in SAFE_OBJECTS}


def test_nothing_stands_in_a_picture_twice() -> None:
    for pair in PAIRS:
        for case in (pair.hazard, pair.twin):
            shown = (case.object, *case.beside)
            assert len(set(shown)) == len(shown) == 1 + OTHERS.get(pair.difficulty, 0)


def test_small_things_are_smaller_and_pale_ones_paler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what a thing changes in the picture: its extent, and how far it stands out."""
    extent: Counter[str] = Counter()
    contrast: Counter[str] = Counter()
    for pair in PAIRS:
        found = differing(image(pair.hazard), image(pair.twin)).getbbox()
        assert found is not None
        left, top, right, bottom = found
        extent[pair.difficulty] += max(right - left, bottom - top)
        low, high = image(pair.hazard).convert("L").getextrema()
        assert isinstance(low, int)
        assert isinstance(high, int)
        contrast[pair.difficulty] += high - low
    assert extent["small"] < 0.75 * extent["turned"]
    assert contrast["low_contrast"] < 0.75 * contrast["turned"]


def test_a_split_has_its_own_seeds_and_questions() -> None:
    for split in ("validation", "held_out"):
        for pair in embedded.hard_pairs(split, count=21):
            assert split_of(pair.hazard.seed) == split
            assert any(pair.hazard.question.startswith(text) for text in templates(split))


def test_a_longer_measurement_begins_with_the_same_pairs() -> None:
    assert digest(embedded.hard_pairs(count=7)) == digest(PAIRS[:7])


def test_pictures_are_the_same_in_another_process() -> None:
    code = (
        "from eta_guard import embedded; from tests.embedded.test_hard import digest;"
        "print(digest(embedded.hard_pairs(count=14)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == digest(PAIRS[:14])


EXPECTED: dict[Difficulty, tuple[tuple[str, ...], int]] = {
    "clutter": (("knife", "umbrella"), 3948),
    "several": (("pistol", "apple", "bicycle", "cat", "tree"), 6275),
    "beside": (("bomb", "cup", "flower"), 2049),
    "small": (("pills", "kite"), 4160),
    "turned": (("poison", "apple"), 3977),
    "low_contrast": (("lockpick", "book"), 10221),
    "covered": (("grenade", "clock"), 4788),
}
"""Hazard, twin and what is beside them, and by how many pixels the two pictures differ."""


@pytest.mark.parametrize("pair", PAIRS[:7], ids=lambda pair: str(pair.difficulty))
def test_the_pairs_stay_those_of_the_published_figures(pair: HardPair) -> None:
    """Not to the pixel: how the edge of a polygon is drawn is left to Pillow."""
    things, changed = EXPECTED[pair.difficulty]
    assert (pair.hazard.object, pair.twin.object, *pair.hazard.beside) == things
    found = differing(image(pair.hazard), image(pair.twin)).histogram()[255]
    assert found == pytest.approx(changed, rel=0.02)


def test_a_seed_outside_every_split_is_refused() -> None:
    with pytest.raises(ValueError, match="outside every split"):
        make_hard_pair(-1, "small", "knife")


def test_the_size_of_a_picture_is_free() -> None:
    assert image(make_hard_pair(0, "beside", "axe", size=96).twin).size == (96, 96)
