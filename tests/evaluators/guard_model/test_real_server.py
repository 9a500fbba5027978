"""A real vLLM tells the verdicts that the same weights give here.

The shipped chat model is no guard, but what it is about to say is as good as a verdict.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL.Image import Image

import eta_guard.embedded
from eta_guard.embedded import Sample, samples
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


@contextmanager
def there(server: str, form: GuardFormat) -> Iterator[Any]:
    with httpx.Client() as client:
        yield GuardModelEvaluator.from_server(f"{server}/v1", "chat", form, client=client)


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_verdicts_on_pictures_are_those_of_the_same_weights_here(
    chat_server: str, form: GuardFormat
) -> None:
    ours = here(form)
    with there(chat_server, form) as theirs:
        found = [_score(theirs, sample) for sample in samples()]
    with there(chat_server, form) as theirs:
        again = asyncio.run(_each(theirs))
    assert again == pytest.approx(found, abs=1e-4, nan_ok=True)
    wanted = [_score(ours, sample) for sample in samples()]
    pairs = list(zip(found, wanted, strict=True))
    told = [pair for pair in pairs if not math.isnan(pair[0])]
    assert len(told) == len(pairs) if form is not SECOND else len(told) >= 3
    for theirs, expected in told:
        # What is not told counts as unsafe.
        assert theirs >= expected - 1e-4
        assert theirs == pytest.approx(expected, abs=1e-2)


def _picture(sample: Sample) -> Image:
    return decode_image(sample.path.read_bytes())


def _score(evaluator: GuardModelEvaluator, sample: Sample) -> float:
    (finding,) = evaluator.evaluate([_picture(sample)], "", sample.question)
    return finding.score


async def _each(evaluator: Any) -> list[float]:
    asked = [evaluator.aevaluate([_picture(one)], "", one.question) for one in samples()]
    return [finding.score for (finding,) in await asyncio.gather(*asked)]


def test_a_category_is_what_the_same_weights_would_write(chat_server: str) -> None:
    form, sample = replace(FIRST, begins_answers=True), samples()[0]
    with there(chat_server, form) as theirs:
        name = theirs.categorize(_picture(sample), sample.question)
    assert name
    assert name == here(form).categorize(_picture(sample), sample.question)
