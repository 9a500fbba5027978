"""Which node follows which, and why: a threshold's outcome, or a setting of the policy.

Each edge is a pure function of what is known and of the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from eta_guard.decisions import can_mask, passes, still_unsafe
from eta_guard.policy import GuardPolicy


def after_pre_evaluate(
    state: Mapping[str, Any], policy: GuardPolicy
) -> Literal["generate", "respond"]:
    """Generates unless the input is not accepted."""
    return "respond" if state["halt"] else "generate"


def after_generate(
    state: Mapping[str, Any], policy: GuardPolicy
) -> Literal["post_evaluate", "respond", "prefix_align"]:
    """Evaluates the plain answer unless it goes out whatever it says."""
    if state["halt"]:
        return "respond"
    if state["drafting"]:
        return "prefix_align"
    unread = policy.passes_unread(state["image"])
    return "respond" if unread and not state["pictured"] else "post_evaluate"


def after_post_evaluate(
    state: Mapping[str, Any], policy: GuardPolicy
) -> Literal["mask_align", "prefix_align", "respond", "best_of_n", "post_evaluate"]:
    """Repairs a plain answer that does not pass, and one to masked pictures that does not."""
    if state["halt"] or policy.mode == "observe":
        return "respond"
    if state["final"]:
        on = policy.aligner == "mask+eta" and still_unsafe(state)
        return "prefix_align" if on else "respond"
    if state["calls_tools"]:  # no sentence could take its place
        return "respond"
    always = state["image"] is None and policy.on_no_image == "align"
    if passes(state, policy) and not always:
        return "respond"
    if state["repaired"]:
        return "post_evaluate"
    if policy.aligner != "eta" and can_mask(state):
        return "mask_align"
    if policy.aligner == "mask":  # there is nothing to cover
        return "respond"
    return "best_of_n" if state["rounds"] else "prefix_align"


def after_mask_align(
    state: Mapping[str, Any], policy: GuardPolicy
) -> Literal["post_evaluate", "respond"]:
    """Has the answer to masked pictures evaluated."""
    return "respond" if state["halt"] else "post_evaluate"


def after_prefix_align(
    state: Mapping[str, Any], policy: GuardPolicy
) -> Literal["best_of_n", "post_evaluate", "respond"]:
    """Searches until the repaired answer is whole, and has it evaluated."""
    if state["halt"]:
        return "post_evaluate" if state["drafting"] else "respond"
    session = state["session"]
    drafted = state["drafting"] and session is not None and session.draft_is_whole
    return "post_evaluate" if state["repaired"] or drafted else "best_of_n"


Edge = Callable[[Mapping[str, Any], GuardPolicy], str]

EDGES: dict[str, Edge] = {
    "pre_evaluate": after_pre_evaluate,
    "generate": after_generate,
    "post_evaluate": after_post_evaluate,
    "mask_align": after_mask_align,
    "prefix_align": after_prefix_align,
    # The search goes on until its answer is whole: the same three ways as into it.
    "best_of_n": after_prefix_align,
}
"""By the node that they lead away from; the last, ``respond``, leads to the end."""
