from __future__ import annotations

import pytest

from eta_guard.nodes.best_of_n import STEPS_AFTER, best_of_n
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Candidate
from eta_guard.state import fresh
from tests.fakes import FakeEngine, Rig, candidate, question
from tests.nodes.states import Driven, driven, image, state_with

UNSAFE_IMAGE = {"image": image(0.8), "images": [image(0.8)]}


def node_of(rig: Rig) -> Driven:
    return driven(
        best_of_n(
            engine=rig.engine,
            panel=rig.panel(),
            policy=rig.policy,
        )
    )


def test_a_pass_is_a_sentence() -> None:
    rig = Rig()
    update = node_of(rig)(state_with(question(0.8), **UNSAFE_IMAGE), {})
    assert set(update) == {"session", "rounds", "accepted"}
    assert [record["sentence"] for record in update["rounds"]] == [1]
    assert update["accepted"] == [[1, 0]]
    assert rig.engine.calls == ["prefill", "propose"]


def test_the_passes_of_one_session_set_the_prefix_once() -> None:
    rig = Rig()
    node, state = node_of(rig), state_with(question(0.8), **UNSAFE_IMAGE)
    for _ in range(3):
        update = node(state, {})
        state = state_with(question(0.8), **UNSAFE_IMAGE, **update)
    assert update["repaired"]["text"].endswith("sentence 3 of candidate 0.")
    assert update["repaired"]["finish_reason"] == "stop"
    assert rig.engine.calls == ["prefill", *["propose"] * 3]


@pytest.mark.parametrize(
    ("remaining", "rounds"), [(STEPS_AFTER + 1, 1), (STEPS_AFTER, 3), (STEPS_AFTER - 1, 3)]
)
def test_with_few_steps_left_one_pass_goes_on_to_the_end(remaining: int, rounds: int) -> None:
    state = state_with(question(0.8), **UNSAFE_IMAGE, remaining_steps=remaining)
    assert len(node_of(Rig())(state, {})["rounds"]) == rounds


def test_the_state_it_was_given_is_left_alone() -> None:
    state = state_with(question(0.8), **UNSAFE_IMAGE)
    node_of(Rig())(state, {})
    assert (state["rounds"], state["accepted"]) == (fresh()["rounds"], fresh()["accepted"])


def test_another_session_takes_up_what_was_accepted() -> None:
    first = node_of(Rig())(state_with(question(0.8), **UNSAFE_IMAGE), {})
    del first["session"]
    rig = Rig(GuardPolicy(candidates=2))
    second = node_of(rig)(state_with(question(0.8), **UNSAFE_IMAGE, **first), {})
    ((prefix, accepted),) = rig.engine.prefills
    assert prefix == "As an AI assistant"
    assert [(c.text, c.token_ids, c.finish_reason) for c in accepted] == [
        (" sentence 1 of candidate 0.", (1, 0), None)
    ]
    assert [record["sentence"] for record in second["rounds"]] == [1, 2]


def test_an_engine_that_adds_nothing_and_never_ends_is_stopped() -> None:
    def nothing(number: int, n: int) -> list[Candidate]:
        return [candidate(" said." if number == 1 else "") for _ in range(n)]

    rig = Rig(policy=GuardPolicy(max_tokens=7), engine=FakeEngine(sentences=nothing))
    state = state_with(question(0.8), **UNSAFE_IMAGE, remaining_steps=STEPS_AFTER)
    update = node_of(rig)(state, {})
    assert len(update["rounds"]) == 7
    assert update["repaired"]["finish_reason"] == "length"


def test_what_a_lost_session_proposed_leaves_its_places_empty() -> None:
    first = node_of(Rig())(state_with(question(0.8), **UNSAFE_IMAGE), {})
    del first["session"]
    second = node_of(Rig())(state_with(question(0.8), **UNSAFE_IMAGE, **first), {})
    assert [len(texts) for texts in second["session"].proposed] == [0, 5]
