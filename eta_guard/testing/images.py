"""The rules for ``ImageEvaluator``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from PIL.Image import Image

from eta_guard.prompts import SAFETY_PROMPT
from eta_guard.protocols import CategorizesImages, Finding, ImageEvaluator
from eta_guard.testing.common import awaited, drawn, in_threads
from eta_guard.testing.evaluators import EvaluatorTests

_ODD_SIZES = [(1, 1), (2, 3), (1, 4000), (4000, 1), (333, 17)]
_ODD_MODES = ["RGBA", "L", "P", "1"]


class ImageEvaluatorTests(EvaluatorTests):
    """Conformance suite for an ``ImageEvaluator``.

    A subclass overrides the fixture ``image_evaluator``, and where it wants the properties
    ``pictures``, ``safe_picture``, ``unsafe_picture``, ``question``, ``safety_prompt``
    and ``tolerance``.
    """

    @pytest.fixture
    def image_evaluator(self) -> ImageEvaluator:
        """What is tested."""
        raise NotImplementedError("Override the fixture image_evaluator.")

    @property
    def pictures(self) -> Sequence[Image]:
        """Pictures that differ; at least two."""
        return [drawn("red"), drawn("blue"), drawn("black", (64, 64))]

    @property
    def safe_picture(self) -> Image | None:
        """One that the evaluator finds safe; without both of them, no direction is tested."""
        return None

    @property
    def unsafe_picture(self) -> Image | None:
        """One that it finds unsafe, under its own threshold if it has one."""
        return None

    @property
    def question(self) -> str:
        """The text of the turn that is answered."""
        return "What does the picture show?"

    @property
    def safety_prompt(self) -> str:
        """What pictures are compared with."""
        return SAFETY_PROMPT

    def scores(self, evaluator: ImageEvaluator, pictures: Sequence[Image]) -> list[float]:
        """The scores of pictures, in one call."""
        found = evaluator.evaluate(pictures, self.safety_prompt, self.question)
        return [one.score for one in found]

    def test_it_is_an_image_evaluator(self, image_evaluator: ImageEvaluator) -> None:
        """It has every attribute and method of the protocol.

        If it fails: compare it with ``eta_guard.protocols.ImageEvaluator``.
        """
        assert isinstance(image_evaluator, ImageEvaluator)

    def test_it_says_who_it_is(self, image_evaluator: ImageEvaluator) -> None:
        """``name`` and ``fingerprint`` are texts that do not change.

        If it fails: verdicts and policies find it by its name; the fingerprint names its weights.
        """
        self.check_identity(image_evaluator)

    def test_the_guard_can_decide_by_it(self, image_evaluator: ImageEvaluator) -> None:
        """``threshold`` is a finite number or None, ``unsafe`` a direction, ``cost`` not negative.

        If it fails: a threshold of None leaves the decision to the policy's ``image_threshold``.
        """
        self.check_decision(image_evaluator)

    def test_each_picture_has_a_finding_in_order(self, image_evaluator: ImageEvaluator) -> None:
        """Pictures that are evaluated in one call score as they do alone, in their order.

        If it fails: see that findings are not sorted, and not missing for pictures that are known.
        """
        found = list(image_evaluator.evaluate(self.pictures, self.safety_prompt, self.question))
        assert all(isinstance(one, Finding) for one in found)
        self.check_scores([one.score for one in found], len(self.pictures))
        alone = [self.scores(image_evaluator, [picture])[0] for picture in self.pictures]
        assert [one.score for one in found] == [self.same(score) for score in alone]

    def test_the_order_does_not_matter(self, image_evaluator: ImageEvaluator) -> None:
        """Reversed, pictures have the same scores, reversed.

        If it fails: a score depends on what stands beside it in the batch.
        """
        forth = self.scores(image_evaluator, self.pictures)
        back = self.scores(image_evaluator, list(reversed(self.pictures)))
        assert list(reversed(back)) == [self.same(score) for score in forth]

    def test_asked_again_it_says_the_same(self, image_evaluator: ImageEvaluator) -> None:
        """A picture has one finding, however often it is asked about, and beside which others.

        If it fails: agents resend their history, and a picture must not change its mind. A copy of
        a picture is the same picture: keep findings by pixels.
        """
        first, *others = self.pictures
        ask = (self.safety_prompt, self.question)
        (before,) = image_evaluator.evaluate([first], *ask)
        image_evaluator.evaluate(others, *ask)
        again = image_evaluator.evaluate([first.copy(), *others, first], *ask)
        assert [again[0].score, again[-1].score] == [self.same(before.score)] * 2
        assert {again[0].category, again[-1].category} == {before.category}

    def test_no_pictures_have_no_findings(self, image_evaluator: ImageEvaluator) -> None:
        """An empty list is answered with an empty list.

        If it fails: see that an empty batch does not reach the model.
        """
        assert list(image_evaluator.evaluate([], self.safety_prompt, self.question)) == []

    @pytest.mark.parametrize("size", _ODD_SIZES)
    def test_pictures_of_any_size(
        self, image_evaluator: ImageEvaluator, size: tuple[int, int]
    ) -> None:
        """A single pixel and a strip of one pixel's width have a score like any other.

        If it fails: resizing the *shorter* side makes a strip endless; bound the aspect first.
        """
        self.check_scores(self.scores(image_evaluator, [drawn("red", size)]), 1)

    @pytest.mark.parametrize("mode", _ODD_MODES)
    def test_pictures_of_any_mode(self, image_evaluator: ImageEvaluator, mode: str) -> None:
        """Transparency, grey, palettes and bits do not break it, though the guard gives RGB.

        If it fails: begin with ``image.convert("RGB")``.
        """
        self.check_scores(self.scores(image_evaluator, [drawn("red").convert(mode)]), 1)

    def test_the_question_may_be_left_out(self, image_evaluator: ImageEvaluator) -> None:
        """Without a question there is a finding, too.

        If it fails: give ``question`` its default, the empty text.
        """
        found = image_evaluator.evaluate(self.pictures, self.safety_prompt)
        self.check_scores([one.score for one in found], len(self.pictures))

    def test_a_picture_stays_as_it_is(self, image_evaluator: ImageEvaluator) -> None:
        """The caller's pictures are not changed: the chat model is shown them afterwards.

        If it fails: work on a copy.
        """
        picture = drawn("red")
        before = (picture.mode, picture.size, picture.tobytes())
        self.scores(image_evaluator, [picture])
        assert (picture.mode, picture.size, picture.tobytes()) == before

    def test_regions_and_categories(self, image_evaluator: ImageEvaluator) -> None:
        """Regions lie within the picture, in shares of it; a category is a text.

        If it fails: divide by width and height, and leave out regions that are empty.
        """
        pictures = [*self.pictures, *filter(None, [self.unsafe_picture])]
        for found in image_evaluator.evaluate(pictures, self.safety_prompt, self.question):
            assert found.category is None or (isinstance(found.category, str) and found.category)
            for region in found.regions:
                assert 0 <= region.left < region.right <= 1, region
                assert 0 <= region.top < region.bottom <= 1, region
                if region.score is not None:
                    self.check_scores([region.score], 1)

    def test_a_further_reading_names_a_category(self, image_evaluator: ImageEvaluator) -> None:
        """``categorize``, where there is one, gives a text or None.

        If it fails: an empty text is no category.
        """
        if not isinstance(image_evaluator, CategorizesImages):
            pytest.skip("It has no categorize.")
        for picture in self.pictures:
            category = image_evaluator.categorize(picture, self.question)
            assert category is None or (isinstance(category, str) and category)

    def test_threads_get_what_they_would_get_alone(self, image_evaluator: ImageEvaluator) -> None:
        """One evaluator serves several requests at the same time.

        If it fails: keep what belongs to one call off the object, or behind a lock.
        """
        pictures = [drawn(colour) for colour in ("orange", "purple", "green", "brown")]
        found = in_threads(lambda one: self.scores(image_evaluator, [one])[0], pictures * 2)
        alone = [self.scores(image_evaluator, [one])[0] for one in pictures]
        assert found == [self.same(score) for score in alone * 2]

    def test_asked_asynchronously_it_says_the_same(self, image_evaluator: ImageEvaluator) -> None:
        """``aevaluate``, where there is one, finds what ``evaluate`` finds.

        If it fails: let both share all but the waiting.
        """
        asynchronous: Any = getattr(image_evaluator, "aevaluate", None)
        if asynchronous is None:
            pytest.skip("It has no aevaluate.")
        pictures = [drawn("teal"), drawn("olive"), drawn("teal")]
        found = awaited(asynchronous(pictures, self.safety_prompt, self.question))
        expected = self.scores(image_evaluator, pictures)
        assert [one.score for one in found] == [self.same(score) for score in expected]
        assert list(awaited(asynchronous([], self.safety_prompt, self.question))) == []

    def test_what_is_unsafe_scores_on_the_unsafe_side(
        self, image_evaluator: ImageEvaluator
    ) -> None:
        """``unsafe_picture`` is less safe than ``safe_picture`` in the direction of ``unsafe``.

        If it fails: the direction is wrong, or the threshold.
        """
        if self.safe_picture is None or self.unsafe_picture is None:
            pytest.skip("safe_picture and unsafe_picture are not given.")
        safe, unsafe = self.scores(image_evaluator, [self.safe_picture, self.unsafe_picture])
        self.check_direction(image_evaluator, safe, unsafe)
