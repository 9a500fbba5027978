from __future__ import annotations

import math
from typing import Any

import pytest
from langchain_core.messages import ToolCall

from eta_guard.nodes.post_evaluate import post_evaluate
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Completion, Generation
from eta_guard.session import digest
from tests.fakes import DRAFT, FakeEngine, FakeResponses, FakeSession, Rig, question, scoring
from tests.nodes.states import Driven, driven, state_with


def node_of(rig: Rig) -> Driven:
    return driven(
        post_evaluate(
            engine=rig.engine,
            panel=rig.panel(),
            policy=rig.policy,
        )
    )


REPAIRED = {"text": "As an AI assistant, no.", "finish_reason": "stop"}


def test_scores_the_draft_or_else_the_repaired_answer() -> None:
    rig = Rig(GuardPolicy(post_prompt="Rate."))
    node = node_of(rig)
    rig.responses.score = lambda prompt, text: 0.0 if text == DRAFT else 1.0
    first = node(state_with(question(0.8)), {})
    told = {"session", "response", "drawn", "scored", "calls_tools", "drafting", "halt"}
    assert set(first) == told
    assert first["response"]["outcome"] == "unsafe"
    second = node(state_with(question(0.8), repaired=REPAIRED), {})
    assert set(second) == {"session", "final", "halt"}
    assert second["final"]["outcome"] == "safe"
    assert rig.responses.scored == [("Rate.", DRAFT), ("Rate.", REPAIRED["text"])]
    assert "canary" not in repr([first, second])


def test_a_repaired_answer_needs_no_draft() -> None:
    rig = Rig()
    node = node_of(rig)
    node(state_with(question(0.8), repaired=REPAIRED), {})
    assert rig.engine.calls == []


def test_an_answer_without_a_score_is_refused_where_the_policy_says_so() -> None:
    broken = FakeResponses(scoring(RuntimeError("x"), RuntimeError("x")))
    for mode, halted in (("enforce", True), ("observe", False)):
        rig = Rig(GuardPolicy(on_unscored="refuse", mode=mode), responses=broken)
        node = node_of(rig)
        halt = node(state_with(question(0.8)), {})["halt"]
        assert (halt is not None and halt["decision"] == "refused") == halted


# ── answers that call tools ──

CALLS = (
    ToolCall(name="search", args={"query": "cups"}, id="1"),
    ToolCall(name="search", args={"query": "\u201csaucers\u201d"}, id="2"),
)


class CallingSession(FakeSession):
    def answer(self, watch: Any = None) -> Completion:
        return Completion(self.engine.draft, "stop", CALLS)  # type: ignore[arg-type]


class CallingEngine(FakeEngine):
    def open(self, conversation: Any, generation: Generation) -> FakeSession:
        return CallingSession(self, generation)


def called(draft: str, score: Any) -> tuple[dict[str, Any], list[str]]:
    rig = Rig(
        engine=CallingEngine(draft), responses=FakeResponses(lambda prompt, text: score(text))
    )
    node = node_of(rig)
    return node(state_with(question(0.8)), {}), [text for _, text in rig.responses.scored]


ARGUMENTS = [
    '{"name": "search", "args": {"query": "cups"}}',
    '{"name": "search", "args": {"query": "\u201csaucers\u201d"}}',
]


@pytest.mark.parametrize(
    ("draft", "texts"), [("Let me look.", ["Let me look.", *ARGUMENTS]), (" ", ARGUMENTS)]
)
def test_each_call_of_a_tool_is_scored_beside_the_text(draft: str, texts: list[str]) -> None:
    found, scored = called(draft, lambda text: 1.0)
    assert scored == texts
    assert found["calls_tools"] is True
    assert found["response"]["outcome"] == "safe"


@pytest.mark.parametrize(("score", "outcome"), [(0.0, "unsafe"), (math.nan, "unscored")])
@pytest.mark.parametrize("place", range(3))
def test_the_worst_of_text_and_calls_counts(place: int, score: float, outcome: str) -> None:
    texts = ["Let me look.", *ARGUMENTS]
    found, _ = called("Let me look.", lambda text: score if text == texts[place] else 1.0)
    assert found["response"]["outcome"] == outcome


def test_other_arguments_or_another_tool_are_another_answer() -> None:
    found, _ = called("", lambda text: 1.0)
    digests = {found["scored"]}
    for changed in ({"name": "send"}, {"args": {"query": "plates"}}):
        call: Any = {**CALLS[0], **changed}
        digests.add(digest(Completion("", "stop", (call, CALLS[1]))))
    assert len(digests) == 3
