"""respond: the result as an AIMessage, with its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from eta_guard.counts import usage
from eta_guard.nodes import Node
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Engine
from eta_guard.session import GuardSession
from eta_guard.state import Decision, GuardState, Verdict

METADATA_KEY = "eta_guard"
"""Key of ``response_metadata`` under which the verdict stands."""


def respond(*, engine: Engine, models: Mapping[str, str], policy: GuardPolicy) -> Node:
    """Chooses what goes out: the plain answer, the repaired one, or a refusal.

    Args:
        engine: Draws the plain answer again where a resumed run has lost it.
        models: Fingerprints for the verdict.
        policy: What to do with what could not be repaired.
    """

    def node(state: GuardState, config: RunnableConfig) -> dict[str, Any]:
        rules = policy.for_run(config)
        decision, reason = _decide(state, rules)
        repaired = state["repaired"]
        if decision in ("passed", "observed"):
            draft = GuardSession.of(state, engine, rules, config).draft
            text, finish_reason = draft.text, str(draft.finish_reason)
        elif decision == "aligned" and repaired:
            text, finish_reason = repaired["text"], repaired["finish_reason"]
        else:
            text, finish_reason = rules.refusal_message, "content_filter"
        verdict = Verdict.model_validate(
            {
                **{name: state[name] for name in ("image", "images", "response", "final")},
                "decision": decision,
                "reason": reason,
                "route": [*state["route"], "respond"],
                "rounds": _told(state["rounds"], decision, rules),
                "counts": state["counts"],
                "models": dict(models),
                **_withheld(state.get("session"), rules),
            }
        )
        message = AIMessage(
            content=text,
            response_metadata={
                "model_name": models["chat_model"],
                "finish_reason": finish_reason,
                METADATA_KEY: verdict.model_dump(mode="json"),
            },
            usage_metadata=usage(state["counts"]),
        )
        return {"messages": [message]}

    return node


def _decide(state: GuardState, policy: GuardPolicy) -> tuple[Decision, str | None]:
    if state["halt"]:
        return state["halt"]["decision"], state["halt"]["reason"]
    if policy.mode == "observe":
        return "observed", None
    if not state["repaired"]:
        return "passed", None
    outcome = (state["final"] or {}).get("outcome", "unscored")
    if outcome == "safe" or policy.on_unrepaired == "return":
        return "aligned", None
    if outcome == "unscored":
        return "refused", "the repaired answer could not be evaluated"
    return "refused", "the repaired answer is still unsafe"


def _told(
    rounds: list[dict[str, Any]], decision: Decision, policy: GuardPolicy
) -> list[dict[str, Any]]:
    """The rounds without the text of an answer that did not go out."""
    if decision == "aligned" or policy.record_rejected:
        return rounds
    return [{**record, "text": ""} for record in rounds]


def _withheld(session: GuardSession | None, policy: GuardPolicy) -> dict[str, Any]:
    """The draft and the candidates, for those who asked to see them."""
    if session is None or not policy.record_rejected:
        return {}
    return {"draft": session.drawn_draft, "rejected": tuple(session.proposed)}
