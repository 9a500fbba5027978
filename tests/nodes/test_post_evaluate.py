from __future__ import annotations

from eta_guard.nodes.post_evaluate import post_evaluate
from eta_guard.policy import GuardPolicy
from tests.fakes import DRAFT, FakeResponses, Rig, question, scoring
from tests.nodes.states import state_with

REPAIRED = {"text": "As an AI assistant, no.", "finish_reason": "stop"}


def test_scores_the_draft_or_else_the_repaired_answer() -> None:
    rig = Rig()
    node = post_evaluate(
        engine=rig.engine, response_evaluator=rig.responses, policy=GuardPolicy(post_prompt="Rate.")
    )
    rig.responses.score = lambda prompt, text: 0.0 if text == DRAFT else 1.0
    first = node(state_with(question(0.8)), {})
    assert set(first) == {"session", "response", "scored", "halt"}
    assert first["response"]["outcome"] == "unsafe"
    second = node(state_with(question(0.8), repaired=REPAIRED), {})
    assert set(second) == {"session", "final", "halt"}
    assert second["final"]["outcome"] == "safe"
    assert rig.responses.scored == [("Rate.", DRAFT), ("Rate.", REPAIRED["text"])]
    assert "canary" not in repr([first, second])


def test_a_repaired_answer_needs_no_draft() -> None:
    rig = Rig()
    node = post_evaluate(engine=rig.engine, response_evaluator=rig.responses, policy=rig.policy)
    node(state_with(question(0.8), repaired=REPAIRED), {})
    assert rig.engine.calls == []


def test_an_answer_without_a_score_is_refused_where_the_policy_says_so() -> None:
    broken = FakeResponses(scoring(RuntimeError("x"), RuntimeError("x")))
    for mode, halted in (("enforce", True), ("observe", False)):
        rig = Rig(GuardPolicy(on_unscored="refuse", mode=mode), responses=broken)
        node = post_evaluate(engine=rig.engine, response_evaluator=rig.responses, policy=rig.policy)
        halt = node(state_with(question(0.8)), {})["halt"]
        assert (halt is not None and halt["decision"] == "refused") == halted
