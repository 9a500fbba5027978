from __future__ import annotations

from eta_guard.nodes.prefix_align import prefix_align
from eta_guard.policy import GuardPolicy
from tests.fakes import FakeEngine, Rig, question
from tests.nodes.states import Driven, driven, state_with


def node_of(rig: Rig) -> Driven:
    return driven(prefix_align(engine=rig.engine, policy=rig.policy))


def test_before_a_search_only_the_prefix_is_set() -> None:
    rig = Rig(GuardPolicy(prefix="As an AI assistant,"))
    update = driven(prefix_align(engine=rig.engine, policy=rig.policy))(
        state_with(question(0.8)), {}
    )
    assert set(update) == {"session"}
    assert update["session"].aligning
    assert rig.engine.prefills == [("As an AI assistant,", ())]
    assert rig.engine.calls == ["prefill"]


def test_without_a_search_the_answer_is_continued() -> None:
    rig = Rig(GuardPolicy(search=False))
    update = driven(prefix_align(engine=rig.engine, policy=rig.policy))(
        state_with(question(0.8)), {}
    )
    assert update["repaired"] == {
        "text": "As an AI assistant, continued.",
        "finish_reason": "stop",
    }
    assert rig.engine.calls == ["prefill", "finish"]


def test_a_bare_prefix_is_no_answer() -> None:
    for prefix in ("As an AI assistant", ""):
        rig = Rig(GuardPolicy(search=False, prefix=prefix), engine=FakeEngine(continuation=" "))
        update = driven(prefix_align(engine=rig.engine, policy=rig.policy))(
            state_with(question(0.8)), {}
        )
        assert update["halt"]["decision"] == "refused"
        assert "repaired" not in update
