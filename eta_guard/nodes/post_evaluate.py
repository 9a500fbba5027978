"""post_evaluate: is the answer safe, the plain one or the repaired one?"""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig

from eta_guard.decisions import aligns_undrawn, draft_halt, unscored_halt
from eta_guard.nodes import Node
from eta_guard.panel.answers import AnswerEvaluations
from eta_guard.panel.evaluation import CombinedEvaluation
from eta_guard.panel.images import evaluate_images, unread_image
from eta_guard.panel.panel import Panel
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Completion, Engine
from eta_guard.session import GuardSession, digest
from eta_guard.state import GuardState
from eta_guard.steps import Steps

REFUSED = "the model refused"
"""Why a provider's refusal is safe without a score: it goes out as it came."""


def post_evaluate(*, engine: Engine, panel: Panel, policy: GuardPolicy) -> Node:
    """Evaluates a whole answer under the post-evaluation prompt (paper, equation 4).

    A repaired answer is evaluated like any other; which of the two it is shows in the state. Where
    an answer calls tools, each call is evaluated as well, as text, and the most unsafe counts.
    Where it shows pictures, they are evaluated like the user's.
    """

    def node(state: GuardState, config: RunnableConfig) -> Steps[dict[str, Any]]:
        rules = policy.for_run(config)
        session = yield from GuardSession.of(state, engine, rules, config)
        # The plain answer first: one that is drawn alongside the search may be safe after all.
        repaired = None if state["drafting"] else state["repaired"]
        if state["masked"] and not repaired:
            return (yield from _evaluate_masked(state["masked"], session, panel, rules))
        if state["response"] and not repaired:
            return {"session": session}  # the draft was stopped for its score
        if not repaired and aligns_undrawn(state, rules, calls_tools=session.may_call_tools):
            return {"session": session}  # there is none
        if repaired:
            final = yield from _repair(session, panel, rules).evaluate([repaired["text"]])
            halt = unscored_halt(final, rules, "The answer", "refused")
            return {"session": session, "halt": halt, "final": final.model_dump(mode="json")}
        answer = AnswerEvaluations(panel.responses, session.conversation, rules)
        draft = yield from session.draft()
        read = not rules.passes_unread(state["image"])
        response = (yield from evaluate_draft(answer, draft)) if read else None
        question = session.conversation.question
        drawn = yield from evaluate_images(panel.images, draft.pictures, question, rules)
        if draft.unread is not None:
            drawn.append(unread_image(panel.images, rules, draft.unread))
        halt = draft_halt(response, drawn, rules)
        if response and response.outcome != "safe":  # a search alongside that failed matters now
            halt = halt or state["halt"]
        return {
            "session": session,
            "halt": halt,
            "response": response and response.model_dump(mode="json"),
            "drawn": [one.model_dump(mode="json") for one in drawn],
            "scored": digest(draft),
            "calls_tools": bool(draft.tool_calls),
            "drafting": False,
        }

    return node


def _repair(session: GuardSession, panel: Panel, policy: GuardPolicy) -> AnswerEvaluations:
    """Evaluates what stands in place of a draft, by the pictures as the user sees them."""
    if policy.on_unrepaired == "return":
        # It goes out if it is unsafe, but not if somebody failed: all have to be asked.
        policy = policy.updated({"short_circuit": False})
    return AnswerEvaluations(panel.responses, session.conversation, policy)


def _evaluate_masked(
    masked: dict[str, Any], session: GuardSession, panel: Panel, policy: GuardPolicy
) -> Steps[dict[str, Any]]:
    """Evaluates the answer to masked pictures, as one that is repaired."""
    drawn = yield from session.masked_answer()
    answer = _repair(session, panel, policy)
    if drawn.text.strip():
        final = yield from answer.evaluate([drawn.text])
    else:  # what says nothing may well score as harmless, but it is no answer
        final = answer.without_asking("unscored", "there is nothing to evaluate")
    told = final.model_dump(mode="json")
    return {
        "session": session,
        "halt": unscored_halt(final, policy, "The answer", "refused"),
        "masked": {**masked, "response": told},
        "masked_scored": digest(drawn),
        "final": told,
    }


def evaluate_draft(answer: AnswerEvaluations, draft: Completion) -> Steps[CombinedEvaluation]:
    """Evaluates all that a plain answer says."""
    if draft.refused:
        return answer.without_asking("safe", REFUSED)
    # A provider's message may say nothing that is read here. An empty text scores like any other.
    if draft.message is not None and not any(text.strip() for text in draft.evaluated):
        return answer.without_asking("unscored", "there is nothing to evaluate")
    return (yield from answer.evaluate(draft.evaluated))
