"""The suite for evaluators of pictures can fail: each broken part fails the rule it breaks."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from typing import Any

import pytest
from PIL.Image import Image

from eta_guard.protocols import Finding, Region
from eta_guard.testing import ImageEvaluatorTests
from eta_guard.testing.common import drawn

from .broken import Broken, fails
from .fakes import Images

broken = Broken()


class TestImages(ImageEvaluatorTests):
    @pytest.fixture
    def image_evaluator(self) -> Images:
        return Images()

    @property
    def safe_picture(self) -> Image:
        return drawn("blue", (8, 8)).convert("L").point(lambda _: 0).convert("RGB")

    @property
    def unsafe_picture(self) -> Image:
        return drawn("red")


@broken.breaks("test_it_is_an_image_evaluator")
class NoCost(Images):
    @property
    def cost(self) -> float:  # type: ignore[override]
        raise AttributeError("cost")


@broken.breaks("test_it_says_who_it_is")
class Nameless(Images):
    name = ""


@broken.breaks("test_it_says_who_it_is")
class Changing(Images):
    @property
    def fingerprint(self) -> str:  # type: ignore[override]
        return f"model@{random.random()}"


@broken.breaks("test_the_guard_can_decide_by_it")
class Sideways(Images):
    unsafe: Any = "over"


@broken.breaks("test_the_guard_can_decide_by_it")
class Limitless(Images):
    threshold = math.inf


@broken.breaks("test_each_picture_has_a_finding_in_order")
class Sorted(Images):
    def evaluate(self, *asked: Any, **more: Any) -> Sequence[Finding]:
        return sorted(super().evaluate(*asked, **more), key=lambda one: one.score)


@broken.breaks("test_each_picture_has_a_finding_in_order")
class NoNumber(Images):
    def score(self, image: Image) -> float:
        return math.nan


@broken.breaks("test_each_picture_has_a_finding_in_order")
class OnlyNew(Images):
    def evaluate(self, images: Sequence[Image], *more: Any, **named: Any) -> Sequence[Finding]:
        return list(super().evaluate(images, *more, **named))[:1]


@broken.breaks("test_the_order_does_not_matter")
class ByPlace(Images):
    def evaluate(self, images: Sequence[Image], *more: Any, **named: Any) -> Sequence[Finding]:
        found = super().evaluate(images, *more, **named)
        return [Finding(one.score + place / 10) for place, one in enumerate(found)]


@broken.breaks("test_asked_again_it_says_the_same")
class Moody(Images):
    asked = 0

    def score(self, image: Image) -> float:
        self.asked += 1
        return super().score(image) + self.asked / 100


@broken.breaks("test_no_pictures_have_no_findings")
class AtLeastOne(Images):
    def evaluate(self, *asked: Any, **more: Any) -> Sequence[Finding]:
        return super().evaluate(*asked, **more) or [Finding(0.0)]


@broken.breaks("test_a_picture_stays_as_it_is")
class Scribbling(Images):
    def score(self, image: Image) -> float:
        image.putpixel((0, 0), (1, 2, 3))
        return 0.0


@broken.breaks("test_regions_and_categories")
class InPixels(Images):
    def evaluate(self, images: Sequence[Image], *more: Any, **named: Any) -> Sequence[Finding]:
        return [
            Finding(0.5, regions=(Region(0, 0, image.width, image.height),)) for image in images
        ]


@broken.breaks("test_threads_get_what_they_would_get_alone")
class OneAtATime(Images):
    def score(self, image: Image) -> float:
        self.shown = image
        time.sleep(0.01)
        return super().score(self.shown)


@broken.breaks("test_asked_asynchronously_it_says_the_same")
class OtherwiseLater(Images):
    async def aevaluate(self, images: Sequence[Image], *more: Any, **named: Any) -> list[Finding]:
        return [Finding(0.0) for _ in images]


@broken.breaks("test_what_is_unsafe_scores_on_the_unsafe_side")
class Reversed(Images):
    unsafe = "below"


@broken.breaks("test_what_is_unsafe_scores_on_the_unsafe_side")
class TooLenient(Images):
    threshold = 1.0


@broken.cases
def test_a_broken_part_fails_its_rule(rule: str, part: type) -> None:
    fails(TestImages, rule, part)


def test_a_strip_that_is_too_much_is_found() -> None:
    class Squares(Images):
        def score(self, image: Image) -> float:
            if max(image.size) > 100 * min(image.size):
                raise MemoryError
            return 0.0

    with pytest.raises(MemoryError):
        TestImages().test_pictures_of_any_size(Squares(), (1, 4000))


def test_a_rule_can_only_be_left_out_for_a_reason() -> None:
    class LeftOut(TestImages):
        def test_the_order_does_not_matter(self, image_evaluator: Any) -> None:
            """Passes whatever it is given."""

    class ForAReason(TestImages):
        @pytest.mark.xfail(reason="its model is a lottery")
        def test_the_order_does_not_matter(self, image_evaluator: Any) -> None:
            raise NotImplementedError

    with pytest.raises(AssertionError, match="test_the_order_does_not_matter"):
        LeftOut().test_no_rule_is_left_out()
    ForAReason().test_no_rule_is_left_out()
