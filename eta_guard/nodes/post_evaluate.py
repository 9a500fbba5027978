"""post_evaluate: is the answer safe, the plain one or the repaired one?"""

from __future__ import annotations

import logging
import math
from typing import Any

from langchain_core.runnables import RunnableConfig

from eta_guard.errors import log_failure
from eta_guard.nodes import Node
from eta_guard.nodes.image_evaluations import evaluate_images
from eta_guard.nodes.unscored import halt_if_unscored
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Completion, Engine, ImageEvaluator, ResponseEvaluator
from eta_guard.session import GuardSession, digest
from eta_guard.state import Evaluation, GuardState
from eta_guard.steps import Steps, ask

logger = logging.getLogger(__name__)

REFUSED = "the model refused"
"""Why a provider's refusal is safe without a score: it goes out as it came."""


def post_evaluate(
    *,
    engine: Engine,
    image_evaluator: ImageEvaluator,
    response_evaluator: ResponseEvaluator,
    policy: GuardPolicy,
) -> Node:
    """Scores a whole answer under the post-evaluation prompt (paper, equation 4).

    A repaired answer is scored like any other; which of the two it is shows in the state. Where
    an answer calls tools, each call is scored as well, as text, and the lowest score counts. Where
    it shows pictures, they are evaluated like the user's.
    """

    def node(state: GuardState, config: RunnableConfig) -> Steps[dict[str, Any]]:
        rules = policy.for_run(config)
        session = yield from GuardSession.of(state, engine, rules, config)
        # The plain answer first: one that is drawn alongside the search may be safe after all.
        repaired = None if state["drafting"] else state["repaired"]
        if state["response"] and not repaired:
            return {"session": session}  # the draft was stopped for its score
        if repaired:
            final = yield from _evaluate(response_evaluator, (repaired["text"],), rules)
            halt = halt_if_unscored(final, rules, "The answer", "refused")
            return {"session": session, "halt": halt, "final": final.model_dump()}
        draft = yield from session.draft()
        read = not rules.passes_unread(state["image"])
        response = (yield from _evaluate_draft(response_evaluator, draft, rules)) if read else None
        drawn = yield from evaluate_images(image_evaluator, draft.pictures, rules)
        if draft.unread is not None:
            drawn.append(Evaluation.unscored(rules.image_threshold, draft.unread))
        halts = [halt_if_unscored(response, rules, "The answer", "refused")]
        halts += [
            halt_if_unscored(one, rules, "A picture of the answer", "refused") for one in drawn
        ]
        if response and response.outcome != "safe":  # a search alongside that failed matters now
            halts.append(state["halt"])
        return {
            "session": session,
            "halt": next(filter(None, halts), None),
            "response": response and response.model_dump(),
            "drawn": [one.model_dump() for one in drawn],
            "scored": digest(draft),
            "calls_tools": bool(draft.tool_calls),
            "drafting": False,
        }

    return node


def _evaluate_draft(
    evaluator: ResponseEvaluator, draft: Completion, policy: GuardPolicy
) -> Steps[Evaluation]:
    if draft.refused:
        threshold = policy.response_threshold
        return Evaluation(outcome="safe", score=None, threshold=threshold, reason=REFUSED)
    # A provider's message may say nothing that is read here. An empty text scores like any other.
    if draft.message is not None and not any(text.strip() for text in draft.evaluated):
        return Evaluation.unscored(policy.response_threshold, "there is nothing to evaluate")
    return (yield from _evaluate(evaluator, draft.evaluated, policy))


def _evaluate(
    evaluator: ResponseEvaluator, texts: tuple[str, ...], policy: GuardPolicy
) -> Steps[Evaluation]:
    """Scores each text; the lowest counts, and one without a score before all others."""
    threshold = policy.response_threshold
    try:
        session = yield from ask(evaluator.open, policy.post_prompt)
        scores = yield from ask(session.score, texts)
        if len(scores) != len(texts):
            raise ValueError(f"{len(scores)} scores for {len(texts)} texts")
        return min(
            (Evaluation.of_response(score, threshold) for score in scores),
            key=lambda found: -math.inf if found.score is None else found.score,
        )
    except Exception as error:  # whatever an evaluator raises, the answer is not safe
        log_failure(logger, "The response evaluator", error)
        return Evaluation.unscored(threshold, type(error).__name__)
