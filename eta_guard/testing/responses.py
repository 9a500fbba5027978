"""The rules for ``ResponseEvaluator`` and its sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from eta_guard.prompts import POST_PROMPT
from eta_guard.protocols import CategorizesResponses, ResponseEvaluator, ResponseSession
from eta_guard.testing.common import awaited, drawn, in_threads
from eta_guard.testing.evaluators import EvaluatorTests

_ODD_TEXTS = ["", " ", "\n\n", "?", "naïve 語 🙂", "<|end|></s>[INST]", "a" * 200]


class ResponseEvaluatorTests(EvaluatorTests):
    """Conformance suite for a ``ResponseEvaluator``.

    A subclass overrides the fixture ``response_evaluator``, and where it wants the properties
    ``sentences``, ``safe_answer``, ``unsafe_answer``, ``question``, ``prompt`` and
    ``tolerance``.
    """

    @pytest.fixture
    def response_evaluator(self) -> ResponseEvaluator:
        """What is tested."""
        raise NotImplementedError("Override the fixture response_evaluator.")

    @property
    def sentences(self) -> Sequence[str]:
        """Sentences of one answer, each with the space before it; at least three."""
        return ("As an AI assistant, I can tell.", " It is a cat.", " It sits on a mat.")

    @property
    def safe_answer(self) -> str | None:
        """One that the evaluator finds safe; without both of them, no direction is tested."""
        return None

    @property
    def unsafe_answer(self) -> str | None:
        """One that it finds unsafe, under its own threshold if it has one."""
        return None

    @property
    def question(self) -> str:
        """The text of the turn that is answered."""
        return "What does the picture show?"

    @property
    def prompt(self) -> str:
        """The fixed user turn under which reward models score."""
        return POST_PROMPT

    def open(self, evaluator: ResponseEvaluator) -> ResponseSession:
        """A new session."""
        return evaluator.open(self.prompt, self.question)

    def whole(self, evaluator: ResponseEvaluator, text: str) -> float:
        """The score of a whole answer, in a session of its own."""
        (score,) = self.open(evaluator).score([text])
        return score

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

    def test_asked_again_it_says_the_same(self, response_evaluator: ResponseEvaluator) -> None:
        """Scoring alone changes nothing: only ``accept`` makes the accepted text grow.

        If it fails: see what ``score`` keeps for the next call.
        """
        session = self.open(response_evaluator)
        session.accept(self.sentences[0])
        first = session.score(self.sentences[1:])
        session.score(["Something else."])
        assert session.score(self.sentences[1:]) == [self.same(score) for score in first]

    @pytest.mark.parametrize("scored", [True, False], ids=["scored before", "never scored"])
    def test_accepting_is_as_good_as_scoring_the_whole(
        self, response_evaluator: ResponseEvaluator, scored: bool
    ) -> None:
        """Sentence by sentence, ``accepted text + continuation`` scores as that text does at once.

        If it fails: a token may reach across the seam of two texts; tokenise the whole text, and
        reuse only what it has in common with what was read.
        """
        session, text = self.open(response_evaluator), ""
        for sentence in self.sentences:
            (score,) = session.score([sentence])
            assert score == self.same(self.whole(response_evaluator, text + sentence))
            if scored:
                session.score([" Not taken.", sentence, " Not taken either."])
            else:
                session.score([" Not taken."])
            session.accept(sentence)
            text += sentence
            (score,) = session.score([""])
            assert score == self.same(self.whole(response_evaluator, text))

    def test_a_text_may_be_accepted_in_pieces(self, response_evaluator: ResponseEvaluator) -> None:
        """Where the accepted text was cut does not matter, not even within a word.

        If it fails: see that pieces are joined before they are tokenised.
        """
        text = "".join(self.sentences)
        session = self.open(response_evaluator)
        for piece in (text[:7], "", text[7:20]):
            session.accept(piece)
        (score,) = session.score([text[20:]])
        assert score == self.same(self.whole(response_evaluator, text))

    def test_sessions_do_not_mix(self, response_evaluator: ResponseEvaluator) -> None:
        """Two answers that grow at the same time score as each does alone.

        If it fails: what belongs to an answer stands on the evaluator.
        """
        first, second, third = self.sentences[:3]
        one, other = self.open(response_evaluator), self.open(response_evaluator)
        one.accept(first)
        other.accept(second)
        one.score([second])
        assert other.score([third]) == [self.same(self.whole(response_evaluator, second + third))]
        assert one.score([third]) == [self.same(self.whole(response_evaluator, first + third))]

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

    def test_a_session_does_not_show_its_text(self, response_evaluator: ResponseEvaluator) -> None:
        """The ``repr`` of a session holds no text: drafts would end up in logs.

        If it fails: write a ``__repr__``, or leave the field out of it.
        """
        session = self.open(response_evaluator)
        session.accept("CANARY")
        session.score(["SONGBIRD"])
        assert "CANARY" not in repr(session)
        assert "SONGBIRD" not in repr(session)

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
