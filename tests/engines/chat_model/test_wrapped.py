"""Models in LangChain's wrappers: guarded, the wrappers do what they do unguarded."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import ConfigurableField, RunnableLambda

from eta_guard.engines.chat_model.engine import ChatModelEngine
from eta_guard.errors import UnsupportedModelError
from eta_guard.guard import EtaGuard
from eta_guard.policy import GuardPolicy
from tests.chat_fakes import FakeChat, drafts, repairs, says
from tests.fakes import SAFE, UNSAFE, FakeImages, FakeResponses, question, verdict_of


class DownError(ConnectionError):
    pass


def score(prompt: str, text: str) -> float:
    return 0.0 if "DRAFT" in text else 1.0


def guarded(model: Any, **policy: Any) -> EtaGuard:
    return EtaGuard(
        engine=ChatModelEngine(model),
        image_evaluator=FakeImages(),
        response_evaluator=FakeResponses(score),
        policy=GuardPolicy(candidates=3, **policy),
    )


def failing(times: int) -> FakeChat:
    left = [times]

    def script(messages: Any, settings: Any) -> AIMessage:
        if left[0] > 0:
            left[0] -= 1
            raise DownError("down")
        return says()(messages, settings)

    return FakeChat(script=script)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
async def test_bound_arguments_reach_the_plain_answer(asynchronous: bool, streamed: bool) -> None:
    model = FakeChat()
    guard = guarded(model.bind(top_k=3, temperature=0.2).with_config(tags=["own"]))
    given = [question(UNSAFE)]
    if asynchronous:
        _ = (
            [chunk async for chunk in guard.astream(given)]
            if streamed
            else await guard.ainvoke(given)
        )
    else:
        _ = list(guard.stream(given)) if streamed else guard.invoke(given)
    (_, plain), *repairs = model.calls
    assert (plain["top_k"], plain["temperature"], plain["seed"]) == (3, 0.2, None)
    assert [asked["temperature"] for _, asked in repairs] == [1.0] * 3
    assert len({asked["seed"] for _, asked in repairs}) == 3
    assert [asked["top_k"] for _, asked in repairs] == [3] * 3


def test_bound_tools_are_the_plain_answers_alone() -> None:
    model = FakeChat()
    guard = guarded(model.bind_tools([{"name": "look"}], tool_choice="any"))
    assert "CANDIDATE" in guard.invoke([question(UNSAFE)]).text
    assert [("tools" in asked) for _, asked in model.calls] == [True, False, False, False]


def test_retries_are_the_wrappers() -> None:
    for score_ in (SAFE, UNSAFE):
        plain, model = failing(2), failing(2)
        wrap: dict[str, Any] = {"wait_exponential_jitter": False, "stop_after_attempt": 3}
        plain.with_retry(**wrap).invoke([question(score_)])
        reply = guarded(model.with_retry(**wrap)).invoke([question(score_)])
        assert verdict_of(reply).decision == ("passed" if score_ == SAFE else "aligned")
        assert len(drafts(model)) == len(plain.calls) == 3
    never = failing(9).with_retry(
        retry_if_exception_type=(PermissionError,), wait_exponential_jitter=False
    )
    with pytest.raises(DownError):
        guarded(never).invoke([question(SAFE)])


def test_fallbacks_are_the_wrappers() -> None:
    first, second = failing(99), FakeChat(model_name="second")
    guard = guarded(first.with_fallbacks([second], exceptions_to_handle=(DownError,)))
    reply = guard.invoke([question(UNSAFE)])
    assert "CANDIDATE" in reply.text
    assert len(second.calls) == 4
    assert len({asked["seed"] for _, asked in second.calls[1:]}) == 3
    other = failing(9).with_fallbacks([second], exceptions_to_handle=(PermissionError,))
    with pytest.raises(DownError):
        guarded(other).invoke([question(SAFE)])


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_refused_setting_is_no_reason_to_fall_back(asynchronous: bool) -> None:
    def script(messages: Any, settings: Any) -> AIMessage:
        if settings["seed"] is not None:
            raise TypeError("create() got an unexpected keyword argument 'seed'")
        return AIMessage("CANDIDATE") if repairs(messages) else AIMessage("DRAFT")

    first, second = FakeChat(script=script), FakeChat(model_name="second")
    guard = guarded(first.with_fallbacks([second]))
    given = [question(UNSAFE)]
    reply = await guard.ainvoke(given) if asynchronous else guard.invoke(given)
    assert "CANDIDATE" in reply.text
    assert second.calls == []


def test_a_guard_falls_back_and_is_asked_again_like_any_model() -> None:
    backup = FakeChat(script=says("Harmless."))
    kinds: dict[str, Any] = {"exceptions_to_handle": (DownError,)}
    assert guarded(failing(9)).with_fallbacks([backup], **kinds).invoke([question(SAFE)]).text == (
        "Harmless."
    )
    model = failing(1)
    guard = guarded(model).with_retry(
        retry_if_exception_type=(DownError,), wait_exponential_jitter=False
    )
    assert "DRAFT" in guard.invoke([question(SAFE)]).text
    assert len(model.calls) == 2


def test_the_alternative_that_a_call_chooses_is_asked() -> None:
    one, other = FakeChat(), FakeChat(model_name="other")
    both = one.configurable_alternatives(ConfigurableField("which"), default_key="one", other=other)
    guard = guarded(both)
    guard.invoke([question(UNSAFE)])
    assert (len(one.calls), len(other.calls)) == (4, 0)
    guard.invoke([question(UNSAFE)], {"configurable": {"which": "other"}})
    assert (len(one.calls), len(other.calls)) == (4, 4)
    state: Any = {"messages": [question(SAFE)]}
    guard.graph.invoke(state, {"configurable": {"which": "other"}})
    assert len(other.calls) == 5


def test_configurable_fields_are_kept() -> None:
    model = FakeChat()
    guard = guarded(model.configurable_fields(temperature=ConfigurableField("heat")))
    guard.invoke([question(SAFE)], {"configurable": {"heat": 0.3}})
    assert model.calls[0][1]["temperature"] == 0.3


def test_a_fallback_that_is_no_chat_model_is_refused_before_it_is_needed() -> None:
    with pytest.raises(UnsupportedModelError, match="no chat model"):
        ChatModelEngine(FakeChat().with_fallbacks([RunnableLambda(lambda _: AIMessage("x"))]))


def test_an_alternative_is_made_where_it_is_chosen() -> None:
    made: list[FakeChat] = []

    def make() -> FakeChat:
        made.append(FakeChat(model_name="other"))
        return made[-1]

    which = ConfigurableField("which")
    guard = guarded(FakeChat().configurable_alternatives(which, default_key="one", other=make))
    guard.invoke([question(SAFE)])
    assert made == []
    guard.invoke([question(SAFE)], {"configurable": {"which": "other"}})
    assert [len(one.calls) for one in made] == [1]


@pytest.mark.parametrize(
    "wrong", ["gpt", 3, FakeChat() | StrOutputParser()], ids=["text", "number", "chain"]
)
def test_what_is_no_chat_model_is_refused_with_what_to_do(wrong: Any) -> None:
    with pytest.raises(UnsupportedModelError, match=r"prompt \| guard \| parser"):
        ChatModelEngine(wrong)


def test_the_name_is_the_first_models() -> None:
    wrapped = FakeChat(model_name="a").with_fallbacks([FakeChat(model_name="b")])
    assert ChatModelEngine(wrapped).fingerprint == "a"
    assert guarded(FakeChat()).invoke([HumanMessage("Hi")]).response_metadata["model_name"]
