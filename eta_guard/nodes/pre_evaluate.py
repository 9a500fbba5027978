"""pre_evaluate: are the images safe?"""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig

from eta_guard.decisions import image_halt
from eta_guard.nodes import Node
from eta_guard.panel.evaluation import ImageEvaluation
from eta_guard.panel.images import evaluate_images, unread_image
from eta_guard.panel.panel import Panel
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Engine
from eta_guard.request.conversation import Conversation
from eta_guard.session import GuardSession
from eta_guard.state import GuardState
from eta_guard.steps import Steps


def pre_evaluate(*, engine: Engine, panel: Panel, policy: GuardPolicy) -> Node:
    """Reads the request and evaluates its images (paper, equation 2).

    Of several images the most unsafe counts, and one without a score counts before all others.
    """

    def node(state: GuardState, config: RunnableConfig) -> Steps[dict[str, Any]]:
        rules = policy.for_run(config)
        panel.check(rules)
        session = yield from GuardSession.of(state, engine, rules, config)
        images = yield from evaluate_pictures(panel, session.conversation, rules)
        worst = max(images, key=lambda image: image.unsafety, default=None)
        return {
            "session": session,
            "images": [image.model_dump(mode="json") for image in images],
            "image": worst and worst.model_dump(mode="json"),
            "halt": image_halt(worst, rules),
        }

    return node


def evaluate_pictures(
    panel: Panel, conversation: Conversation, policy: GuardPolicy
) -> Steps[list[ImageEvaluation]]:
    """Evaluates the pictures of a request, and tells where each stood."""
    pictures = conversation.pictures
    pixels = [picture.pixels for picture in pictures]
    if policy.aligner != "eta":  # each of the others may say where
        policy = policy.updated({"short_circuit": False})
    found = yield from evaluate_images(
        panel.images, pixels, conversation.question, policy, panel.sides
    )
    images = [
        ImageEvaluation(
            **dict(one), message=picture.message, block=picture.block, fetched=picture.fetched
        )
        for one, picture in zip(found, pictures, strict=True)
    ]
    for block in conversation.unread:
        unread = unread_image(panel.images, policy, block.reason)
        images.append(ImageEvaluation(**dict(unread), message=block.message, block=block.block))
    return images
