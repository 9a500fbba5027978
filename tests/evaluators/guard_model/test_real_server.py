"""A real vLLM tells the verdicts that the same weights give here.

The shipped chat model is no guard, but what it is about to say is as good as a verdict.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import eta_guard.embedded
from eta_guard.embedded import samples
from eta_guard.evaluators.guard_model.evaluator import GuardModelEvaluator
from eta_guard.evaluators.guard_model.guard_format import GuardFormat, GuardQuestion
from eta_guard.request.images import decode_image

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

WEIGHTS = Path(eta_guard.embedded.__file__).parent / "weights" / "chat"
SEEN = (("user", "{pictures}{question}"),)
FIRST = GuardFormat(
    "how an answer begins",
    safe=("This", "Sure", "Here"),
    unsafe=("I",),
    middle=("The",),
    middle_weight=0.5,
    image=GuardQuestion(SEEN, category_lead=" see", category_end="."),
)
SECOND = GuardFormat(
    "how it goes on",
    safe=("will", "cannot", "must"),
    unsafe=("see", "can"),
    image=GuardQuestion(SEEN, lead="I"),
)
FORMATS = {
    "first": FIRST,
    "sent": replace(SECOND, begins_answers=True),
    "written": SECOND,  # where the model begins by another word, there is no verdict
}


def here(form: GuardFormat) -> GuardModelEvaluator:
    return GuardModelEvaluator.from_pretrained(str(WEIGHTS), form)


def there(server: str, form: GuardFormat) -> Any:
    return GuardModelEvaluator.from_server(f"{server}/v1", "chat", form)


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_verdicts_on_pictures_are_those_of_the_same_weights_here(
    chat_server: str, form: GuardFormat
) -> None:
    ours, theirs = here(form), there(chat_server, form)
    asked = asyncio.run(_each(there(chat_server, form)))
    scored = 0
    for sample, again in zip(samples(), asked, strict=True):
        picture = decode_image(sample.path.read_bytes())
        (wanted,) = ours.evaluate([picture], "", sample.question)
        (found,) = theirs.evaluate([picture], "", sample.question)
        assert again == pytest.approx(found.score, abs=1e-4, nan_ok=True)
        if form is SECOND and math.isnan(found.score):
            continue
        # What is not told counts as unsafe.
        assert found.score >= wanted.score - 1e-4
        assert found.score == pytest.approx(wanted.score, abs=2e-3)
        scored += 1
    assert scored >= 3


async def _each(evaluator: Any) -> list[float]:
    found = []
    for sample in samples():
        picture = decode_image(sample.path.read_bytes())
        (finding,) = await evaluator.aevaluate([picture], "", sample.question)
        found.append(finding.score)
    return found


def test_a_category_is_what_the_same_weights_would_write(chat_server: str) -> None:
    form = replace(FIRST, begins_answers=True)
    sample = samples()[0]
    picture = decode_image(sample.path.read_bytes())
    name = there(chat_server, form).categorize(picture, sample.question)
    assert name
    assert name == here(form).categorize(picture, sample.question)
