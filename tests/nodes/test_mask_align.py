from __future__ import annotations

from typing import Any

from eta_guard.nodes.mask_align import mask_align
from eta_guard.panel.evaluation import CombinedEvaluation, Evaluation, ImageEvaluation, Limit
from eta_guard.protocols import Finding, Region
from eta_guard.steps import drive
from tests.fakes import FakeEngine, Rig, question
from tests.nodes.states import Driven, driven, image, state_with

LOWER = Region(0.0, 0.5, 1.0, 1.0)


def node_of(rig: Rig) -> Driven:
    return driven(mask_align(engine=rig.engine, policy=rig.policy))


def image_with(*regions: Region) -> dict[str, Any]:
    found = Evaluation.of(Finding(0.8, regions=regions), Limit("clip", 0.16, "above"))
    whole = CombinedEvaluation.together([found])
    return ImageEvaluation(**dict(whole), message=0, block=0).model_dump(mode="json")


def test_the_model_answers_anew_and_does_not_see_the_region() -> None:
    rig = Rig(engine=FakeEngine(continuation="What is left."))
    given = image_with(LOWER)
    update = node_of(rig)(state_with(question(0.8), images=[given], image=given), {})

    assert rig.engine.calls == ["prefill", "finish"]
    assert rig.engine.prefills == [("", ())]
    ((shown, _),) = rig.engine.opened
    pixels = shown.pictures[0].pixels
    assert pixels.getpixel((0, 1)) == (204, 0, 0)
    assert pixels.getpixel((0, 2)) == (0, 0, 0)
    assert update["masked"]["pictures"][0]["regions"][0]["evaluator"] == "clip"


def test_the_answer_is_in_the_session_and_not_in_the_state() -> None:
    rig = Rig(engine=FakeEngine(continuation="MASKED canary."))
    given = image_with(LOWER)
    update = node_of(rig)(state_with(question(0.8), images=[given], image=given), {})

    assert "canary" not in repr(update)
    assert set(update) == {"session", "masked"}
    assert drive(update["session"].masked_answer()).text == "MASKED canary."
    assert rig.engine.calls == ["prefill", "finish"]  # once
    assert "MASKED canary." in update["session"].withheld_texts


def test_safe_pictures_stay_and_evaluators_keep_the_originals() -> None:
    rig = Rig()
    images = [image(0.0, block=0), image(0.8, block=1)]
    update = node_of(rig)(state_with(question(0.1, 0.8), images=images, image=images[1]), {})

    session = update["session"]
    first, second = (picture.pixels for picture in session.shown.pictures)
    assert (first.getpixel((0, 0)), second.getbbox()) == ((26, 0, 0), None)
    assert session.conversation.pictures[1].pixels.getpixel((0, 0)) == (204, 0, 0)
    assert [one["image"] for one in update["masked"]["pictures"]] == [1]


def test_an_image_that_is_covered_whole_is_like_no_text() -> None:
    rig = Rig()
    given = image_with()
    state = state_with(question(0.8), images=[given], image=given)
    assert node_of(rig)(state, {})["session"].picture(state) is None
    given = image_with(LOWER)
    state = state_with(question(0.8), images=[given], image=given)
    picture = node_of(rig)(state, {})["session"].picture(state)
    assert picture is not None
    assert picture.pixels.getpixel((0, 2)) == (0, 0, 0)
