"""The rules for the aligned answers of an ``Engine``: prefill, propose, accept, finish."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import BaseMessage

from eta_guard.protocols import Candidate, Engine, EngineSession
from eta_guard.testing.common import awaited, in_threads
from eta_guard.testing.engine_base import EngineBase

_ROUNDS = 3


class EngineSearchTests(EngineBase):
    """How the engine continues a text that is not its own."""

    def begun(self, engine: Engine, **settings: Any) -> EngineSession:
        """A session that has begun an answer with the prefix."""
        session = self.open(engine, **settings)
        session.prefill(self.prefix)
        return session

    def proposed(self, session: EngineSession, n: int = 2) -> list[str]:
        """The texts of a proposal."""
        return [candidate.text for candidate in session.propose(n, self.sampling)]

    def searched(self, session: EngineSession) -> tuple[list[Candidate], bool]:
        """Up to three candidates, each the first one, and whether the last ends the answer."""
        accepted: list[Candidate] = []
        for _ in range(_ROUNDS):
            accepted.append(session.propose(2, self.sampling)[0])
            session.accept(0)
            if accepted[-1].finish_reason is not None:
                return accepted, True
        return accepted, False

    def test_an_answer_begins_with_its_prefix(self, engine: Engine) -> None:
        """``finish`` gives the whole answer, from its first character on.

        If it fails: put the prefix in front where a model is told of it and leaves it out.
        """
        assert self.check(self.begun(engine).finish()).text.startswith(self.prefix)

    def test_a_prefix_may_be_empty(self, engine: Engine) -> None:
        """An aligned answer may begin from nothing.

        If it fails: see that no empty list of tokens reaches the model.
        """
        session = self.open(engine)
        session.prefill("")
        assert self.check(session.finish()).text.strip()

    def test_a_proposal_has_as_many_candidates_as_were_asked_for(self, engine: Engine) -> None:
        """``propose(n)`` gives ``n`` candidates that have a text, or end the answer.

        None is longer than ``max_sentence_tokens``, in tokens or, where a character takes several
        of them, in characters.

        If it fails: one that fails may be left out where others come, but not in this test; one
        that has no end by then is cut.
        """
        for n in (1, 3):
            candidates = self.begun(engine).propose(n, self.sampling)
            assert len(candidates) == n
            for one in candidates:
                assert isinstance(one, Candidate)
                assert one.finish_reason in (None, "stop", "length")
                assert one.text or one.finish_reason is not None
                most = self.sampling.max_sentence_tokens
                assert len(one.token_ids) <= most or len(one.text) <= most

    def test_what_is_accepted_stands_in_the_answer(self, engine: Engine) -> None:
        """The answer begins with prefix and accepted candidates, spacing included.

        If it fails: ``accepted text + candidate.text`` is the text so far; a tokenizer that drops
        a leading space needs the text decoded as a whole.
        """
        session = self.begun(engine)
        accepted, over = self.searched(session)
        if over:
            pytest.skip("The answer ended within the search; try another question.")
        text = self.prefix + "".join(one.text for one in accepted)
        assert self.check(session.finish()).text.startswith(text.strip())

    def test_candidates_that_are_not_accepted_leave_nothing_behind(self, engine: Engine) -> None:
        """The last candidate may be accepted, and another proposal thrown away.

        If it fails: of the cache, only what belongs to the accepted candidate may be kept.
        """
        self.require_reproducible()
        session = self.begun(engine)
        chosen = session.propose(3, self.sampling)[2]
        session.accept(2)
        if chosen.finish_reason is not None:
            pytest.skip("The answer ended within the search; try another question.")
        resumed = self.open(engine)
        resumed.prefill(self.prefix, [chosen])
        assert session.finish().text == resumed.finish().text

    def test_a_search_can_be_taken_up_again(self, engine: Engine) -> None:
        """Another session goes on from prefix and accepted candidates as the first would have.

        If it fails: draws are a function of seed, sentence, candidate and step, and what is
        accepted counts as sentences.
        """
        self.require_reproducible()
        session = self.begun(engine)
        accepted, over = self.searched(session)
        if over:
            accepted = accepted[:-1]
            session = self.open(engine)
            session.prefill(self.prefix, accepted)
        resumed = self.open(engine)
        resumed.prefill(self.prefix, accepted)
        assert self.proposed(resumed) == self.proposed(session)

    def test_prefill_begins_anew(self, engine: Engine) -> None:
        """A second ``prefill`` forgets what was accepted after the first.

        If it fails: see that the number of the sentence starts again, too.
        """
        self.require_reproducible()
        session = self.begun(engine)
        first = self.proposed(session)
        session.accept(0)
        session.prefill(self.prefix)
        assert self.proposed(session) == first

    def test_a_plain_answer_before_changes_nothing(self, engine: Engine) -> None:
        """A prompt is read once and answered in more than one way.

        If it fails: the plain answer's cache is not the aligned one's.
        """
        self.require_reproducible()
        session = self.open(engine)
        session.answer()
        session.prefill(self.prefix)
        assert self.proposed(session) == self.proposed(self.begun(engine))

    def test_equal_seeds_draw_equal_candidates(self, engine: Engine) -> None:
        """Candidates are a function of the seed, whatever else was drawn before.

        If it fails: give each draw a generator of its own; see ``is_reproducible``.
        """
        self.require_reproducible()
        expected = self.proposed(self.begun(engine, seed=7), 3)
        self.proposed(self.begun(engine, seed=8))
        assert self.proposed(self.begun(engine, seed=7), 3) == expected

    def test_sessions_do_not_mix_while_they_search(self, engine: Engine) -> None:
        """Two searches that go on at the same time go as each would alone.

        If it fails: what belongs to a request stands on the engine.
        """
        self.require_reproducible()
        asked = [self.messages(), self.messages("Please describe the colours.", "blue")]

        def begun(messages: list[BaseMessage]) -> EngineSession:
            session = self.open(engine, messages)
            session.prefill(self.prefix)
            return session

        expected = [self.searched(begun(messages))[0] for messages in asked]
        sessions = [begun(messages) for messages in asked]
        found: list[list[Candidate]] = [[], []]
        for _ in range(_ROUNDS):
            for number, session in enumerate(sessions):
                if found[number] and found[number][-1].finish_reason is not None:
                    continue
                found[number].append(session.propose(2, self.sampling)[0])
                session.accept(0)
        assert [[one.text for one in texts] for texts in found] == [
            [one.text for one in texts] for texts in expected
        ]

    def test_threads_search_as_they_would_alone(self, engine: Engine) -> None:
        """Several searches at the same time, in as many threads.

        If it fails: let one request compute at a time, or keep nothing on the engine.
        """
        colours = ["red", "blue", "red", "blue"]

        def search(colour: str) -> list[str]:
            session = self.open(engine, self.messages(None, colour))
            session.prefill(self.prefix)
            return self.proposed(session)

        found = in_threads(search, colours)
        if self.is_reproducible:
            assert found == list(map(search, colours))

    def test_a_search_keeps_to_the_budget(self, engine: Engine) -> None:
        """The candidate that spends the last token of ``max_tokens`` ends the answer.

        If it fails: the prefix counts, too; a candidate that ends the answer for its length says
        ``"length"``, or else the next proposal has no room.
        """
        if not self.supports_budget:
            pytest.skip("supports_budget is False.")
        session, spent = self.begun(engine), 0
        for _ in range(self.generation.max_tokens):
            (candidate,) = session.propose(1, self.sampling)
            session.accept(0)
            spent += len(candidate.token_ids)
            assert spent <= self.generation.max_tokens
            if candidate.finish_reason is not None:
                return
        pytest.fail("The search went on after max_tokens proposals.")

    def test_neither_session_nor_candidate_shows_its_text(self, engine: Engine) -> None:
        """No ``repr`` holds a candidate, or what was accepted.

        If it fails: write a ``__repr__``, or leave the field out of it.
        """
        session = self.begun(engine)
        candidates = session.propose(2, self.sampling)
        session.accept(0)
        for text in (one.text.strip() for one in candidates):
            assert not text or text not in repr(session)
            assert not text or text not in repr(candidates)

    def test_searched_asynchronously_it_is_the_same(self, engine: Engine) -> None:
        """``apropose`` and ``afinish``, where sessions have them, do as the others do.

        If it fails: let both share all but the waiting.
        """
        session: Any = self.begun(engine)
        if not hasattr(session, "apropose"):
            pytest.skip("Its sessions have no apropose.")

        async def ask() -> tuple[list[str], str]:
            found = await session.apropose(2, self.sampling)
            session.prefill(self.prefix)
            return [one.text for one in found], (await session.afinish()).text

        texts, whole = awaited(ask())
        assert len(texts) == 2
        assert whole.startswith(self.prefix)
        if self.is_reproducible:
            other = self.begun(engine)
            assert (self.proposed(other), self.begun(engine).finish().text) == (texts, whole)
