"""The rules for the sessions of a ``ResponseEvaluator``: how an answer grows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from eta_guard.prompts import POST_PROMPT
from eta_guard.protocols import ResponseEvaluator, ResponseSession
from eta_guard.testing.evaluators import EvaluatorTests


class ResponseSessionTests(EvaluatorTests):
    """What an evaluator is asked with, and what holds while an answer grows."""

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

    def test_a_session_does_not_show_its_text(self, response_evaluator: ResponseEvaluator) -> None:
        """The ``repr`` of a session holds no text: drafts would end up in logs.

        If it fails: write a ``__repr__``, or leave the field out of it.
        """
        session = self.open(response_evaluator)
        session.accept("CANARY")
        session.score(["SONGBIRD"])
        assert "CANARY" not in repr(session)
        assert "SONGBIRD" not in repr(session)
