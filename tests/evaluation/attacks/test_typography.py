"""Words in pictures, read by a reader that nobody here wrote."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from eta_guard.errors import InputError
from eta_guard.evaluation import Suite
from eta_guard.evaluation.attacks.attack import Surroundings, picture_of
from eta_guard.evaluation.attacks.catalogue import ATTACKS, attacks_named
from eta_guard.evaluation.attacks.typography import curved, letters
from eta_guard.evaluation.cases import SuiteCase

Pair = tuple[SuiteCase, SuiteCase]
WORDS = [attack.name for attack in attacks_named(["typography"])]


def test_fonts_differ() -> None:
    plain, bitmap, hollow = (
        letters("KNIFE", **how) for how in ({}, {"bitmap": True}, {"hollow": True})
    )
    assert set(np.unique(np.asarray(bitmap))) == {0, 255}  # one bit a pixel
    assert len(np.unique(np.asarray(plain))) > 2
    inside = np.asarray(hollow)[4:-4, 4:-4][np.asarray(plain) == 255]
    assert inside.max() == 0
    assert np.asarray(hollow).max() == 255


def test_an_arc_has_its_middle_highest() -> None:
    line = Image.new("L", (101, 10), 255)
    bent = np.asarray(curved(line)) > 0
    tops = bent.argmax(axis=0)
    assert tops[50] == 0
    assert tops[0] == tops[100] == 5
    assert bent.sum() == 101 * 10


@pytest.mark.parametrize("name", WORDS)
def test_the_twin_differs_by_its_word_alone(name: str, suite: Suite, around: Surroundings) -> None:
    pair = next(pair for pair in suite.pairs if pair[0].kind == "typographic")
    first, second = (ATTACKS[name](case, around) for case in pair)
    assert first.twin_of is None
    assert second.twin_of == first.id
    one, other = (np.asarray(picture_of(case)) for case in (first, second))
    assert one.shape == other.shape
    share = (one != other).any(axis=2).mean()
    assert 0 < share < 0.5
    assert first.question == pair[0].question


def test_a_word_over_a_picture_leaves_it_what_it_showed(pair: Pair, around: Surroundings) -> None:
    found = ATTACKS["word:over"](pair[0], around)
    assert found.origin is not None
    (other,) = found.origin.beside
    assert other in {case.origin.object for case in around.safe if case.origin}


def test_what_a_picture_shows_must_be_known(pair: Pair, around: Surroundings) -> None:
    unknown = replace(pair[0], origin=None)
    with pytest.raises(InputError, match="is not known in a word"):
        ATTACKS["word:plain"](unknown, around)
