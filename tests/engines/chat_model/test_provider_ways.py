"""Refused settings, failed candidates, refusals, usage: in a provider's own ways."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.exceptions import ModelRefusalError
from langchain_core.messages import AIMessage, ToolCall
from langchain_core.tracers.context import collect_runs
from pydantic import BaseModel

from tests.chat_fakes import DRAFT, FakeChat, repairs, says
from tests.engines.chat_model.test_engine import Tracer
from tests.engines.chat_model.test_wrapped import DownError, guarded
from tests.fakes import SAFE, UNSAFE, question, verdict_of


class BadRequestError(Exception):
    status_code = 400


def refusing(*names: str, error: type[Exception] = BadRequestError) -> FakeChat:
    words = {"seed": "got an unexpected keyword argument 'seed'"}

    def script(messages: Any, settings: Any) -> AIMessage:
        for name in names:
            if settings.get(name) is not None:
                raise error(words.get(name, f"Unsupported parameter: '{name}'"))
        return AIMessage(f"CANDIDATE {settings}") if repairs(messages) else AIMessage(DRAFT)

    return FakeChat(script=script)


@pytest.mark.parametrize(
    ("names", "error"), [(["seed"], TypeError), (["temperature", "seed"], BadRequestError)]
)
async def test_a_setting_that_is_refused_is_left_out_from_then_on(
    names: list[str], error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    for asynchronous in (False, True):
        model = refusing(*names, error=error)
        guard = guarded(model)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                given = [question(UNSAFE)]
                reply = await guard.ainvoke(given) if asynchronous else guard.invoke(given)
                assert "CANDIDATE" in reply.text
        assert all(name in caplog.text for name in names)
        assert caplog.text.count("asked without from now on") == len(names)
        last = [asked for _, asked in model.calls[-3:]]
        assert all(asked[name] is None for asked in last for name in names)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_none_of_the_calls_that_are_refused_at_once_is_lost(asynchronous: bool) -> None:
    guard = guarded(refusing("seed", error=TypeError))
    given = [question(UNSAFE)]
    verdict = verdict_of(await guard.ainvoke(given) if asynchronous else guard.invoke(given))
    assert len(verdict.rounds[0].candidates) == 3
    assert "failed_candidates" not in verdict.counts


@pytest.mark.parametrize(("varied", "times"), [(True, 0), (False, 1)])
def test_candidates_that_are_the_same_are_told_of(
    varied: bool, times: int, caplog: pytest.LogCaptureFixture
) -> None:
    def script(messages: Any, settings: Any) -> AIMessage:
        if varied or not repairs(messages):
            return says()(messages, settings)
        return AIMessage("CANDIDATE")

    with caplog.at_level(logging.WARNING):
        guarded(FakeChat(script=script)).invoke([question(UNSAFE)])
    assert caplog.text.count("All 3 candidates are the same") == times
    assert "CANDIDATE" not in caplog.text


def test_what_is_refused_otherwise_goes_up() -> None:
    class WrongKeyError(BadRequestError):
        status_code = 401

    with pytest.raises(WrongKeyError):
        guarded(refusing("seed", error=WrongKeyError)).invoke([question(UNSAFE)])


async def test_a_failed_candidate_leaves_the_others() -> None:
    for asynchronous in (False, True):
        left = [2]

        def script(messages: Any, settings: Any, left: list[int] = left) -> AIMessage:
            if repairs(messages) and left[0]:
                left[0] -= 1
                raise DownError("busy")
            return says()(messages, settings)

        guard = guarded(FakeChat(script=script))
        given = [question(UNSAFE)]
        verdict = verdict_of(await guard.ainvoke(given) if asynchronous else guard.invoke(given))
        assert (verdict.decision, len(verdict.rounds[0].candidates)) == ("aligned", 1)
        assert verdict.counts["failed_candidates"] == 2


def test_where_all_fail_the_first_error_goes_up() -> None:
    def script(messages: Any, settings: Any) -> AIMessage:
        if repairs(messages):
            raise DownError("busy")
        return AIMessage(DRAFT)

    with pytest.raises(DownError, match="busy"):
        guarded(FakeChat(script=script)).invoke([question(UNSAFE)])


REFUSALS = {
    "block": AIMessage([{"type": "refusal", "refusal": "No."}]),
    "OpenAI": AIMessage("", additional_kwargs={"refusal": "No."}),
    "Anthropic": AIMessage("", response_metadata={"stop_reason": "refusal"}),
    "filter": AIMessage("", response_metadata={"finish_reason": "content_filter"}),
    "Gemini": AIMessage("", response_metadata={"finish_reason": "SAFETY"}),
    "Gemini, prompt": AIMessage("", response_metadata={"prompt_feedback": {"block_reason": 2}}),
    "Bedrock": AIMessage("", response_metadata={"stopReason": "guardrail_intervened"}),
    "Responses": AIMessage(
        "", response_metadata={"incomplete_details": {"reason": "content_filter"}}
    ),
}


@pytest.mark.parametrize("own", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_providers_refusal_goes_out_untouched(own: AIMessage, streamed: bool) -> None:
    model = FakeChat(script=says(own))
    guard = guarded(model)
    if streamed:
        first, *rest = list(guard.stream([question(UNSAFE)]))
        reply: Any = sum(rest, first) if rest else first
    else:
        reply = guard.invoke([question(UNSAFE)])
    assert len(model.calls) == 1
    told = dict(reply.response_metadata)
    verdict = told.pop("eta_guard")
    assert (verdict["decision"], verdict["response"]["reason"]) == ("passed", "the model refused")
    plain = FakeChat(script=says(own)).invoke([question(UNSAFE)])
    assert (reply.content, reply.additional_kwargs) == (plain.content, plain.additional_kwargs)
    assert told == plain.response_metadata


def test_what_a_filter_let_through_is_evaluated() -> None:
    cut = AIMessage(DRAFT, response_metadata={"finish_reason": "content_filter"})
    assert verdict_of(guarded(FakeChat(script=says(cut))).invoke([question(UNSAFE)])).decision == (
        "aligned"
    )
    both = AIMessage([{"type": "text", "text": DRAFT}, {"type": "refusal", "refusal": "No."}])
    reply = guarded(FakeChat(script=says(both))).invoke([question(UNSAFE)])
    assert verdict_of(reply).decision == "aligned"


async def test_usage_is_counted_once() -> None:
    for streamed in (False, True):
        with get_usage_metadata_callback() as counted:
            guard = guarded(FakeChat())
            if streamed:
                chunks = [chunk async for chunk in guard.astream([question(UNSAFE)])]
                usage = chunks[-1].usage_metadata
            else:
                usage = (await guard.ainvoke([question(UNSAFE)])).usage_metadata
        assert usage is not None
        assert usage["output_tokens"] == 12
        assert [one["output_tokens"] for one in counted.usage_metadata.values()] == [12]


def test_drafts_can_be_kept_out_of_traces() -> None:
    for hide in (False, True):
        tracer = Tracer()
        guard = guarded(FakeChat()).model_copy(update={"hide_drafts": hide})
        guard.invoke([question(UNSAFE)], {"callbacks": [tracer]})
        (root,) = tracer.roots
        assert ("DRAFT" in repr(every(root))) == (not hide)
        assert ("seed 1010" in repr(every(root))) == (not hide)


def test_nor_are_they_collected_by_the_context() -> None:
    for hide in (False, True):
        guard = guarded(FakeChat()).model_copy(update={"hide_drafts": hide})
        with collect_runs() as collected:
            guard.invoke([question(UNSAFE)])
        assert ("DRAFT" in repr([every(run) for run in collected.traced_runs])) == (not hide)


def every(run: Any) -> list[Any]:
    return [run.outputs, *(found for child in run.child_runs for found in every(child))]


class Answer(BaseModel):
    """What is in the picture."""

    what: str


def answering(what: str) -> FakeChat:
    call = ToolCall(name="Answer", args={"what": what}, id="1", type="tool_call")
    return FakeChat(script=says(AIMessage("", tool_calls=[call])))


async def test_structured_output_over_a_providers_model() -> None:
    for asynchronous in (False, True):
        for seen in (SAFE, UNSAFE):
            asking = guarded(answering("a cup")).with_structured_output(Answer)
            given = [question(seen)]
            found = await asking.ainvoke(given) if asynchronous else asking.invoke(given)
            assert found == Answer(what="a cup")
        withheld = guarded(answering("DRAFT")).with_structured_output(Answer)
        with pytest.raises(ModelRefusalError):
            await withheld.ainvoke([question(UNSAFE)])
        with pytest.raises(ModelRefusalError):
            withheld.invoke([question(UNSAFE)])
    whole: Any = guarded(answering("DRAFT")).with_structured_output(Answer, include_raw=True)
    found = whole.invoke([question(UNSAFE)])
    assert found["parsed"] is None
    assert verdict_of(found["raw"]).decision == "refused"


async def test_a_provider_may_use_an_id_again() -> None:
    own = AIMessage("Harmless.", id="own")
    guard = guarded(FakeChat(script=says(own)))
    history = [question(SAFE), AIMessage("Before.", id="own"), question(SAFE, text="And now?")]
    assert guard.invoke(history).text == "Harmless."
    assert (await guard.ainvoke(history)).text == "Harmless."
    assert "".join(chunk.text for chunk in guard.stream(history)) == "Harmless."


SILENT: dict[str, AIMessage] = {
    "sound": AIMessage("", additional_kwargs={"audio": {"id": "a", "data": "AAAA"}}),
    "nothing": AIMessage(""),
    "a tool's result alone": AIMessage([{"type": "server_tool_result", "output": "DRAFT"}]),
    "thinking beside a call without id": AIMessage(
        [{"type": "thinking", "thinking": "DRAFT"}],
        tool_calls=[ToolCall(name="look", args={}, id=None)],
    ),
    "reasoning beside": AIMessage("Harmless.", additional_kwargs={"reasoning": "DRAFT"}),
}


@pytest.mark.parametrize("own", SILENT.values(), ids=SILENT)
def test_what_is_said_elsewhere_or_not_at_all_is_not_safe(own: AIMessage) -> None:
    reply = guarded(FakeChat(script=says(own))).invoke([question(UNSAFE)])
    assert verdict_of(reply).decision in ("aligned", "refused")


def test_a_guard_over_a_providers_model_can_be_copied() -> None:
    again = copy.deepcopy(guarded(FakeChat()))
    assert "CANDIDATE" in again.invoke([question(UNSAFE)]).text
