"""The suite for engines can fail: each broken part fails the rule it breaks."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from eta_guard.protocols import Candidate, Completion, Sampling, Watch
from eta_guard.testing import EngineTests

from .broken import Broken, fails
from .fakes import Engine, Talk

broken = Broken()


class TestEngine(EngineTests):
    @pytest.fixture
    def engine(self) -> Engine:
        return Engine()


def talks(talk: type[Talk]) -> type[Engine]:
    return type(talk.__name__, (Engine,), {"talk": talk})


@broken.breaks("test_an_answer_begins_with_its_prefix")
@broken.breaks("test_what_is_accepted_stands_in_the_answer")
@talks
class OnlyTheRest(Talk):
    def finish(self) -> Completion:
        return Completion(self.drawn(4, self.text).strip(), "stop")


@broken.breaks("test_a_proposal_has_as_many_candidates_as_were_asked_for")
@talks
class Lazy(Talk):
    def propose(self, n: int, sampling: Sampling) -> list[Candidate]:
        return super().propose(1, sampling)


@broken.breaks("test_a_proposal_has_as_many_candidates_as_were_asked_for")
@talks
class Uncut(Talk):
    def propose(self, n: int, sampling: Sampling) -> list[Candidate]:
        most = sampling.max_sentence_tokens + 1
        self.proposed = [Candidate("x" * most, (1,) * most, None) for _ in range(n)]
        return self.proposed


@talks
class InBytes(Talk):
    """A character is three tokens to it."""

    def propose(self, n: int, sampling: Sampling) -> list[Candidate]:
        most = sampling.max_sentence_tokens
        self.proposed = [Candidate("。" * most, (1,) * 3 * most, None) for _ in range(n)]
        return self.proposed


def test_a_cap_may_be_counted_in_characters() -> None:
    engine: Any = InBytes  # the class of engines that it has been made
    TestEngine().test_a_proposal_has_as_many_candidates_as_were_asked_for(engine())


@broken.breaks("test_equal_seeds_draw_equal_candidates")
@broken.breaks("test_a_search_can_be_taken_up_again")
@talks
class Unseeded(Talk):
    def drawn(self, count: int, *key: object) -> str:
        return super().drawn(count, random.random())


@broken.breaks("test_prefill_begins_anew")
@talks
class Counting(Talk):
    def prefill(self, prefix: str, accepted: Sequence[Candidate] = ()) -> None:
        before = self.sentence
        super().prefill(prefix, accepted)
        self.sentence += before


@broken.breaks("test_a_search_keeps_to_the_budget")
@talks
class Endless(Talk):
    def propose(self, n: int, sampling: Sampling) -> list[Candidate]:
        self.proposed = [Candidate(self.drawn(4, i), (1,) * 4, None) for i in range(n)]
        return self.proposed


@broken.breaks("test_an_answer_keeps_to_its_budget")
@talks
class Spendthrift(Talk):
    def reason(self, over: bool) -> Any:
        return "stop"


@broken.breaks("test_an_answer_is_cut_before_a_stop_text")
@talks
class Unstoppable(Talk):
    def answer(self, watch: Watch | None = None) -> Completion:
        return Completion(self.drawn(12, "plain").strip(), "stop")


@broken.breaks("test_a_watch_sees_the_text_grow")
@talks
class InPieces(Talk):
    def answer(self, watch: Watch | None = None) -> Completion:
        whole = super().answer()
        for word in whole.text.split() if watch else ():
            assert watch
            watch(word)
        return whole


@broken.breaks("test_a_watch_can_end_the_answer")
@talks
class Unheeding(Talk):
    def answer(self, watch: Watch | None = None) -> Completion:
        if watch:
            watch("something else")
        return super().answer()


@broken.breaks("test_neither_session_nor_answer_shows_its_text")
@broken.breaks("test_neither_session_nor_candidate_shows_its_text")
@talks
class Talkative(Talk):
    def __repr__(self) -> str:
        return f"Talk({self.answer().text!r}, {[one.text for one in self.proposed]})"


@broken.breaks("test_sessions_do_not_mix")
@broken.breaks("test_sessions_do_not_mix_while_they_search")
class LastOpened(Engine):
    """The last request that was opened is everybody's."""

    def open(self, *asked: Any) -> Talk:
        opened = super().open(*asked)
        self.about = opened.about
        engine = self

        class Mixed(Talk):
            def drawn(self, count: int, *key: object) -> str:
                self.about = engine.about
                return super().drawn(count, *key)

        return Mixed(opened.about, opened.generation)


@broken.breaks("test_searched_asynchronously_it_is_the_same")
@talks
class OtherwiseAsynchronous(Talk):
    async def afinish(self) -> Completion:
        return Completion(self.text, "stop")


@broken.cases
def test_a_broken_part_fails_its_rule(rule: str, part: type) -> None:
    fails(TestEngine, rule, part)
