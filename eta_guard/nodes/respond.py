"""respond: the result as an AIMessage, with its verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, ToolCall
from langchain_core.runnables import RunnableConfig

from eta_guard.counts import usage
from eta_guard.decisions import Decision, decide, flags
from eta_guard.nodes import Node
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Completion, Engine
from eta_guard.runs.refusals import REFUSED_BY_GUARD
from eta_guard.session import GuardSession, digest
from eta_guard.state import METADATA_KEY, GuardState, Verdict
from eta_guard.steps import Steps


def respond(*, engine: Engine, models: Mapping[str, str], policy: GuardPolicy) -> Node:
    """Chooses what goes out: the plain answer, the repaired one, or a refusal.

    Args:
        engine: Draws the plain answer again where a resumed run has lost it.
        models: Fingerprints for the verdict.
        policy: What to do with what could not be repaired.
    """

    def node(state: GuardState, config: RunnableConfig) -> Steps[dict[str, Any]]:
        rules = policy.for_run(config)

        def draft() -> Steps[Completion]:
            session = yield from GuardSession.of(state, engine, rules, config)
            return (yield from session.draft())

        def masked_answer() -> Steps[Completion]:
            session = yield from GuardSession.of(state, engine, rules, config)
            return (yield from session.masked_answer())

        reply = yield from _reply(state, rules, draft, masked_answer)
        told = state["rounds"] if reply.decision == "aligned" else _without_text(state["rounds"])
        verdict = Verdict.model_validate(
            {
                **{name: state[name] for name in ("image", "images", "response", "drawn", "final")},
                "masked": state["masked"],
                "decision": reply.decision,
                "reason": reply.reason,
                "route": [*state["route"], "respond"],
                "rounds": state["rounds"] if rules.record_rejected else told,
                "counts": state["counts"],
                "models": dict(models),
                "policy": rules.label,
                "flagged": flags(reply.decision, state, rules),
                "calls_tools": state["calls_tools"],
                "halted_at": next(reversed(state["route"]), "respond") if reply.halted else None,
                **_withheld(state.get("session"), rules),
            }
        )
        told_by = {METADATA_KEY: verdict.model_dump(mode="json")}
        message = _message(reply, models["chat_model"], state["counts"], told_by)
        if session := state.get("session"):
            message = session.reply.end(message, config, passed=reply.whole is not None)
        if reply.decision == "aligned" or not (state["rounds"] or state["repaired"]):
            return {"messages": [message]}
        # What did not go out is not kept either; the search needed it only while it went on.
        return {"messages": [message], "rounds": told, "repaired": None, "accepted": []}

    return node


@dataclass(frozen=True)
class _Reply:
    decision: Decision
    reason: str | None
    text: str
    finish_reason: str
    tool_calls: tuple[ToolCall, ...] = ()
    whole: AIMessage | None = None
    """The message of another chat model, which goes out as it came."""
    halted: bool = False
    """It is a refusal for another reason than what was evaluated."""


def _message(
    reply: _Reply, model_name: str, counts: Mapping[str, float], verdict: dict[str, Any]
) -> AIMessage:
    if reply.whole is not None:
        known = {**reply.whole.response_metadata, **verdict}
        return reply.whole.model_copy(update={"response_metadata": known})
    refused = REFUSED_BY_GUARD if reply.decision in ("refused", "blocked") else {}
    about = {"model_name": model_name, "finish_reason": reply.finish_reason, **refused, **verdict}
    return AIMessage(
        content=reply.text,
        tool_calls=list(reply.tool_calls),
        response_metadata=about,
        usage_metadata=usage(counts),
    )


def _reply(
    state: GuardState,
    policy: GuardPolicy,
    draft: Callable[[], Steps[Completion]],
    masked_answer: Callable[[], Steps[Completion]],
) -> Steps[_Reply]:
    """Gives the words to what is decided."""

    def refused(decision: Decision, reason: str | None, *, halted: bool) -> _Reply:
        message = policy.refusal_message
        return _Reply(decision, reason, message, "content_filter", halted=halted)

    decision, reason = decide(state, policy)
    halt, repaired = state["halt"], state["repaired"]
    early = f"cut short by the timeout of {policy.timeout:g} s" if state["cut_short"] else None
    if decision in ("refused", "blocked"):
        return refused(decision, reason, halted=halt is not None and not halt.get("evaluated"))
    if decision == "aligned" and repaired:
        return _Reply(decision, early, repaired["text"], repaired["finish_reason"])
    if decision == "aligned":
        anew = yield from masked_answer()
        if state["masked_scored"] != digest(anew):
            reason = "the answer to the masked pictures could not be drawn again"
            return refused("refused", reason, halted=True)
        return _Reply(decision, early, anew.text, anew.finish_reason)
    plain = yield from draft()
    # A resumed run draws the plain answer again: another text is not the one that was scored.
    unseen = state["scored"] is None and not (plain.pictures or plain.unread)
    if decision == "passed" and not unseen and state["scored"] != digest(plain):
        return refused("refused", "the plain answer could not be drawn again", halted=True)
    return _Reply(
        decision, early, plain.text, plain.finish_reason, plain.tool_calls, whole=plain.message
    )


def _without_text(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**record, "text": ""} for record in rounds]


def _withheld(session: GuardSession | None, policy: GuardPolicy) -> dict[str, Any]:
    """The draft and the candidates, for those who asked to see them."""
    if session is None or not policy.record_rejected:
        return {}
    return {
        "draft": session.drawn_draft,
        "masked_draft": session.drawn_masked_answer,
        "rejected": tuple(session.proposed),
    }
