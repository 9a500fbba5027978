"""Pictures in an answer are evaluated like the user's, and an unsafe one withholds the answer."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage

from eta_guard.engines.chat_model.engine import ChatModelEngine
from eta_guard.guard import EtaGuard
from eta_guard.policy import GuardPolicy
from tests.chat_fakes import FakeChat, says
from tests.fakes import SAFE, UNSAFE, FakeImages, FakeResponses, image_block, question, verdict_of
from tests.middleware.agents import middleware

REASONING: dict[str, Any] = {"type": "reasoning", "reasoning": "Hm.", "signature": "abc"}


def drawing(score: float, *, inside: bool = False) -> AIMessage:
    picture: dict[str, Any] = image_block(score)
    if inside:  # as OpenAI's own tool gives it
        picture = {"type": "image_generation_call", "result": picture["base64"], "id": "ig_1"}
    return AIMessage([REASONING, {"type": "text", "text": "Here it is."}, picture])


def guarded(answer: AIMessage, **policy: Any) -> tuple[EtaGuard, FakeChat]:
    model = FakeChat(script=says(answer), disable_streaming=False)
    guard = EtaGuard(
        engine=ChatModelEngine(model),
        image_evaluator=FakeImages(),
        response_evaluator=FakeResponses(lambda prompt, text: 1.0),
        policy=GuardPolicy(**policy),
    )
    return guard, model


ASKED = {
    "no image, evaluated": ({}, [HumanMessage("Draw.")]),
    "no image, which passes": ({"on_no_image": "pass"}, [HumanMessage("Draw.")]),
    "safe image": ({}, [question(SAFE)]),
    "unsafe image": ({}, [question(UNSAFE)]),
}
asked = pytest.mark.parametrize(("policy", "messages"), ASKED.values(), ids=ASKED)


@asked
@pytest.mark.parametrize("inside", [False, True])
async def test_an_unsafe_picture_is_withheld(
    policy: dict[str, Any], messages: list[Any], inside: bool
) -> None:
    guard, _ = guarded(drawing(UNSAFE, inside=inside), **policy)
    chunks = [chunk async for chunk in guard.astream(messages)]
    for reply in (guard.invoke(messages), await guard.ainvoke(messages), chunks[-1]):
        verdict = verdict_of(reply)
        assert verdict.decision == "aligned"
        assert [found.outcome for found in verdict.drawn] == ["unsafe"]
        assert "post_evaluate" in verdict.route
    shown = repr([guard.invoke(messages).content, [chunk.content for chunk in chunks]])
    assert image_block(UNSAFE)["base64"] not in shown
    assert "CANDIDATE" in shown


@asked
@pytest.mark.parametrize("inside", [False, True])
async def test_a_safe_one_goes_out_with_all_that_stands_beside_it(
    policy: dict[str, Any], messages: list[Any], inside: bool
) -> None:
    own = drawing(SAFE, inside=inside)
    guard, _ = guarded(own, **policy)
    for reply in (guard.invoke(messages), await guard.ainvoke(messages)):
        assert reply.content == own.content
        verdict = verdict_of(reply)
        assert verdict.decision == "passed"
        assert [found.outcome for found in verdict.drawn] == ["safe"]
    first, *rest = list(guard.stream(messages))
    whole: Any = sum(rest, first)
    assert whole.text == "Here it is."
    assert any("signature" in block for block in whole.content)
    assert image_block(SAFE)["base64"] in repr(whole.content)


async def test_one_that_cannot_be_scored_or_read_is_not_safe() -> None:
    guard, _ = guarded(drawing(SAFE), on_unscored="refuse", on_no_image="pass")
    guard.image_evaluator.failure = RuntimeError("down")  # type: ignore[union-attr]
    verdict = verdict_of(await guard.ainvoke([HumanMessage("Draw.")]))
    assert (verdict.decision, verdict.drawn[0].outcome) == ("refused", "unscored")
    broken = AIMessage([{"type": "image", "base64": "AAAA", "mime_type": "image/png"}])
    far = AIMessage([{"type": "image", "file_id": "file-1"}])
    for answer in (broken, far):
        guard, _ = guarded(answer, on_no_image="pass")
        reply = guard.invoke([HumanMessage("Draw.")])
        assert verdict_of(reply).decision == "aligned"
        assert verdict_of(reply).drawn[0].outcome == "unscored"


def test_it_is_reported_and_shown_where_the_guard_only_observes() -> None:
    own = drawing(UNSAFE)
    guard, _ = guarded(own, mode="observe")
    reply = guard.invoke([question(SAFE)])
    assert reply.content == own.content
    assert [found.outcome for found in verdict_of(reply).drawn] == ["unsafe"]


def test_in_an_agent_as_well() -> None:
    model = FakeChat(script=says(drawing(UNSAFE)))
    made = create_agent(model, middleware=[middleware()])
    reply = made.invoke({"messages": [HumanMessage("Draw.")]})["messages"][-1]
    assert "CANDIDATE" in reply.text
    assert image_block(UNSAFE)["base64"] not in repr(reply.content)
