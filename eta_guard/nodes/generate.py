"""generate: the plain answer, as the model gives it without a guard."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig

from eta_guard.decisions import aligns_undrawn
from eta_guard.nodes import Node
from eta_guard.nodes.draft_watch import DraftWatch
from eta_guard.panel.panel import Panel
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Engine
from eta_guard.session import GuardSession, digest
from eta_guard.state import GuardState
from eta_guard.steps import Steps


def generate(*, engine: Engine, panel: Panel, policy: GuardPolicy) -> Node:
    """Draws the plain answer into the session: a draft never enters the state.

    Where none could go out, none is drawn. One that goes out whatever it says is shown as it is
    drawn, to those who look.

    Where the policy asks for it, a draft that will be evaluated is stopped once it is unsafe. The
    score that stopped it is then its evaluation, in the state: a resumed run draws no other.
    """

    def node(state: GuardState, config: RunnableConfig) -> Steps[dict[str, Any]]:
        rules = policy.for_run(config)
        session = yield from GuardSession.of(state, engine, rules, config)
        goes_out_anyhow = rules.mode == "observe" or rules.passes_unread(state["image"])
        if goes_out_anyhow:
            draft = yield from session.show_draft(config)
            pictured = bool(draft.pictures or draft.unread)
            return {"session": session, "pictured": pictured, "cut_short": session.cut_short}
        if aligns_undrawn(state, rules, calls_tools=session.may_call_tools):
            return {"session": session}
        flagged = state["image"] is not None
        alongside = flagged and rules.search and rules.draft_with_candidates
        if alongside and (yield from session.begin_draft()):
            return {"session": session, "drafting": True}
        margin = rules.draft_stop_margin
        if margin is None:
            yield from session.draft()
            return {"session": session, "cut_short": session.cut_short}
        watch = DraftWatch(panel.ranker, session.conversation, rules, margin)
        stopped = yield from session.draw_draft(watch)
        if stopped is None or watch.unsafe is None:
            return {"session": session, "cut_short": session.cut_short}
        return {
            "session": session,
            "response": watch.unsafe.model_dump(mode="json"),
            "scored": digest(stopped),
            "calls_tools": bool(stopped.tool_calls),
        }

    return node
