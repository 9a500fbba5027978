"""What an engine is asked with in its suite."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from PIL.Image import Image

from eta_guard.prompts import PREFIX
from eta_guard.protocols import Completion, Engine, EngineSession, Generation, Sampling
from eta_guard.request.conversation import Conversation, read_conversation
from eta_guard.request.encoding import as_png
from eta_guard.testing.common import ConformanceTests, drawn


class EngineBase(ConformanceTests):
    """Fixture, properties and conversations."""

    @pytest.fixture
    def engine(self) -> Engine:
        """What is tested."""
        raise NotImplementedError("Override the fixture engine.")

    @property
    def supports_pictures(self) -> bool:
        """Whether the chat model takes pictures; without them, text alone is asked."""
        return True

    @property
    def supports_budget(self) -> bool:
        """Whether the engine can keep the chat model to ``max_tokens``."""
        return True

    @property
    def is_reproducible(self) -> bool:
        """Whether plain answers are greedy, and draws a function of the seed.

        Where they are not, texts are not compared; a run that resumes then goes another way.
        """
        return True

    @property
    def question(self) -> str:
        """What is asked; the answer should have a few words."""
        return "What does the picture show?"

    @property
    def prefix(self) -> str:
        """How a repaired answer begins."""
        return PREFIX

    @property
    def generation(self) -> Generation:
        """The caller's settings; short answers make short tests."""
        return Generation(max_tokens=48)

    @property
    def sampling(self) -> Sampling:
        """How candidates are drawn."""
        return Sampling(top_k=20, temperature=1.0, max_sentence_tokens=24)

    def messages(self, question: str | None = None, colour: str = "red") -> list[BaseMessage]:
        """A user's message: a picture, where they are supported, and a question."""
        picture = drawn(colour) if self.supports_pictures else None
        return [shown(question or self.question, picture)]

    def open(
        self, engine: Engine, messages: list[BaseMessage] | None = None, **settings: Any
    ) -> EngineSession:
        """A new session."""
        generation = self.generation.for_call(settings.pop("stop", None), settings)
        return engine.open(self.conversation(messages), generation)

    def conversation(self, messages: list[BaseMessage] | None = None) -> Conversation:
        """Messages as an engine is given them."""
        return read_conversation(self.messages() if messages is None else messages)

    def check(self, completion: Completion) -> Completion:
        """An answer is what the protocol says."""
        assert isinstance(completion, Completion)
        assert isinstance(completion.text, str)
        assert completion.finish_reason in ("stop", "length"), completion.finish_reason
        return completion

    def require_reproducible(self) -> None:
        """Skips a test that compares texts, where they differ from call to call."""
        if not self.is_reproducible:
            pytest.skip("is_reproducible is False.")


def shown(question: str, picture: Image | None) -> HumanMessage:
    """A user's message with LangChain's standard blocks."""
    if picture is None:
        return HumanMessage(question)
    file = as_png(picture)
    block = {"type": "image", "base64": file.base64, "mime_type": file.mime}
    return HumanMessage([block, {"type": "text", "text": question}])


def spoken(question: str, answer: str, then: str, picture: Image | None) -> list[BaseMessage]:
    """A conversation of three turns."""
    return [shown(question, picture), AIMessage(answer), HumanMessage(then)]
