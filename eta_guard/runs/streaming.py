"""What a request shows while it runs: text that may go out, and how far the work has come.

Text is shown in three ways, and never otherwise:

- a plain answer that goes out whatever it says (a safe image, ``mode="observe"``), as it is drawn;
- a repaired answer, sentence by sentence as it is accepted. Under ``on_unrepaired="return"`` it
  goes out in any case. Under ``"refuse"`` its end may still be refused, and what was shown cannot
  be taken back: so each sentence is shown only once the text up to it has been post-evaluated, by
  the prompt and the threshold of a whole answer, and found safe. The first that is not waits for
  the verdict, and so does what ends in the middle of a sentence. At every moment, then, what has
  been shown is a text that was evaluated as an answer and is safe; if the whole is refused after
  all (a score may differ in its last bits when it is taken again), the refusal follows after it;
- every other reply, whole, once it has its verdict.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextvars import copy_context
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar
from uuid import uuid4

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import set_config_context
from langgraph.graph.message import push_message
from langgraph.pregel._messages import StreamMessagesHandler, StreamMessagesHandlerV2

from eta_guard.cancellation import CancelScope
from eta_guard.errors import InputError
from eta_guard.panel.answers import AnswerEvaluations
from eta_guard.protocols import Generation, Show, Watch
from eta_guard.request.foreign import refuse_media

Answer = TypeVar("Answer")

OWN_ID = "lc_eta-"
"""Begins the ids of messages whose text comes from a search. LangChain prefers others to those that
begin with ``lc_``, as a provider's."""


def listened_to(config: RunnableConfig) -> bool:
    """Whether somebody streams the messages of this run, chunk by chunk.

    The newer protocol of ``stream_events(version="v3")`` knows no chunks from a node: it gets the
    reply whole.
    """
    callbacks: Any = config.get("callbacks") or []
    handlers = getattr(callbacks, "handlers", callbacks)
    found = [handler for handler in handlers if isinstance(handler, StreamMessagesHandler)]
    return bool(found) and not any(isinstance(one, StreamMessagesHandlerV2) for one in found)


class LiveReply:
    """The reply on its way out: one message, in as many chunks as may be shown before its end."""

    def __init__(self, generation: Generation) -> None:
        """Begins with nothing shown."""
        self.message_id = f"{OWN_ID}{uuid4()}"
        """Of the chunks and of the message that they make: LangGraph shows it once."""
        self.shown = ""
        self.evaluations: AnswerEvaluations | None = None
        """Of the growing text as an answer, where it has to be evaluated before it is shown."""
        self.held = False
        """No more before the verdict."""
        self._generation = generation
        self._passed_on = False
        self._waiting: list[AIMessageChunk] = []

    def show(self, text: str, config: RunnableConfig) -> None:
        """Shows what is new in a growing text, as far as no stop text can still cut it."""
        text = self._generation.settled(self._generation.cut(text)).strip()
        if text.startswith(self.shown) and text != self.shown and listened_to(config):
            _push(AIMessageChunk(content=text[len(self.shown) :], id=self.message_id), config)
            self.shown = text

    def watch(self, config: RunnableConfig) -> Watch:
        """Shows an answer as it is drawn, and never ends it.

        What was drawn last waits for more, or for the end: an answer that comes in one piece goes
        out as the message that it is.
        """
        waiting = ""

        def shown(text: str) -> bool:
            nonlocal waiting
            self.show(waiting, config)
            waiting = text
            return False

        return shown

    def passing_on(self, config: RunnableConfig) -> Show:
        """Shows the chunks of another model's answer as they come.

        From the first on that has more than words they wait: a picture has yet to be evaluated, and
        a call that was shown would be carried out, whatever comes after it.
        """

        def shown(chunk: AIMessageChunk) -> None:
            self.held = self.held or not _is_words(chunk)
            if self.held:
                self._waiting.append(chunk)
            else:
                self._pass_on(chunk, config)

        return shown

    def _pass_on(self, chunk: AIMessageChunk, config: RunnableConfig) -> None:
        if not self._passed_on and chunk.id:
            self.message_id = chunk.id
        self._passed_on = True
        self.shown += chunk.text
        # What is told of the whole stands on the last chunk; by these two LangChain reads blocks.
        kept = ("model_provider", "output_version")
        about = {name: v for name, v in chunk.response_metadata.items() if name in kept}
        told: dict[str, Any] = {"response_metadata": about, "usage_metadata": None}
        bare = {**told, "id": self.message_id, "chunk_position": None}
        _push(chunk.model_copy(update=bare), config)

    def end(self, message: AIMessage, config: RunnableConfig, *, passed: bool) -> AIMessage:
        """Shows the rest of a message of which a part was shown, and all that is told about it.

        Args:
            message: Goes out.
            config: Of the run.
            passed: The message is another model's own, which may have been passed on in chunks.

        Returns:
            The message as it stands for those who looked: what they were shown before a refusal
            stays at its head.
        """
        if not (self.shown or self._passed_on):
            return message
        if passed and self._passed_on:
            for chunk in self._waiting:
                self._pass_on(chunk, config)
            message = message.model_copy(update={"id": self.message_id})
            told = message.model_dump(include={"id", "response_metadata", "usage_metadata"})
            _push(AIMessageChunk(content="", **told, chunk_position="last"), config)
            return message
        whole: str = message.text
        if not whole.startswith(self.shown):
            whole = f"{self.shown}\n\n{whole}"
            message = message.model_copy(update={"content": whole})
        message = message.model_copy(update={"id": self.message_id})
        rest = as_chunk(message).model_copy(update={"content": whole[len(self.shown) :]})
        _push(rest, config)
        return message


