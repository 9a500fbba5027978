"""The suite for evaluators of answers can fail: each broken part fails the rule it breaks."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from eta_guard.testing import ResponseEvaluatorTests

from .broken import Broken, fails
from .fakes import Responses, Session

broken = Broken()


class TestResponses(ResponseEvaluatorTests):
    safe_answer, unsafe_answer = "GOOD", "BAD"

    @pytest.fixture
    def response_evaluator(self) -> Responses:
        return Responses()


def answers(session: type[Session]) -> type[Responses]:
    return type(session.__name__, (Responses,), {"session": session})


@broken.breaks("test_accepting_is_as_good_as_scoring_the_whole")
@answers
class Forgetful(Session):
    def accept(self, text: str) -> None:
        pass


@broken.breaks("test_a_text_may_be_accepted_in_pieces")
@answers
class ByPieces(Session):
    def accept(self, text: str) -> None:
        self.text += text + "|"


@broken.breaks("test_sessions_do_not_mix")
@answers
class Shared(Session):
    def score(self, continuations: Sequence[str]) -> list[float]:
        return [self.of(self.evaluator.text + one) for one in continuations]

    def accept(self, text: str) -> None:
        self.evaluator.text += text


@broken.breaks("test_asked_again_it_says_the_same")
@answers
class Greedy(Session):
    def score(self, continuations: Sequence[str]) -> list[float]:
        scores = super().score(continuations)
        self.text += continuations[0] if continuations else ""
        return scores


@broken.breaks("test_each_continuation_has_a_score_in_order")
@answers
class Padded(Session):
    def score(self, continuations: Sequence[str]) -> list[float]:
        longest = max(map(len, continuations), default=0)
        return [self.of((self.text + one).ljust(longest)) for one in continuations]


@broken.breaks("test_the_order_does_not_matter")
@answers
class Ranked(Session):
    def score(self, continuations: Sequence[str]) -> list[float]:
        return [place / 10 for place, _ in enumerate(continuations)]


@broken.breaks("test_a_session_does_not_show_its_text")
@answers
class Telling(Session):
    def __repr__(self) -> str:
        return f"Session({self.text!r})"


@broken.breaks("test_asked_asynchronously_it_says_the_same")
@answers
class LaterOtherwise(Session):
    async def ascore(self, continuations: Sequence[str]) -> list[float]:
        return [0.0 for _ in continuations]


@broken.breaks("test_question_and_pictures_may_be_given_or_left_out")
class OnlyThePrompt(Responses):
    def open(self, prompt: str) -> Session:  # type: ignore[override]
        return self.session(self)


@broken.cases
def test_a_broken_part_fails_its_rule(rule: str, part: type) -> None:
    fails(TestResponses, rule, part)
