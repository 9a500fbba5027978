from __future__ import annotations

import pytest

from eta_guard.errors import EvaluationError, InputError
from eta_guard.nodes.pre_evaluate import pre_evaluate
from eta_guard.policy import GuardPolicy
from tests.fakes import FakeImages, Rig, question
from tests.nodes.states import Driven, driven, state_with

BROKEN = RuntimeError("broken")


def node_of(rig: Rig) -> Driven:
    return driven(pre_evaluate(engine=rig.engine, panel=rig.panel(), policy=rig.policy))


def test_the_most_unsafe_image_is_named_with_its_place() -> None:
    update = node_of(Rig())(state_with(question(0.2, 0.6, 0.4)), {})
    assert set(update) == {"session", "images", "image", "halt"}
    assert [image["block"] for image in update["images"]] == [0, 1, 2]
    assert update["image"] == update["images"][1]
    assert update["halt"] is None


def test_without_an_image_nothing_is_asked() -> None:
    rig = Rig(GuardPolicy(on_unscored="raise"))
    update = node_of(rig)(state_with(question()), {})
    assert (update["images"], update["image"], update["halt"]) == ([], None, None)
    assert rig.images.asked == []
    assert rig.engine.opened == []


@pytest.mark.parametrize(
    ("policy", "halted"),
    [
        (GuardPolicy(), False),
        (GuardPolicy(on_unscored="refuse"), True),
        (GuardPolicy(on_unscored="refuse", mode="observe"), False),
    ],
)
def test_images_without_scores(policy: GuardPolicy, halted: bool) -> None:
    update = node_of(Rig(policy, images=FakeImages(failure=BROKEN)))(state_with(question(0.8)), {})
    assert update["image"]["outcome"] == "unscored"
    assert update["image"]["reason"] == "RuntimeError"
    assert (update["halt"] is not None) == halted
    if halted:
        assert update["halt"]["decision"] == "blocked"


def test_what_must_be_scored_raises() -> None:
    rig = Rig(GuardPolicy(on_unscored="raise"), images=FakeImages(failure=BROKEN))
    with pytest.raises(EvaluationError):
        node_of(rig)(state_with(question(0.8)), {})


def test_no_messages_are_an_input_error() -> None:
    with pytest.raises(InputError):
        node_of(Rig())(state_with(), {})
