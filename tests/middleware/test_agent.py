from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelFallbackMiddleware
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

from eta_guard import Verdict
from eta_guard.errors import EngineError, ImageInputError, PolicyError
from eta_guard.graph import build_graph
from eta_guard.policy import GuardPolicy
from tests.chat_fakes import DRAFT, FakeChat, drafts, repairs, says
from tests.fakes import SAFE, UNSAFE, question, verdict_of
from tests.middleware.agents import (
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


# ── answers ──


@both
def test_an_unsafe_answer_is_repaired(ask: Ask) -> None:
    model = FakeChat()
    state = ask(agent(model), asked())
    assert len(state["messages"]) == 2
    assert reply(state).content == REPAIRED
    verdict = verdict_of(reply(state))
    assert verdict.decision == "aligned"
    assert verdict.route[-2:] == ("post_evaluate", "respond")
    assert verdict.models["chat_model"] == "fake-provider"
    assert len(verdict.rounds[0].candidates) == 3
    assert len(model.calls) == 4
    assert reply(state).usage_metadata == {
        "input_tokens": 40,
        "output_tokens": 12,
        "total_tokens": 52,
    }


@both
def test_the_answer_to_a_safe_image_is_the_models_own(ask: Ask) -> None:
    blocks: list[str | dict[Any, Any]] = [
        {"type": "reasoning", "reasoning": "Hm."},
        {"type": "text", "text": DRAFT},
    ]
    own = AIMessage(blocks, response_metadata={"provider": "p"}, id="own")
    model = FakeChat(script=says(own))
    state = ask(agent(model), asked(SAFE))
    plain = ask(create_agent(FakeChat(script=says(own))), asked(SAFE))
    assert len(model.calls) == 1
    assert reply(state).content == reply(plain).content == blocks
    assert reply(state).usage_metadata == reply(plain).usage_metadata
    told = dict(reply(state).response_metadata)
    assert Verdict.model_validate(told.pop("eta_guard")).decision == "passed"
    assert told == reply(plain).response_metadata


@both
def test_an_answer_that_stays_unsafe_is_refused(ask: Ask) -> None:
    model = FakeChat(script=lambda messages, asked: AIMessage(DRAFT))
    state = ask(agent(model), asked())
    assert reply(state).content == REFUSAL
    assert verdict_of(reply(state)).decision == "refused"
    assert "DRAFT" not in repr(state)


@both
def test_what_cannot_be_scored_is_treated_as_the_policy_says(ask: Ask) -> None:
    guard = middleware(policy={"on_unscored": "refuse"})
    evaluator: Any = guard.response_evaluator
    evaluator.score = lambda prompt, text: float("nan")
    assert verdict_of(reply(ask(agent(guard=guard), asked()))).decision == "refused"


@both
def test_an_image_that_cannot_be_read_is_an_error_or_blocked(ask: Ask) -> None:
    far = {"messages": [HumanMessage([{"type": "image", "url": "https://example.org/a.png"}])]}
    with pytest.raises(ImageInputError):
        ask(agent(), far)
    model = FakeChat()
    state = ask(agent(model, settings={"policy": {"on_unreadable": "refuse"}}), far)
    assert verdict_of(reply(state)).decision == "blocked"
    assert model.calls == []


@both
def test_overrides_come_by_configurable(ask: Ask) -> None:
    made = agent(settings={"policy": {"overridable": frozenset({"candidates"})}})
    config = {"configurable": {"eta_guard": {"candidates": 2}}}
    assert len(verdict_of(reply(ask(made, asked(), config))).rounds[0].candidates) == 2
    with pytest.raises(PolicyError):
        ask(made, asked(), {"configurable": {"eta_guard": {"mode": "observe"}}})


@both
def test_the_agents_recursion_limit_is_none_of_the_guards(ask: Ask) -> None:
    state = ask(RunnableLambda(lambda x: x) | agent(), asked(), {"recursion_limit": 4})
    assert reply(state).content == REPAIRED


# ── what the model is asked ──


@both
def test_system_prompt_settings_and_tool_choice_are_honoured(ask: Ask) -> None:
    class Settings(AgentMiddleware):
        def change(self, request: Any) -> Any:
            return request.override(
                model_settings={"max_tokens": 9, "extra": 1}, tool_choice="look"
            )

        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            return handler(self.change(request))

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            return await handler(self.change(request))

    for tools in ([look], []):
        model = FakeChat()
        both: list[Any] = [Settings(), middleware()]
        made = create_agent(model, tools=tools, system_prompt="Be brief.", middleware=both)
        state = ask(made, asked())
        sent, settings = model.calls[0]
        assert isinstance(sent[0], SystemMessage)
        assert sent[0].text == "Be brief."
        assert (settings["max_tokens"], settings["extra"]) == (9, 1)
        assert settings.get("tools") == (tools or None)
        assert settings.get("tool_choice") == ("look" if tools else None)
        assert [one["max_tokens"] for _, one in model.calls[1:]] == [9, 9, 9]
        assert reply(state).content == REPAIRED


# ── tools ──


@both
def test_the_image_that_a_tool_returns_is_evaluated(ask: Ask) -> None:
    def script(messages: Any, settings: Any) -> AIMessage:
        if any(isinstance(message, ToolMessage) for message in messages) or repairs(messages):
            return says()(messages, settings)
        return calling(at="it")

    model = FakeChat(script=script)
    state = ask(agent(model, tools=[look]), {"messages": [HumanMessage("Look at it.")]})
    kinds = [message.type for message in state["messages"]]
    assert kinds == ["human", "ai", "tool", "ai"]
    assert state["messages"][1].tool_calls[0]["args"] == {"at": "it"}
    verdict = verdict_of(reply(state))
    assert (verdict.decision, reply(state).content) == ("aligned", REPAIRED)
    assert verdict.image is not None
    assert verdict.image.message == 2
    assert len(drafts(model)) == 2


@both
def test_an_unsafe_call_of_a_tool_is_refused_and_none_runs(ask: Ask) -> None:
    model = FakeChat(script=says(calling(at="ARGUMENT")))
    state = ask(agent(model, tools=[look]), asked())
    assert [message.type for message in state["messages"]] == ["human", "ai"]
    assert (reply(state).content, reply(state).tool_calls) == (REFUSAL, [])
    assert verdict_of(reply(state)).decision == "refused"
    assert "ARGUMENT" not in repr(state)
    assert len(model.calls) == 1


# ── structured output ──


class Answer(BaseModel):
    """What is in the picture."""

    what: str


def structured(strategy: str) -> tuple[Any, Callable[[str], FakeChat]]:
    def model(what: str) -> FakeChat:
        if strategy == "tool":
            call = ToolCall(name="Answer", args={"what": what}, id="1", type="tool_call")
            return FakeChat(script=says(AIMessage("", tool_calls=[call])))
        return FakeChat(script=says(f'{{"what": "{what}"}}'))

    return {"tool": ToolStrategy, "provider": ProviderStrategy}[strategy](Answer), model


@both
@pytest.mark.parametrize("tools", [[], [look]])
@pytest.mark.parametrize("strategy", ["tool", "provider"])
def test_a_safe_structured_answer_is_parsed(ask: Ask, strategy: str, tools: Any) -> None:
    format_, model = structured(strategy)
    for score in (SAFE, UNSAFE):
        state = ask(agent(model("a cup"), response_format=format_, tools=tools), asked(score))
        assert state["structured_response"] == Answer(what="a cup")


@both
@pytest.mark.parametrize("tools", [[], [look]])
@pytest.mark.parametrize("strategy", ["tool", "provider"])
def test_an_unsafe_structured_answer_is_withheld_and_ends_the_turn(
    ask: Ask, strategy: str, tools: Any
) -> None:
    format_, model = structured(strategy)
    made = agent(
        model("ARGUMENT"), response_format=format_, tools=tools, checkpointer=InMemorySaver()
    )
    thread = {"configurable": {"thread_id": "1"}}
    state = ask(made, asked(), thread)
    assert state.get("structured_response") is None
    assert [message.type for message in state["messages"]] == ["human", "ai"]
    expected = ("refused", REFUSAL) if strategy == "tool" else ("aligned", REPAIRED)
    assert (verdict_of(reply(state)).decision, reply(state).content) == expected
    assert "ARGUMENT" not in repr(list(made.get_state_history(thread)))


@both
def test_a_passed_answer_of_the_wrong_structure_is_still_an_error(ask: Ask) -> None:
    from langchain.agents.structured_output import StructuredOutputValidationError

    made = agent(FakeChat(script=says("no JSON")), response_format=ProviderStrategy(Answer))
    with pytest.raises(StructuredOutputValidationError):
        ask(made, asked(SAFE))


def test_the_agent_still_knows_what_the_model_can_do() -> None:
    """A bare schema becomes the provider's own format where the profile has it."""
    _, model = structured("provider")
    able = model("a cup").model_copy(update={"profile": {"structured_output": True}})
    state = agent(able, response_format=Answer).invoke(asked(SAFE))
    assert state["structured_response"] == Answer(what="a cup")
    assert "response_format" in able.calls[0][1]


# ── its place ──


@both
def test_a_model_put_in_behind_the_guard_is_an_error(ask: Ask) -> None:
    guard: Any = middleware()
    other: Any = ModelFallbackMiddleware(FakeChat())

    def broken(messages: Any, settings: Any) -> AIMessage:
        raise ValueError("down")

    first = FakeChat(script=broken)
    with pytest.raises(EngineError, match="last in the list"):
        ask(create_agent(first, middleware=[guard, other]), asked())
    state = ask(create_agent(first, middleware=[other, guard]), asked())
    assert reply(state).content == REPAIRED


def test_settings_are_checked() -> None:
    wrong: Any = "ask"
    with pytest.raises(ValueError, match="on_flagged = 'ask'"):
        middleware(on_flagged=wrong)


def test_images_are_in_the_state_once() -> None:
    made = agent(checkpointer=InMemorySaver())
    state = made.invoke(asked(), {"configurable": {"thread_id": "1"}})
    assert set(state) == {"messages"}
    assert repr(state).count(question(UNSAFE).content[0]["base64"]) == 1  # type: ignore[index]


def test_the_graph_is_compiled_once_for_the_same_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built: list[Any] = []

    def counted(**parts: Any) -> Any:
        built.append(parts["engine"])
        return build_graph(**parts)

    monkeypatch.setattr("eta_guard.guard.build_graph", counted)
    guard = middleware()
    first, second = FakeChat(), FakeChat(script=says("Harmless."))
    made = [agent(first, guard=guard), agent(first, guard=guard, tools=[look])]
    for one in [*made, *made]:
        assert reply(one.invoke(asked())).content == REPAIRED
    assert len(built) == 1
    for _ in range(2):
        state = agent(second, guard=guard, tools=[look]).invoke(asked())
        assert reply(state).content == "Harmless."
    assert len(built) == 2


def test_a_policy_never_changes() -> None:
    guard: Any = middleware()
    with pytest.raises(AttributeError):
        guard.policy = GuardPolicy(candidates=2)
