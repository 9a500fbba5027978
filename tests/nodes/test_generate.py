from __future__ import annotations

from eta_guard.nodes.generate import generate
from eta_guard.protocols import Generation
from tests.fakes import DRAFT, Rig, question
from tests.nodes.states import generation_config, state_with


def test_the_draft_stays_in_the_session() -> None:
    rig = Rig()
    update = generate(engine=rig.engine, policy=rig.policy)(state_with(question(0.8)), {})
    assert set(update) == {"session"}
    assert update["session"].drawn_draft == DRAFT
    assert "canary" not in repr(update)


def test_a_session_that_is_there_is_used_and_draws_once() -> None:
    rig = Rig()
    node = generate(engine=rig.engine, policy=rig.policy)
    state = state_with(question(0.8))
    session = node(state, {})["session"]
    again = node(state_with(question(0.8), session=session), {})["session"]
    assert again is session
    assert rig.engine.calls == ["answer"]
    assert len(rig.engine.opened) == 1


def test_the_calls_generation_comes_before_the_policys() -> None:
    rig = Rig()
    node = generate(engine=rig.engine, policy=rig.policy)
    asked = Generation(max_tokens=3, stop=("x",))
    node(state_with(question(0.8)), generation_config(asked))
    node(state_with(question(0.8)), generation_config({"max_tokens": 9999}))
    assert [generation for _, generation in rig.engine.opened] == [asked, Generation(1024)]
