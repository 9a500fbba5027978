"""The rules for plain answers of an ``Engine``."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk, BaseMessage

from eta_guard.protocols import AnswersAlongside, AnswersInChunks, Engine
from eta_guard.testing.common import awaited, drawn, in_threads
from eta_guard.testing.engine_base import EngineBase, shown, spoken


class EngineAnswerTests(EngineBase):
    """Who the engine is, and how it answers without a guard."""

    def test_it_is_an_engine(self, engine: Engine) -> None:
        """It has every attribute and method of the protocol.

        If it fails: compare it with ``eta_guard.protocols.Engine``.
        """
        assert isinstance(engine, Engine)

    def test_it_says_who_it_is(self, engine: Engine) -> None:
        """``fingerprint`` is a text that does not change.

        If it fails: it stands in the verdict, to name the model and its weights.
        """
        named = engine.fingerprint
        assert isinstance(named, str)
        assert named.strip() == named != ""
        assert engine.fingerprint == named

    def test_it_answers(self, engine: Engine) -> None:
        """An answer is a ``Completion`` with some text.

        If it fails: a model that has nothing to say to ``question`` needs another one.
        """
        assert self.check(self.open(engine).answer()).text.strip()

    def test_a_new_session_answers_the_same(self, engine: Engine) -> None:
        """Plain answers are a function of conversation and settings.

        If it fails: a draft is drawn again when a run resumes; see ``is_reproducible``.
        """
        self.require_reproducible()
        assert self.open(engine).answer().text == self.open(engine).answer().text

    def test_it_answers_text_alone_and_several_turns(self, engine: Engine) -> None:
        """Conversations without a picture, with a tiny one, and with an earlier answer.

        If it fails: see how the chat template takes a list of blocks, and an assistant's turn.
        """
        tiny = drawn("red", (1, 1)) if self.supports_pictures else None
        conversations: list[list[BaseMessage]] = [
            [shown(self.question, None)],
            [shown(self.question, tiny)],
            spoken(self.question, "It is a cat.", "And where is it?", tiny),
        ]
        for messages in conversations:
            self.check(self.open(engine, messages).answer())

    def test_a_watch_sees_the_text_grow(self, engine: Engine) -> None:
        """Each text begins with the one before, and the last one is the answer.

        If it fails: hold back what may be the beginning of a stop text or of half a character.
        """
        texts: list[str] = []

        def watch(text: str) -> bool:
            texts.append(text)
            return False

        answer = self.check(self.open(engine).answer(watch))
        if not texts:
            pytest.skip("It gets answers whole, and never calls a watch.")
        assert all(after.startswith(before) for before, after in pairwise(texts))
        assert texts[-1] == answer.text

    def test_a_watch_can_end_the_answer(self, engine: Engine) -> None:
        """An answer whose watch returned True is what the watch was shown.

        If it fails: the guard ends a draft so that nothing more of it is drawn.
        """
        seen: list[str] = []

        def first(text: str) -> bool:
            seen.append(text)
            return bool(text.strip())

        answer = self.check(self.open(engine).answer(first))
        if not seen:
            pytest.skip("It gets answers whole, and never calls a watch.")
        if self.is_reproducible:
            whole = self.open(engine).answer().text
            assert whole.startswith(answer.text.strip())
            assert len(answer.text) <= len(whole)
        assert answer.text.strip().startswith(seen[0].strip())

    def test_an_answer_is_cut_before_a_stop_text(self, engine: Engine) -> None:
        """What comes from the stop text on is not part of the answer.

        If it fails: ``Generation.cut`` cuts a text, for models that do not know stop texts.
        """
        self.require_reproducible()
        whole = self.open(engine).answer().text
        stop = whole[len(whole) // 2 :][:3]
        if not stop:
            pytest.skip("The answer is too short to be cut.")
        cut = self.check(self.open(engine, stop=[stop]).answer()).text
        assert stop not in cut
        assert cut.strip() == whole[: whole.find(stop)].strip()

    def test_an_answer_keeps_to_its_budget(self, engine: Engine) -> None:
        """With ``max_tokens=2`` an answer is the beginning of the longer one, and says so.

        If it fails: ``finish_reason`` is ``"length"`` where the budget ended it.
        """
        if not self.supports_budget:
            pytest.skip("supports_budget is False.")
        short = self.check(self.open(engine, max_tokens=2).answer())
        whole = self.open(engine).answer()
        if self.is_reproducible:
            assert whole.text.startswith(short.text)
        if short.text != whole.text:
            assert short.finish_reason == "length"

    def test_sessions_do_not_mix(self, engine: Engine) -> None:
        """Two requests that are open at the same time get the answers that each gets alone.

        If it fails: what belongs to a request stands on the engine.
        """
        self.require_reproducible()
        others = self.messages("Please describe the colours.", "blue")
        expected = [self.open(engine).answer().text, self.open(engine, others).answer().text]
        one, other = self.open(engine), self.open(engine, others)
        later = other.answer().text
        assert [one.answer().text, later] == expected

    def test_threads_get_what_they_would_get_alone(self, engine: Engine) -> None:
        """One engine serves several requests at the same time.

        If it fails: let one request compute at a time, or keep nothing on the engine.
        """
        colours = ["red", "blue", "red", "blue"]

        def ask(colour: str) -> str:
            return self.check(self.open(engine, self.messages(None, colour)).answer()).text

        found = in_threads(ask, colours)
        if self.is_reproducible:
            assert found == list(map(ask, colours))

    def test_neither_session_nor_answer_shows_its_text(self, engine: Engine) -> None:
        """No ``repr`` holds a draft: it would end up in logs.

        If it fails: write a ``__repr__``, or leave the field out of it.
        """
        session = self.open(engine)
        answer = session.answer()
        assert answer.text
        assert answer.text not in repr(session)
        assert answer.text not in repr(answer)

    def test_asked_asynchronously_it_answers_the_same(self, engine: Engine) -> None:
        """``aanswer``, where sessions have one, answers as ``answer`` does.

        If it fails: let both share all but the waiting.
        """
        asynchronous: Any = getattr(self.open(engine), "aanswer", None)
        if asynchronous is None:
            pytest.skip("Its sessions have no aanswer.")
        found = self.check(awaited(asynchronous()))
        if self.is_reproducible:
            assert found.text == self.open(engine).answer().text

    def test_chunks_make_up_the_answer(self, engine: Engine) -> None:
        """``answer_in_chunks``, where sessions have it, shows the text that it returns.

        If it fails: each chunk goes out as it comes, whatever it says.
        """
        session = self.open(engine)
        if not isinstance(session, AnswersInChunks):
            pytest.skip("Its sessions do not answer in chunks.")
        chunks: list[AIMessageChunk] = []
        answer = self.check(session.answer_in_chunks(chunks.append))
        assert "".join(str(chunk.text) for chunk in chunks) == answer.text
        if self.is_reproducible:
            assert answer.text == self.open(engine).answer().text
        later: list[AIMessageChunk] = []
        again: Any = self.open(engine)
        told = self.check(awaited(again.aanswer_in_chunks(later.append)))
        assert "".join(str(chunk.text) for chunk in later) == told.text

    def test_an_answer_drawn_alongside_is_the_plain_one(self, engine: Engine) -> None:
        """``begin_answer``, where sessions have it, changes neither answer nor candidates.

        If it fails: rows that share a step must not see each other.
        """
        session = self.open(engine)
        if not isinstance(session, AnswersAlongside):
            pytest.skip("Its sessions do not draw two answers at once.")
        self.require_reproducible()
        apart = self.open(engine)
        plain = apart.answer()
        session.begin_answer()
        for one in (session, apart):
            one.prefill(self.prefix)
        found = [one.propose(2, self.sampling) for one in (session, apart)]
        assert [one.text for one in found[0]] == [one.text for one in found[1]]
        assert session.answer().text == plain.text
