"""How a server is asked about one conversation: its messages, its pictures, its context."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eta_guard.context_length import ContextLengthError
from eta_guard.engines.vllm.drawing import Drawing
from eta_guard.engines.vllm.messages import Message, server_messages, without_files
from eta_guard.engines.vllm.server import Server
from eta_guard.engines.vllm.stream import RefusedError
from eta_guard.request.conversation import Conversation
from eta_guard.steps import Steps, ask

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prompt:
    """What an answer goes on from, and what is known of its tokens."""

    text: str = field(repr=False)
    """The answer so far."""
    before: int | None
    """Tokens of the conversation; None until it was counted."""
    begun: int
    """Tokens of the text, as far as they are known."""


class Asking:
    """Asks a server for continuations of the answers to one conversation.

    Pictures are sent whole with the first request, and from then on by their ids, where the server
    knows such ids. One that has not kept a picture refuses the request, and is sent it again.
    """

    def __init__(self, server: Server, conversation: Conversation) -> None:
        self._server, self._conversation = server, conversation
        self._messages: list[Message] | None = None
        self._context: int | None = None
        self._sent = False

    def draw(
        self,
        prompt: Prompt,
        settings: Mapping[str, Any],
        make: Callable[[Mapping[str, Any]], Drawing],
    ) -> Steps[Drawing]:
        """Has continuations drawn.

        Args:
            prompt: What they go on from.
            settings: Of the request; ``max_tokens`` is cut down to what the context leaves.
            make: Makes the drawing of a request.

        Raises:
            ContextLengthError: The conversation leaves no room for an answer.
            EngineError: The server cannot be reached, refuses, or breaks off.
        """
        yield from self._prepare()
        sent = {**settings, "max_tokens": self._most(prompt, settings["max_tokens"])}
        by_id = self._sent and self._server.naming is not None and self._by_id != self._messages
        try:
            drawn = yield from self._follow(make(self._body(prompt, sent, by_id=by_id)))
        except RefusedError:
            if not by_id:
                raise
            logger.info("%s does not keep pictures: they are sent whole.", self._server.where)
            self._server.naming = None
            drawn = yield from self._follow(make(self._body(prompt, sent)))
        except ContextLengthError as error:
            less = yield from self._shortened(prompt, sent, error)
            drawn = yield from self._follow(make(self._body(prompt, less)))
        self._sent = True
        return drawn

    def _prepare(self) -> Steps[None]:
        if self._messages is not None:
            return
        card = yield from ask(self._server.card)
        self._context = card.get("max_model_len")
        # Others might leave out a picture of which they are told the id alone.
        naming = self._server.naming if card.get("owned_by") == "vllm" else None
        # To encode the pictures takes long enough for others to notice.
        self._messages = yield from ask(server_messages, self._conversation, naming)
        self._by_id = without_files(self._messages)

    def _follow(self, drawing: Drawing) -> Steps[Drawing]:
        try:
            yield from self._server.retries.persistently(self._server.follow, drawing)
        finally:
            drawing.count()
        return drawing

    def _most(self, prompt: Prompt, wanted: int) -> int:
        if self._context is None:
            return wanted
        used = (prompt.before or 0) + prompt.begun
        if used >= self._context:
            raise _too_long(used, self._context)
        return min(wanted, self._context - used)

    def _shortened(
        self, prompt: Prompt, sent: Mapping[str, Any], error: ContextLengthError
    ) -> Steps[Mapping[str, Any]]:
        """The settings for what the prompt leaves, of which this side learns by a refusal.

        Some servers cut ``max_tokens`` down by themselves, others refuse what is too much.
        """
        counted = yield from ask(self._server.length, self._body(prompt, {}))
        if counted is None:
            raise error
        length, context = counted
        if length >= context:
            raise _too_long(length, context) from error
        if sent["max_tokens"] <= context - length:
            raise error
        return {**sent, "max_tokens": context - length}

    def _body(
        self, prompt: Prompt, settings: Mapping[str, Any], *, by_id: bool = False
    ) -> dict[str, Any]:
        messages = (self._by_id if by_id else self._messages) or []
        if not prompt.text:
            return {"messages": messages, **settings}
        return {
            "messages": [*messages, {"role": "assistant", "content": prompt.text}],
            "continue_final_message": True,
            "add_generation_prompt": False,
            **settings,
        }


def _too_long(length: int, context: int) -> ContextLengthError:
    return ContextLengthError(
        f"The conversation is {length + 1 - context} tokens too long: it has {length}, an answer"
        f" that was begun included, and the server's model holds {context}.",
        hint="Shorten the conversation, or serve the model with a larger --max-model-len.",
    )
