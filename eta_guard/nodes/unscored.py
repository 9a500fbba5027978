"""What an evaluation that has no score leads to."""

from __future__ import annotations

from eta_guard.errors import EvaluationError
from eta_guard.panel.evaluation import CombinedEvaluation
from eta_guard.policy import GuardPolicy
from eta_guard.state import Decision, Halt


def halt_if_unscored(
    evaluation: CombinedEvaluation | None, policy: GuardPolicy, what: str, decision: Decision
) -> Halt | None:
    """Says whether, and why, the request stops at an evaluation without a score.

    Args:
        evaluation: None where nothing was evaluated.
        policy: ``on_unscored`` decides; under ``"unsafe"`` the request goes on, as unsafe.
        what: What was evaluated, as the subject of a sentence.
        decision: What stopping here is called.

    Raises:
        EvaluationError: The policy asks for an error.
    """
    if evaluation is None or evaluation.outcome != "unscored" or policy.mode == "observe":
        return None
    failed = [one.evaluator for one in evaluation.findings if one.outcome == "unscored"]
    wanted = policy.unscored_leads_to(failed)
    if wanted == "raise":
        raise EvaluationError(
            f"{what} could not be evaluated: {evaluation.reason}.",
            hint='Mend the evaluator, or choose another `on_unscored` than "raise".',
        )
    if wanted == "refuse":
        return Halt(decision=decision, reason=f"{what} could not be evaluated")
    return None
