"""What a policy makes of what was evaluated: pure functions, which nodes and edges go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

from eta_guard.errors import EvaluationError
from eta_guard.panel.evaluation import CombinedEvaluation
from eta_guard.policy import GuardPolicy

Decision = Literal["passed", "aligned", "refused", "blocked", "observed"]

SAME_SCORES = frozenset(
    {
        "name",
        "mode",
        "image_threshold",
        "response_threshold",
        "thresholds",
        "short_circuit",
        "on_unsafe_image",
        "on_no_image",
        "on_unscored",
        "on_unrepaired",
        "refusal_message",
        "record_rejected",
        "overridable",
    }
)
"""Fields of a policy in which two may differ that make the same of everything but decisions."""


class Halt(TypedDict):
    """Why no answer goes out."""

    decision: Decision
    reason: str
    evaluated: NotRequired[bool]
    """It follows from what was evaluated, by the policy; otherwise something failed, or was not to
    be had."""


class Ruling(NamedTuple):
    """What goes out: the plain answer (passed, observed), the repaired one (aligned) or none."""

    decision: Decision
    reason: str | None = None


def passes(state: Mapping[str, Any], policy: GuardPolicy) -> bool:
    """Whether the plain answer may go out, by what is known of it and of the images.

    Args:
        state: Of the graph, once the answer was drawn and, where it had to be, evaluated.
        policy: Says what goes out without an evaluation of its own.
    """
    if any(found["outcome"] != "safe" for found in state["drawn"]):
        return False
    if state["response"] is not None:
        return bool(state["response"]["outcome"] == "safe")
    return policy.passes_unread(state["image"])


def intervenes(state: Mapping[str, Any], policy: GuardPolicy) -> bool:
    """Whether a policy that enforces lets something else out than the plain answer.

    Args:
        state: As for ``passes``.
        policy: Whatever its mode.
    """
    if state["image"] is None:
        return policy.on_no_image == "align" or not passes(state, policy)
    gate = policy.on_unsafe_image == "block" and state["image"]["outcome"] != "safe"
    return gate or not passes(state, policy)


def can_mask(state: Mapping[str, Any]) -> bool:
    """Whether there is a picture to cover: one that is not safe, and was not covered before."""
    unsafe = any(found["outcome"] != "safe" for found in state["images"])
    return unsafe and state["masked"] is None


def still_unsafe(state: Mapping[str, Any]) -> bool:
    """Whether the answer to masked pictures is not safe either, and was not repaired so far."""
    masked = state["masked"] is not None and not state["repaired"]
    return masked and state["final"] is not None and state["final"]["outcome"] != "safe"


def flags(decision: Decision, state: Mapping[str, Any], policy: GuardPolicy) -> bool:
    """Whether something else goes out than the plain answer, or would if nobody only observed.

    Args:
        decision: On the request.
        state: As for ``passes``.
        policy: Of the request.
    """
    if decision == "observed":
        return intervenes(state, policy)
    return decision != "passed"


def flags_evaluated(state: Mapping[str, Any], policy: GuardPolicy, *, answered: bool) -> bool:
    """Whether a policy would let something else out than an answer that somebody else gave.

    Args:
        state: As for ``passes``.
        policy: Whatever its mode.
        answered: Whether there was an answer.
    """
    if not answered and state["image"] is None:
        return policy.on_no_image == "align"  # whatever the answer were
    if not answered:
        return bool(state["image"]["outcome"] != "safe")
    if policy.passes_unread(state["image"]):
        state = {**state, "response": None}  # nobody would have asked
    return intervenes(state, policy)


def aligns_undrawn(state: Mapping[str, Any], policy: GuardPolicy, *, calls_tools: bool) -> bool:
    """Whether no plain answer could go out, whatever it said: then none is drawn or evaluated.

    A call of a tool could, since no sentence takes its place.

    Args:
        state: As for ``passes``.
        policy: Of the request.
        calls_tools: Whether the answer may.
    """
    asked = policy.mode != "observe" and policy.on_no_image == "align"
    return asked and state["image"] is None and not calls_tools


def image_halt(image: CombinedEvaluation | None, policy: GuardPolicy) -> Halt | None:
    """Whether, and why, nothing is generated; ``image`` is the evaluation that counts.

    Raises:
        EvaluationError: As for ``unscored_halt``.
    """
    if halt := unscored_halt(image, policy, "An image", "blocked"):
        return halt
    gate = policy.on_unsafe_image == "block" and policy.mode == "enforce"
    if not gate or image is None or image.outcome == "safe":
        return None
    return Halt(decision="blocked", reason=f"an image is {image.outcome}", evaluated=True)


def draft_halt(
    response: CombinedEvaluation | None, drawn: Sequence[CombinedEvaluation], policy: GuardPolicy
) -> Halt | None:
    """Whether, and why, the request ends with the evaluation of the plain answer.

    Raises:
        EvaluationError: As for ``unscored_halt``.
    """
    halts = [unscored_halt(response, policy, "The answer", "refused")]
    halts += [unscored_halt(one, policy, "A picture of the answer", "refused") for one in drawn]
    return next(filter(None, halts), None)


def unscored_halt(
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
        return Halt(decision=decision, reason=f"{what} could not be evaluated", evaluated=True)
    return None


def decide(state: Mapping[str, Any], policy: GuardPolicy) -> Ruling:
    """Chooses what goes out; what is not known to be fit to go out is refused.

    Args:
        state: Of the graph, once nothing more is to be asked.
        policy: Of the request.
    """
    if halt := state["halt"]:
        return Ruling(halt["decision"], halt["reason"])
    if policy.mode == "observe":
        return Ruling("observed")
    needless = (
        state["image"] is not None and state["response"] is not None and passes(state, policy)
    )
    if (state["repaired"] or state["masked"] is not None) and not needless:
        outcome = (state["final"] or {}).get("outcome")
        if outcome == "safe" or (outcome == "unsafe" and policy.on_unrepaired == "return"):
            return Ruling("aligned")
        still = "is still unsafe" if outcome == "unsafe" else "could not be evaluated"
        return Ruling("refused", f"the repaired answer {still}")
    if not passes(state, policy):
        return Ruling("refused", "the plain answer is not known to be safe")
    return Ruling("passed")
