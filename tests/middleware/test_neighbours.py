"""LangChain's own middleware beside the guard: each does what it does without, in each order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    HumanInTheLoopMiddleware,
    ModelCallLimitMiddleware,
    ModelFallbackMiddleware,
    ModelRefusalMiddleware,
    ModelRetryMiddleware,
    PIIMiddleware,
)
from langchain_core.exceptions import ModelRefusalError
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from eta_guard.errors import EngineError
from eta_guard.policy import GuardPolicy
from tests.chat_fakes import ASKS, FakeChat, repairs, says
from tests.fakes import SAFE, UNSAFE, verdict_of
from tests.middleware.agents import (
    REPAIRED,
    Ask,
    asked,
    both,
    calling,
    look,
    middleware,
    reply,
)

THREAD: dict[str, Any] = {"configurable": {"thread_id": "1"}}
REFUSAL = GuardPolicy().refusal_message
MAIL = "mail me at someone@example.org"


class Audit(AgentMiddleware[Any, Any, Any]):
    """Sees what the history holds after each model call."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def after_model(self, state: Any, runtime: Any) -> None:
        self.seen.append(state["messages"][-1].text)

    async def aafter_model(self, state: Any, runtime: Any) -> None:
        self.after_model(state, runtime)


def with_mail(messages: Any, settings: Any) -> AIMessage:
    answer = says()(messages, settings)
    return AIMessage(f"{answer.text} {MAIL}.") if repairs(messages) else answer


ORDERS: dict[str, Callable[[Any, Any], list[Any]]] = {
    "guard last": lambda guard, other: [other, guard],
    "guard first": lambda guard, other: [guard, other],
}
in_each_order = pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)


@both
@in_each_order
def test_personal_data_in_a_repaired_answer_is_redacted(ask: Ask, order: Any) -> None:
    pii = PIIMiddleware("email", strategy="redact", apply_to_output=True)
    made = create_agent(FakeChat(script=with_mail), middleware=order(middleware(), pii))
    state = ask(made, asked())
    assert "CANDIDATE" in reply(state).text
    assert "someone@example.org" not in repr(state["messages"][-1].content)
    assert "[REDACTED_EMAIL]" in reply(state).text


@both
@in_each_order
@pytest.mark.parametrize("flagged", [True, False])
def test_calls_are_counted(ask: Ask, order: Any, flagged: bool) -> None:
    limit: Any = ModelCallLimitMiddleware(thread_limit=1, exit_behavior="end")
    made = create_agent(
        FakeChat(), middleware=order(middleware(), limit), checkpointer=InMemorySaver()
    )
    given = asked(UNSAFE if flagged else SAFE)
    ask(made, given, THREAD)
    state = ask(made, given, THREAD)
    assert "limit" in reply(state).text  # the second turn is not answered


@both
@in_each_order
def test_an_audit_sees_every_answer(ask: Ask, order: Any) -> None:
    audit = Audit()
    made = create_agent(FakeChat(), middleware=order(middleware(), audit))
    ask(made, asked())
    assert audit.seen == [REPAIRED]
    refusing = FakeChat(script=says(calling(at="ARGUMENT")))
    ask(create_agent(refusing, tools=[look], middleware=order(middleware(), audit)), asked())
    assert audit.seen[1:] == [REFUSAL]


@both
@in_each_order
def test_a_call_is_reviewed_once(ask: Ask, order: Any) -> None:
    def script(messages: Any, settings: Any) -> AIMessage:
        done = any(isinstance(message, ToolMessage) for message in messages)
        return says()(messages, settings) if done or repairs(messages) else calling(at="it")

    model = FakeChat(script=script)
    review: Any = HumanInTheLoopMiddleware(interrupt_on={"look": True})
    made = create_agent(
        model, tools=[look], middleware=order(middleware(), review), checkpointer=InMemorySaver()
    )
    state = ask(made, asked(SAFE), THREAD)
    (waiting,) = state["__interrupt__"]
    assert waiting.value["action_requests"][0]["args"] == {"at": "it"}
    calls = len(model.calls)
    state = ask(made, Command(resume={"decisions": [{"type": "approve"}]}), THREAD)
    assert len(model.calls) > calls
    assert "__interrupt__" not in state
    # The tool's own picture is unsafe, and so was the answer about it.
    assert reply(state).content == REPAIRED


# ── errors, fallbacks, refusals ──


class DownError(ConnectionError):
    pass


def failing(times: int, error: Exception | None = None) -> tuple[FakeChat, list[int]]:
    left = [times]

    def script(messages: Any, settings: Any) -> AIMessage:
        if left[0] > 0:
            left[0] -= 1
            raise error or DownError("down")
        return says()(messages, settings)

    return FakeChat(script=script), left


@both
@in_each_order
def test_a_call_that_failed_is_asked_again_by_its_type(ask: Ask, order: Any) -> None:
    for error, tries in ((DownError("down"), 3), (PermissionError("key"), 1)):
        retry: Any = ModelRetryMiddleware(
            retry_on=(ConnectionError,), max_retries=2, initial_delay=0.0, on_failure="error"
        )
        for guards in ([], [middleware()]):
            model, _ = failing(9, error)
            chain = order(guards[0], retry) if guards else [retry]
            with pytest.raises(type(error), match=str(error)):
                ask(create_agent(model, middleware=chain), asked(SAFE))
            assert len(model.calls) == tries


