from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from eta_guard.errors import EngineError
from eta_guard.middleware.review import HELD_BACK
from eta_guard.policy import GuardPolicy
from tests.chat_fakes import FakeChat, says
from tests.fakes import SAFE, question, verdict_of
from tests.middleware.agents import (
    CANARIES,
    REPAIRED,
    Ask,
    agent,
    asked,
    both,
    calling,
    look,
    middleware,
    reply,
)

REFUSAL = GuardPolicy().refusal_message
THREAD: dict[str, Any] = {"configurable": {"thread_id": "1"}}


def waiting(model: FakeChat, ask: Ask, **policy: Any) -> tuple[Any, dict[str, Any]]:
    made = agent(
        model,
        tools=[look],
        checkpointer=InMemorySaver(),
        settings={"on_flagged": "interrupt", "policy": policy},
    )
    return made, ask(made, asked(), THREAD)


@both
def test_the_reviewer_sees_scores_and_the_answer_that_would_go_out(ask: Ask) -> None:
    _, state = waiting(FakeChat(), ask)
    (asking,) = state["__interrupt__"]
    shown = asking.value
    assert shown["answer"] == REPAIRED
    assert shown["decision"] == "aligned"
    assert shown["image"]["score"] > shown["image"]["threshold"]
    assert shown["response"]["outcome"] == "unsafe"
    assert shown["final"]["outcome"] == "safe"
    assert shown["choices"] == ["approve", "edit", "reject"]
    assert "draft" not in shown
    assert not any(canary in repr(shown) for canary in CANARIES)
    _, state = waiting(FakeChat(), ask, record_rejected=True)
    assert "DRAFT" in state["__interrupt__"][0].value["draft"]


@both
def test_until_then_neither_answer_is_in_the_history(ask: Ask) -> None:
    made, state = waiting(FakeChat(), ask)
    assert reply(state).content == HELD_BACK
    assert "CANDIDATE" not in repr(state["messages"])
    assert made.get_state(THREAD).next


@both
@pytest.mark.parametrize(
    ("decision", "text", "finish", "review"),
    [
        ("approve", REPAIRED, "stop", "approve"),
        ({"decision": "approve"}, REPAIRED, "stop", "approve"),
        ("reject", REFUSAL, "content_filter", "reject"),
        ({"decision": "edit", "answer": "Ask a nurse."}, "Ask a nurse.", "stop", "edit"),
    ],
)
def test_the_decision_takes_the_place_of_what_waited(
    ask: Ask, decision: Any, text: str, finish: str, review: str
) -> None:
    model = FakeChat()
    made, state = waiting(model, ask)
    place = reply(state).id
    calls = len(model.calls)
    state = ask(made, Command(resume=decision), THREAD)
    assert len(model.calls) == calls  # nothing is drawn anew
    assert len(state["messages"]) == 2
    assert (reply(state).content, reply(state).id) == (text, place)
    told = reply(state).response_metadata
    assert (told["finish_reason"], told["eta_guard_review"]) == (finish, review)
    verdict = verdict_of(reply(state))
    assert verdict.decision == "aligned"
    assert verdict.rounds[0].candidates
    assert ("CANDIDATE" in repr(state)) == (review == "approve")
    values = made.get_state(THREAD)
    assert values.next == ()
    assert values.values["eta_guard_turns"]["EtaGuardMiddleware"]["held"] is None


@both
@pytest.mark.parametrize(
    "wrong", ["yes", "", {"decision": None}, {"decision": "edit"}, {"decision": []}, 3]
)
def test_at_what_is_no_decision_it_asks_again(ask: Ask, wrong: Any) -> None:
    made, _ = waiting(FakeChat(), ask)
    state = ask(made, Command(resume=wrong), THREAD)
    assert reply(state).content == HELD_BACK
    (asking,) = state["__interrupt__"]
    assert "no decision" in asking.value["error"]
    assert reply(ask(made, Command(resume="approve"), THREAD)).content == REPAIRED


@both
def test_a_refused_call_waits_as_well(ask: Ask) -> None:
    made, state = waiting(FakeChat(script=says(calling(at="ARGUMENT"))), ask)
    shown = state["__interrupt__"][0].value
    assert (shown["decision"], shown["answer"]) == ("refused", REFUSAL)
    state = ask(made, Command(resume="approve"), THREAD)
    assert (reply(state).content, reply(state).tool_calls) == (REFUSAL, [])
    assert "ARGUMENT" not in repr(list(made.get_state_history(THREAD)))


@both
def test_a_safe_answer_waits_for_nobody(ask: Ask) -> None:
    made = agent(checkpointer=InMemorySaver(), settings={"on_flagged": "interrupt"})
    state = ask(made, asked(SAFE), THREAD)
    assert "__interrupt__" not in state
    assert "DRAFT" in reply(state).text


@both
def test_a_new_question_withdraws_what_waited(ask: Ask) -> None:
    model = FakeChat()
    made, _ = waiting(model, ask)
    state = ask(made, {"messages": [question(text="And?")]}, THREAD)
    assert [message.type for message in state["messages"]] == ["human", "ai", "human", "ai"]
    old = state["messages"][1]
    assert old.content == REFUSAL
    assert old.response_metadata["eta_guard_review"] == "withdrawn"
    assert reply(state).content == HELD_BACK
    asked_anew = repr([messages for messages, _ in model.calls[4:]])
    assert "CANDIDATE" not in asked_anew
    assert HELD_BACK not in asked_anew


@both
def test_without_a_checkpointer_the_first_that_is_flagged_is_an_error(ask: Ask) -> None:
    made = agent(settings={"on_flagged": "interrupt"})
    assert "DRAFT" in reply(ask(made, asked(SAFE))).text
    with pytest.raises(EngineError, match="checkpointer"):
        ask(made, asked())


@both
def test_a_reviewer_sees_the_answer_of_a_backup_as_well(ask: Ask) -> None:
    guard: Any = middleware(on_flagged="interrupt")

    def broken(messages: Any, settings: Any) -> AIMessage:
        raise ValueError("down")

    backup: Any = ModelFallbackMiddleware(guard.around(FakeChat()))
    made = create_agent(
        FakeChat(script=broken), middleware=[guard, backup], checkpointer=InMemorySaver()
    )
    state = ask(made, asked(), THREAD)
    assert state["__interrupt__"][0].value["answer"] == REPAIRED
    assert reply(state).content == HELD_BACK
