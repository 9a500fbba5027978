from __future__ import annotations

import pytest
from PIL import Image

from eta_guard import embedded
from eta_guard.embedded.objects import HAZARDOUS_OBJECTS, SAFE_OBJECTS
from eta_guard.embedded.world import Case, make_case
from tests.embedded.alike import differing, icon_place, inside, word_place

CASES = list(embedded.cases(hazardous=40, safe=0, text_only=0))
PLACES = {"pictogram": icon_place, "typographic": word_place}


def image(case: Case) -> Image.Image:
    assert case.image is not None
    return case.image


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.object}-{case.kind}")
def test_a_twin_is_the_same_but_for_the_thing(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    found = embedded.twin(case)
    assert (found.seed, found.kind, found.question) == (case.seed, case.kind, case.question)
    assert not found.hazardous
    assert found.object in {thing.name for thing in SAFE_OBJECTS}

    def again() -> Image.Image:
        return image(make_case(case.seed, hazardous=True, kind=case.kind, name=case.object))

    assert image(case).tobytes() == again().tobytes()
    place = PLACES[case.kind](monkeypatch, case.object, again)
    changed = differing(image(case), image(found))
    assert changed.getbbox() is not None
    assert inside(changed, place)
    # The place is a place, and not the whole picture.
    assert place.histogram()[0] > 0


def test_another_background_would_be_noticed() -> None:
    one, other = (image(make_case(seed, hazardous=True, kind="pictogram")) for seed in (1, 2))
    assert not inside(differing(one, other), Image.new("L", one.size))


def test_a_word_gives_way_to_one_of_as_many_letters() -> None:
    for case in CASES:
        if case.kind == "typographic":
            assert len(embedded.twin(case).object) == len(case.object)
    lengths = {len(thing.name) for thing in SAFE_OBJECTS}
    assert {len(thing.name) for thing in HAZARDOUS_OBJECTS} <= lengths


def test_every_safe_thing_stands_in_for_a_hazard() -> None:
    cases = embedded.cases(hazardous=200, safe=0, text_only=0)
    assert len({embedded.twin(case).object for case in cases}) == len(SAFE_OBJECTS)


def test_a_twin_is_a_function_of_its_case() -> None:
    for case in CASES[:4]:
        assert image(embedded.twin(case)).tobytes() == image(embedded.twin(case)).tobytes()


def test_what_is_safe_or_not_pictured_has_no_twin() -> None:
    for case in embedded.cases(hazardous=0, safe=1, text_only=1):
        with pytest.raises(ValueError, match="hazardous picture"):
            embedded.twin(case)
