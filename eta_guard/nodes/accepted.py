"""Shows a repaired answer sentence by sentence, as far as it may be shown before its verdict."""

from __future__ import annotations

from langchain_core.runnables import RunnableConfig

from eta_guard.panel.answers import AnswerEvaluations
from eta_guard.panel.panel import Panel
from eta_guard.policy import GuardPolicy
from eta_guard.runs.streaming import listened_to
from eta_guard.session import GuardSession
from eta_guard.steps import Steps


def show_accepted(
    session: GuardSession,
    text: str,
    panel: Panel,
    policy: GuardPolicy,
    config: RunnableConfig,
) -> Steps[None]:
    """Shows a repaired answer up to the sentence that was just accepted; ``streaming`` says when.

    Args:
        session: Of the request; its reply knows what was shown so far.
        text: The answer so far, prefix included; it may be all of it, which only the next round
            will tell.
        panel: Is asked only where somebody looks, for the new sentence alone.
        policy: Says what becomes of an answer that is unsafe in the end.
        config: Of the run.
    """
    reply = session.reply
    if not listened_to(config):
        return
    if policy.on_unrepaired == "refuse" and not reply.held:
        if reply.evaluations is None:
            reply.evaluations = AnswerEvaluations(panel.responses, session.conversation, policy)
        reply.held = not (yield from _is_safe_so_far(text.strip(), reply.evaluations))
    if not reply.held:
        reply.show(text, config)


def _is_safe_so_far(text: str, answer: AnswerEvaluations) -> Steps[bool]:
    new = text[len(answer.accepted) :]
    found = yield from answer.evaluate([new])
    answer.accept(new)
    return found.outcome == "safe"