_WORDS = {"text", "output_text", "refusal", "thinking", "redacted_thinking", "reasoning"}
"""Types of blocks that are words, and those of ``additional_kwargs`` below."""
_WORDS_BESIDE = {"reasoning", "reasoning_content", "reasoning_details", "refusal"}
_SEALED = {"signature", "thought_signature", "encrypted_content", "data"}
"""Keys under which a provider keeps of its words what it alone can read."""


def _is_words(chunk: AIMessageChunk) -> bool:
    """Whether a chunk carries nothing but words: no call, and nothing to be seen or heard."""
    if chunk.tool_call_chunks or chunk.additional_kwargs.keys() - _WORDS_BESIDE:
        return False
    blocks = chunk.content if isinstance(chunk.content, list) else []
    return all(isinstance(block, str) or _is_block_of_words(block) for block in blocks)


def _is_block_of_words(block: dict[Any, Any]) -> bool:
    if block.get("type") not in _WORDS:
        return False
    try:
        refuse_media({key: value for key, value in block.items() if key not in _SEALED})
    except InputError:
        return False
    return True


def _push(chunk: AIMessageChunk, config: RunnableConfig) -> None:
    # Another model's chunks come from a context of its own, which is no part of the graph.
    with set_config_context(config) as context:
        context.run(push_message, chunk, state_key=None)


def as_chunk(message: AIMessage) -> AIMessageChunk:
    """A whole message as the last, or only, chunk of itself."""
    if isinstance(message, AIMessageChunk):
        return message
    calls: Any = [
        {**call, "args": json.dumps(call["args"]), "index": index, "type": "tool_call_chunk"}
        for index, call in enumerate(message.tool_calls)
    ]
    # Of these the arguments are a text that is no JSON, and are read as such again.
    calls += [
        {**call, "index": index, "type": "tool_call_chunk"}
        for index, call in enumerate(message.invalid_tool_calls, len(calls))
    ]
    told = message.model_dump(exclude={"type", "tool_calls", "invalid_tool_calls"})
    return AIMessageChunk(**told, tool_call_chunks=calls, chunk_position="last")


def in_thread(draw: Callable[[Watch], Answer]) -> Iterator[str | Answer]:
    """Turns an answer that is watched as it is drawn into one that is asked for piece by piece.

    Args:
        draw: Draws an answer under a watch; its texts each begin with the one before.

    Yields:
        What is new in the text, each time it has grown, and at the end the answer. Whoever stops
        asking ends the drawing.
    """
    found: SimpleQueue[str | Answer | BaseException] = SimpleQueue()
    context, scope = copy_context(), CancelScope()
    context.run(scope.__enter__)

    def watch(text: str) -> bool:
        found.put(text)
        return scope.cancelled

    def work() -> None:
        try:
            found.put(draw(watch))
        except BaseException as error:  # it belongs to the one who asks
            found.put(error)

    worker = Thread(target=context.run, args=(work,), daemon=True)
    worker.start()
    shown = ""
    try:
        while isinstance(piece := found.get(), str):
            if piece.startswith(shown) and piece != shown:
                yield piece[len(shown) :]
                shown = piece
        if isinstance(piece, BaseException):
            raise piece
        yield piece
    finally:
        scope.cancel()
        worker.join()
