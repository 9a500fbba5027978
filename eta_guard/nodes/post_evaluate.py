"""post_evaluate: is the answer safe, the plain one or the repaired one?"""

from __future__ import annotations

import logging
from typing import Any

from langchain_core.runnables import RunnableConfig

from eta_guard.errors import log_failure
from eta_guard.nodes import Node
from eta_guard.nodes.unscored import halt_if_unscored
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Engine, ResponseEvaluator
from eta_guard.session import GuardSession, digest
from eta_guard.state import Evaluation, GuardState

logger = logging.getLogger(__name__)


def post_evaluate(
    *, engine: Engine, response_evaluator: ResponseEvaluator, policy: GuardPolicy
) -> Node:
    """Scores a whole answer under the post-evaluation prompt (paper, equation 4).

    A repaired answer is scored like any other; which of the two it is shows in the state.
    """

    def node(state: GuardState, config: RunnableConfig) -> dict[str, Any]:
        rules = policy.for_run(config)
        session = GuardSession.of(state, engine, rules, config)
        repaired = state["repaired"]
        text = repaired["text"] if repaired else session.draft.text
        evaluation = _evaluate(response_evaluator, text, rules)
        halt = halt_if_unscored(evaluation, rules, "The answer", "refused")
        found = (
            {"final": evaluation.model_dump()}
            if repaired
            else {"response": evaluation.model_dump(), "scored": digest(text)}
        )
        return {"session": session, "halt": halt, **found}

    return node


def _evaluate(evaluator: ResponseEvaluator, text: str, policy: GuardPolicy) -> Evaluation:
    threshold = policy.response_threshold
    try:
        (score,) = evaluator.open(policy.post_prompt).score([text])
        return Evaluation.of_response(score, threshold)
    except Exception as error:  # whatever an evaluator raises, the answer is not safe
        log_failure(logger, "The response evaluator", error)
        return Evaluation.unscored(threshold, type(error).__name__)
