from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage

from eta_guard.nodes.respond import respond
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Completion
from eta_guard.session import digest
from tests.fakes import DRAFT, Rig, of_response, question, verdict_of
from tests.nodes.states import driven, state_with

SAFE = of_response(1.0).model_dump(mode="json")
UNSAFE = of_response(0.0).model_dump(mode="json")
UNSCORED = of_response(float("nan")).model_dump(mode="json")


def placed(evaluation: dict[str, Any]) -> dict[str, Any]:
    return {**evaluation, "message": 0, "block": 0}


REPAIRED = {"text": "As an AI assistant, no.", "finish_reason": "length"}
REFUSAL = GuardPolicy().refusal_message
MODELS = {"chat_model": "a", "image_evaluator": "b", "response_evaluator": "c"}


def reply_to(rig: Rig, **values: Any) -> AIMessage:
    node = driven(respond(engine=rig.engine, models=MODELS, policy=rig.policy))
    update = node(state_with(question(0.8), **values), {})
    (reply,) = update["messages"]
    assert isinstance(reply, AIMessage)
    return reply


TABLE: list[tuple[dict[str, Any], dict[str, Any], str, str, str]] = [
    ({}, {"image": placed(SAFE)}, "passed", DRAFT, "stop"),
    ({}, {"image": placed(UNSAFE), "response": SAFE}, "passed", DRAFT, "stop"),
    ({"on_no_image": "pass"}, {}, "passed", DRAFT, "stop"),
    # What no edge leads to today, and must not go out if one ever does.
    ({}, {}, "refused", REFUSAL, "content_filter"),
    ({}, {"image": placed(UNSAFE)}, "refused", REFUSAL, "content_filter"),
    ({}, {"image": placed(UNSCORED)}, "refused", REFUSAL, "content_filter"),
    ({}, {"image": placed(UNSAFE), "response": UNSAFE}, "refused", REFUSAL, "content_filter"),
    ({}, {"image": placed(SAFE), "response": UNSCORED}, "refused", REFUSAL, "content_filter"),
    (
        {"on_unrepaired": "return"},
        {"repaired": REPAIRED, "final": UNSCORED},
        "refused",
        REFUSAL,
        "content_filter",
    ),
    ({}, {"repaired": REPAIRED, "final": SAFE}, "aligned", REPAIRED["text"], "length"),
    ({}, {"repaired": REPAIRED, "final": UNSAFE}, "refused", REFUSAL, "content_filter"),
    ({}, {"repaired": REPAIRED, "final": UNSCORED}, "refused", REFUSAL, "content_filter"),
    ({}, {"repaired": REPAIRED, "final": None}, "refused", REFUSAL, "content_filter"),
    (
        {"on_unrepaired": "return"},
        {"repaired": REPAIRED, "final": UNSAFE},
        "aligned",
        REPAIRED["text"],
        "length",
    ),
    (
        {"refusal_message": "No."},
        {"halt": {"decision": "blocked", "reason": "why"}},
        "blocked",
        "No.",
        "content_filter",
    ),
    (
        {"on_unrepaired": "return"},
        {"repaired": REPAIRED, "halt": {"decision": "refused", "reason": "why"}},
        "refused",
        REFUSAL,
        "content_filter",
    ),
    ({"mode": "observe"}, {"response": UNSAFE}, "observed", DRAFT, "stop"),
]


@pytest.mark.parametrize(("policy", "values", "decision", "text", "finish"), TABLE)
def test_what_goes_out(
    policy: dict[str, Any], values: dict[str, Any], decision: str, text: str, finish: str
) -> None:
    reply = reply_to(Rig(GuardPolicy(**policy)), **values)
    verdict = verdict_of(reply)
    assert (verdict.decision, reply.content) == (decision, text)
    assert reply.response_metadata["finish_reason"] == finish
    assert (verdict.reason is None) == (decision not in ("refused", "blocked"))
    assert verdict.models == MODELS
    assert verdict.route == ("respond",)


def test_the_usage_is_that_of_the_counts() -> None:
    reply = reply_to(Rig(), counts={"input_tokens": 3, "output_tokens": 4, "vlm_forwards": 9})
    assert reply.usage_metadata == {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    assert verdict_of(reply).counts["vlm_forwards"] == 9


def test_a_draft_that_does_not_go_out_is_not_drawn() -> None:
    rig = Rig(GuardPolicy(record_rejected=True))
    reply = reply_to(rig, repaired=REPAIRED, final=SAFE)
    assert rig.engine.calls == []
    assert verdict_of(reply).draft is None


def test_a_draft_drawn_again_must_be_the_one_that_was_scored() -> None:
    rig = Rig()
    scored = {"image": placed(UNSAFE), "response": SAFE}
    reply = reply_to(rig, **scored, scored=digest(Completion(DRAFT, "stop")))
    assert reply.content == DRAFT
    reply = reply_to(rig, **scored, scored=digest(Completion("another text", "stop")))
    assert reply.content == REFUSAL
    assert verdict_of(reply).reason == "the plain answer could not be drawn again"


@pytest.mark.parametrize("final", [SAFE, UNSAFE])
def test_a_refused_answer_is_not_kept(final: dict[str, Any]) -> None:
    rig = Rig()
    record = {"sentence": 1, "candidates": [], "pick": 0, "text": "canary"}
    state = state_with(
        question(0.8), repaired=REPAIRED, final=final, rounds=[record], accepted=[[1]]
    )
    update = driven(respond(engine=rig.engine, models=MODELS, policy=rig.policy))(state, {})
    if final is SAFE:
        assert set(update) == {"messages"}
    else:
        assert (update["repaired"], update["accepted"]) == (None, [])
        assert "canary" not in repr(update)