@both
@in_each_order
def test_after_a_failure_it_goes_on_as_unguarded(ask: Ask, order: Any) -> None:
    retry: Any = ModelRetryMiddleware(max_retries=2, initial_delay=0.0)
    model, _ = failing(2)
    state = ask(create_agent(model, middleware=order(middleware(), retry)), asked())
    assert reply(state).content == REPAIRED


@both
def test_what_a_user_is_shown_of_a_failure_is_the_providers(ask: Ask) -> None:
    shown = []
    for guards in ([], [middleware()]):
        retry: Any = ModelRetryMiddleware(max_retries=0, on_failure="continue")
        model, _ = failing(9)
        shown.append(reply(ask(create_agent(model, middleware=[retry, *guards]), asked(SAFE))).text)
    assert shown[0] == shown[1]


@both
def test_a_backup_without_a_guard_is_an_error_before_it_is_asked(ask: Ask) -> None:
    backup = FakeChat()
    other: Any = ModelFallbackMiddleware(backup)
    model, _ = failing(9)
    with pytest.raises(EngineError, match=r"around\(model\)"):
        ask(create_agent(model, middleware=[middleware(), other]), asked())
    assert backup.calls == []


@both
def test_a_guarded_backup_may_stand_further_in(ask: Ask) -> None:
    guard = middleware()
    backup = FakeChat()
    other: Any = ModelFallbackMiddleware(guard.around(backup))
    model, _ = failing(9)
    state = ask(create_agent(model, middleware=[guard, other]), asked())
    assert reply(state).content == REPAIRED
    assert len(backup.calls) == 4
    assert verdict_of(reply(state)).decision == "aligned"


@both
def test_a_guarded_backup_is_guarded_once_however_many_models_there_were(ask: Ask) -> None:
    guard = middleware()
    backup = FakeChat()
    model: Any = guard.around(backup)
    for _ in range(9):
        guard.around(FakeChat())
    state = ask(create_agent(model, middleware=[guard]), asked())
    assert verdict_of(reply(state)).decision == "aligned"
    assert len(backup.calls) == 4


@both
def test_a_backup_further_out_needs_nothing(ask: Ask) -> None:
    backup = FakeChat()
    model, _ = failing(9)
    other: Any = ModelFallbackMiddleware(backup)
    state = ask(create_agent(model, middleware=[other, middleware()]), asked())
    assert reply(state).content == REPAIRED
    assert len(backup.calls) == 4


def stubborn(messages: Any, settings: Any) -> AIMessage:
    return AIMessage("DRAFT canary that stays what it is.")


@both
def test_a_refusal_of_the_guard_is_one_for_others(ask: Ask) -> None:
    refusal: Any = ModelRefusalMiddleware()
    model = FakeChat(script=stubborn)
    with pytest.raises(ModelRefusalError) as caught:
        ask(create_agent(model, middleware=[refusal, middleware()]), asked())
    assert "DRAFT" not in repr(vars(caught.value))
    backup = FakeChat(script=lambda messages, settings: AIMessage("Harmless."))
    chain: list[Any] = [ModelFallbackMiddleware(backup), refusal, middleware()]
    assert reply(ask(create_agent(model, middleware=chain), asked())).text == "Harmless."


@both
def test_a_refusal_of_the_model_goes_out_as_it_is(ask: Ask) -> None:
    blocks: list[str | dict[Any, Any]] = [{"type": "refusal", "refusal": "No."}]
    own = AIMessage(blocks, response_metadata={"finish_reason": "stop"}, id="own")
    model = FakeChat(script=says(own))
    state = ask(create_agent(model, middleware=[middleware()]), asked())
    assert reply(state).content == blocks
    assert verdict_of(reply(state)).decision == "passed"
    assert len(model.calls) == 1
    refusal: Any = ModelRefusalMiddleware()
    with pytest.raises(ModelRefusalError):
        ask(create_agent(model, middleware=[refusal, middleware()]), asked())


# ── two guards, and turns without a picture ──


@both
def test_two_guards_need_two_names(ask: Ask) -> None:
    with pytest.raises(AssertionError, match="duplicate"):
        create_agent(FakeChat(), middleware=[middleware(), middleware()])
    made = create_agent(FakeChat(), middleware=[middleware(), middleware(name="second")])
    state = ask(made, asked())
    assert reply(state).text.startswith(GuardPolicy().prefix)
    assert "DRAFT" not in repr(state)


@both
def test_a_turn_without_a_picture_goes_out_unless_the_policy_says_otherwise(ask: Ask) -> None:
    given = {"messages": [HumanMessage("Hello.")]}
    model = FakeChat()
    state = ask(create_agent(model, middleware=[middleware()]), given)
    assert "DRAFT" in reply(state).text
    assert verdict_of(reply(state)).response is None
    state = ask(
        create_agent(model, middleware=[middleware(policy={"on_no_image": "post_only"})]), given
    )
    assert reply(state).content == REPAIRED
    assert ASKS in str(model.calls[-1][0][-1].text)
