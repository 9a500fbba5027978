"""Shows a repaired answer sentence by sentence, as far as it may be shown before its verdict."""

from __future__ import annotations

import logging

from langchain_core.runnables import RunnableConfig

from eta_guard.errors import log_failure
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import ResponseEvaluator
from eta_guard.runs.streaming import LiveReply, listened_to
from eta_guard.state import Evaluation
from eta_guard.steps import Steps, ask

logger = logging.getLogger(__name__)


def show_accepted(
    reply: LiveReply,
    text: str,
    evaluator: ResponseEvaluator,
    policy: GuardPolicy,
    config: RunnableConfig,
) -> Steps[None]:
    """Shows a repaired answer up to the sentence that was just accepted; ``streaming`` says when.

    Args:
        reply: What was shown so far.
        text: The answer so far, prefix included; it may be all of it, which only the next round
            will tell.
        evaluator: Is asked only where somebody looks, for the new sentence alone.
        policy: Says what becomes of an answer that is unsafe in the end.
        config: Of the run.
    """
    if not listened_to(config):
        return
    if policy.on_unrepaired == "refuse" and not reply.held:
        reply.held = not (yield from _is_safe_so_far(reply, text.strip(), evaluator, policy))
    if not reply.held:
        reply.show(text, config)


def _is_safe_so_far(
    reply: LiveReply, text: str, evaluator: ResponseEvaluator, policy: GuardPolicy
) -> Steps[bool]:
    try:
        if reply.scores is None:
            reply.scores = yield from ask(evaluator.open, policy.post_prompt)
        new = text[len(reply.scored) :]
        (score,) = yield from ask(reply.scores.score, [new])
        yield from ask(reply.scores.accept, new)
        reply.scored = text
        return Evaluation.of_response(score, policy.response_threshold).outcome == "safe"
    except Exception as error:  # what could not be evaluated is not shown
        log_failure(logger, "The response evaluator", error)
        return False
