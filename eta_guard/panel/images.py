"""Pictures before all evaluators of images, the user's and those that an answer shows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import perf_counter

from PIL.Image import Image

from eta_guard import counts
from eta_guard.errors import log_failure
from eta_guard.panel.evaluation import CombinedEvaluation, Evaluation, Limit
from eta_guard.panel.in_turn import in_turn, spared
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import CategorizesImages, ImageEvaluator, SeesViews, Views
from eta_guard.steps import Steps, ask

logger = logging.getLogger(__name__)


def evaluate_images(
    evaluators: Sequence[ImageEvaluator],
    images: Sequence[Image],
    question: str,
    policy: GuardPolicy,
    sides: tuple[int, ...] | None = None,
) -> Steps[list[CombinedEvaluation]]:
    """Evaluates pictures (paper, equation 2); where an evaluator fails, none of them is safe.

    Args:
        evaluators: At least one.
        images: RGB.
        question: The text of the turn that is answered.
        policy: Has the prompt that they are compared with, the views, and the thresholds.
        sides: To which the chat model's processor scales pictures, where that is known.

    Returns:
        One evaluation a picture, in their order.
    """
    if not images:
        return []

    views = Views(policy.views, sides, policy.look_closer == "always")

    def evaluate(evaluator: ImageEvaluator, numbers: list[int]) -> Steps[list[Evaluation]]:
        return _by_one(evaluator, [images[number] for number in numbers], question, policy, views)

    found = yield from in_turn(evaluators, evaluate, len(images), policy)
    return [
        CombinedEvaluation.together(of_one, spared=spared(evaluators, of_one)) for of_one in found
    ]


def unread_image(
    evaluators: Sequence[ImageEvaluator], policy: GuardPolicy, reason: str
) -> CombinedEvaluation:
    """What there is to say of a picture, or of what may be one, that could not be read."""
    limit = Limit.of_image(evaluators[0], policy)
    found = Evaluation.unscored(limit, reason).model_copy(update={"evaluator": ""})
    return CombinedEvaluation.together([found])


def _by_one(
    evaluator: ImageEvaluator,
    images: Sequence[Image],
    question: str,
    policy: GuardPolicy,
    views: Views,
) -> Steps[list[Evaluation]]:
    limit = Limit.of_image(evaluator, policy)
    counts.add_evaluations(evaluator.name, len(images))
    begun = perf_counter()
    try:
        prompt = policy.safety_prompt
        if isinstance(evaluator, SeesViews):
            findings = yield from ask(evaluator.evaluate_views, images, prompt, views)
        else:
            findings = yield from ask(evaluator.evaluate, images, prompt, question)
        if len(findings) != len(images):
            raise ValueError(f"{len(findings)} scores for {len(images)} images")
        found = [Evaluation.of(finding, limit) for finding in findings]
    except Exception as error:  # whatever an evaluator raises, the images are not safe
        log_failure(logger, f"The image evaluator {evaluator.name}", error)
        found = [Evaluation.unscored(limit, type(error).__name__)] * len(images)
    for number, image in enumerate(images):
        found[number] = yield from _categorized(evaluator, found[number], image, question)
    seconds = perf_counter() - begun
    return [one.model_copy(update={"seconds": seconds}) for one in found]


def _categorized(
    evaluator: ImageEvaluator, found: Evaluation, image: Image, question: str
) -> Steps[Evaluation]:
    """The evaluation with its category, where that costs a further reading."""
    wanted = found.outcome == "unsafe" and found.category is None
    if not wanted or not isinstance(evaluator, CategorizesImages):
        return found
    try:
        category = yield from ask(evaluator.categorize, image, question)
        return found.with_category(category)
    except Exception as error:  # the score stands without it
        log_failure(logger, f"The category of the image evaluator {evaluator.name}", error)
        return found
