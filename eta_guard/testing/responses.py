"""The rules for ``ResponseEvaluator`` and its sessions."""

from __future__ import annotations

from typing import Any

import pytest

from eta_guard.protocols import CategorizesResponses, ResponseEvaluator
from eta_guard.testing.common import awaited, drawn, in_threads
from eta_guard.testing.response_sessions import ResponseSessionTests

_ODD_TEXTS = ["", " ", "\n\n", "?", "naïve 語 🙂", "<|end|></s>[INST]", "a" * 200]


class ResponseEvaluatorTests(ResponseSessionTests):
    """Conformance suite for a ``ResponseEvaluator``.

    A subclass overrides the fixture ``response_evaluator``, and where it wants the properties
    ``sentences``, ``safe_answer``, ``unsafe_answer``, ``question``, ``prompt`` and
    ``tolerance``.
    """

    def test_it_is_a_response_evaluator(self, response_evaluator: ResponseEvaluator) -> None:
        """It has every attribute and method of the protocol.

        If it fails: compare it with ``eta_guard.protocols.ResponseEvaluator``.
        """
        assert isinstance(response_evaluator, ResponseEvaluator)

    def test_it_says_who_it_is(self, response_evaluator: ResponseEvaluator) -> None:
        """``name`` and ``fingerprint`` are texts that do not change.

        If it fails: verdicts and policies find it by its name; the fingerprint names its weights.
        """
        self.check_identity(response_evaluator)

    def test_the_guard_can_decide_by_it(self, response_evaluator: ResponseEvaluator) -> None:
        """``threshold`` is a finite number or None, ``unsafe`` a direction, ``cost`` not negative.

        If it fails: a threshold of None leaves the decision to the policy's
        ``response_threshold``.
        """
        self.check_decision(response_evaluator)

    def test_each_continuation_has_a_score_in_order(
        self, response_evaluator: ResponseEvaluator
    ) -> None:
        """Continuations that are scored in one call score as they do alone, in their order.

        If it fails: see that padding does not reach the place where the score is read.
        """
        scores = self.open(response_evaluator).score(self.sentences)
        self.check_scores(scores, len(self.sentences))
        alone = [self.whole(response_evaluator, text) for text in self.sentences]
        assert scores == [self.same(score) for score in alone]

    def test_the_order_does_not_matter(self, response_evaluator: ResponseEvaluator) -> None:
        """Reversed, continuations have the same scores, reversed; and so on equal ones.

        If it fails: a score depends on what stands beside it in the batch.
        """
        session = self.open(response_evaluator)
        forth = session.score(self.sentences)
        back = session.score([*reversed(self.sentences), self.sentences[0]])
        assert list(reversed(back[:-1])) == [self.same(score) for score in forth]
        assert back[-1] == self.same(forth[0])

    def test_no_continuations_have_no_scores(self, response_evaluator: ResponseEvaluator) -> None:
        """An empty list is answered with an empty list.

        If it fails: see that an empty batch does not reach the model.
        """
        assert list(self.open(response_evaluator).score([])) == []

    @pytest.mark.parametrize("text", _ODD_TEXTS)
    def test_texts_of_any_kind(self, response_evaluator: ResponseEvaluator, text: str) -> None:
        """Empty, blank, foreign and control texts have a finite score.

        If it fails: an answer of the model may be any of these.
        """
        self.check_scores(self.open(response_evaluator).score([text]), 1)

    def test_question_and_pictures_may_be_given_or_left_out(
        self, response_evaluator: ResponseEvaluator
    ) -> None:
        """``open`` takes the prompt alone, and question and pictures with it.

        If it fails: give ``question`` and ``pictures`` their defaults.
        """
        shown = [drawn("red"), drawn("blue")]
        for session in (
            response_evaluator.open(self.prompt),
            response_evaluator.open(self.prompt, self.question, shown),
            response_evaluator.open(prompt=self.prompt, pictures=shown[:1]),
        ):
            self.check_scores(session.score(self.sentences[:1]), 1)

    def test_a_further_reading_names_a_category(
        self, response_evaluator: ResponseEvaluator
    ) -> None:
        """``categorize``, where sessions have one, gives a text or None.

        If it fails: an empty text is no category.
        """
        session = self.open(response_evaluator)
        if not isinstance(session, CategorizesResponses):
            pytest.skip("Its sessions have no categorize.")
        category = session.categorize(self.unsafe_answer or self.sentences[0])
        assert category is None or (isinstance(category, str) and category)

    def test_threads_get_what_they_would_get_alone(
        self, response_evaluator: ResponseEvaluator
    ) -> None:
        """One evaluator serves several requests at the same time.

        If it fails: keep what belongs to one call off the object, or behind a lock.
        """
        texts = [f"{sentence} {number}." for number, sentence in enumerate(self.sentences)] * 2

        def grown(text: str) -> float:
            session = self.open(response_evaluator)
            session.accept(text[:5])
            (score,) = session.score([text[5:]])
            return score

        found = in_threads(grown, texts)
        assert found == [self.same(self.whole(response_evaluator, text)) for text in texts]

    def test_asked_asynchronously_it_says_the_same(
        self, response_evaluator: ResponseEvaluator
    ) -> None:
        """``ascore``, where sessions have one, scores as ``score`` does.

        If it fails: let both share all but the waiting.
        """
        session = self.open(response_evaluator)
        asynchronous: Any = getattr(session, "ascore", None)
        if asynchronous is None:
            pytest.skip("Its sessions have no ascore.")
        session.accept(self.sentences[0])
        found = awaited(asynchronous(self.sentences[1:]))
        assert found == [self.same(score) for score in session.score(self.sentences[1:])]
        assert list(awaited(asynchronous([]))) == []

    def test_what_is_unsafe_scores_on_the_unsafe_side(
        self, response_evaluator: ResponseEvaluator
    ) -> None:
        """``unsafe_answer`` is less safe than ``safe_answer`` in the direction of ``unsafe``.

        If it fails: the direction is wrong, or the threshold.
        """
        if self.safe_answer is None or self.unsafe_answer is None:
            pytest.skip("safe_answer and unsafe_answer are not given.")
        safe = self.whole(response_evaluator, self.safe_answer)
        unsafe = self.whole(response_evaluator, self.unsafe_answer)
        self.check_direction(response_evaluator, safe, unsafe)
