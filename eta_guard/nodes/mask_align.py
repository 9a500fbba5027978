"""mask_align: the model answers anew, and does not see what is unsafe in the pictures."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig

from eta_guard.nodes import Node
from eta_guard.panel.evaluation import ImageEvaluation
from eta_guard.panel.masking import Masked, log_covered_whole, pictures_to_mask
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Engine
from eta_guard.session import GuardSession
from eta_guard.state import GuardState
from eta_guard.steps import Steps, ask


def mask_align(*, engine: Engine, policy: GuardPolicy) -> Node:
    """Covers what was found unsafe in the pictures, and has them answered (GuardAlign, ICLR 2026).

    The answer is drawn like a plain one, but in text alone, and into the session: it may be as
    unsafe as the draft was. What follows goes on from the covered pictures.
    """

    def node(state: GuardState, config: RunnableConfig) -> Steps[dict[str, Any]]:
        rules = policy.for_run(config)
        session = yield from GuardSession.of(state, engine, rules, config)
        images = [ImageEvaluation.model_validate(image) for image in state["images"]]
        masked = Masked(pictures=tuple(pictures_to_mask(images)))
        log_covered_whole(masked.pictures)
        yield from ask(session.mask, masked.pictures)
        yield from session.masked_answer()
        return {"session": session, "masked": masked.model_dump(mode="json")}

    return node
