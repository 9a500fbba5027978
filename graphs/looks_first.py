"""A stand-in for a model that calls tools: the small one that ships was not trained to call any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from uuid import uuid4

from langchain_core.messages import ToolCall

from eta_guard.protocols import (
    Candidate,
    Completion,
    Engine,
    EngineSession,
    Generation,
    Sampling,
    Watch,
)
from eta_guard.request.conversation import Conversation, Turn


@dataclass(frozen=True)
class LooksFirst:
    """An engine that calls its first tool by a script, and answers by a real model.

    A user's message without a picture goes to the tool, word for word, as its first argument. What
    comes back, pictures and text, goes to the model together with that message.
    """

    engine: Engine
    """Answers, and repairs."""
    calls_tools: ClassVar[bool] = True

    @property
    def fingerprint(self) -> str:
        """Names the model, and what is done for it."""
        return f"{self.engine.fingerprint}, its calls of tools scripted"

    def open(self, conversation: Conversation, generation: Generation) -> EngineSession:
        """Begins a request."""
        alone = replace(generation, tools=())
        session = self.engine.open(_as_one_turn(conversation), alone)
        asked = conversation.turns[-1].role == "user"
        shown = any(picture.message >= conversation.last_turn for picture in conversation.pictures)
        if not generation.tools or not asked or shown:
            return session
        question = conversation.messages[-1].text
        return _Calling(session, _call(generation.tools[0]["function"], question))


@dataclass(frozen=True)
class _Calling:
    """A session whose plain answer is a call."""

    session: EngineSession
    call: ToolCall

    def answer(self, watch: Watch | None = None) -> Completion:
        return Completion("", "stop", (self.call,))

    def prefill(self, prefix: str, accepted: Sequence[Candidate] = ()) -> None:
        self.session.prefill(prefix, accepted)

    def propose(self, n: int, sampling: Sampling) -> list[Candidate]:
        return self.session.propose(n, sampling)

    def accept(self, index: int) -> None:
        self.session.accept(index)

    def finish(self) -> Completion:
        return self.session.finish()


def _call(tool: Mapping[str, Any], question: str) -> ToolCall:
    argument = next(iter(tool["parameters"]["properties"]))
    return ToolCall(name=tool["name"], args={argument: question}, id=uuid4().hex, type="tool_call")


def _as_one_turn(conversation: Conversation) -> Conversation:
    """The last question, with what tools found for it: the model was shown no other roles."""
    turns = conversation.turns
    last = max((i for i, turn in enumerate(turns) if turn.role == "user"), default=0)
    texts = [part for part in turns[last].parts if isinstance(part, str)]
    pictures = [part for turn in turns[last:] for part in turn.parts if not isinstance(part, str)]
    turn = Turn("user", (*pictures, *texts))
    return Conversation((conversation.messages[last],), (turn,))
