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
from threading import Event, Thread
from typing import Any, Literal, TypeVar
from uuid import uuid4

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import set_config_context, var_child_runnable_config
from langgraph.config import get_stream_writer
from langgraph.graph.message import push_message
from langgraph.pregel._messages import StreamMessagesHandler, StreamMessagesHandlerV2
from langgraph.types import StreamWriter

from eta_guard.protocols import Generation, ResponseSession, Watch

Answer = TypeVar("Answer")


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
        self.message_id = str(uuid4())
        """Of the chunks and of the message that they make: LangGraph shows it once."""
        self.shown = ""
        self.scores: ResponseSession | None = None
        """Scores the growing text as an answer; opened where it has to be."""
        self.scored = ""
        self.held = False
        """No more before the verdict."""
        self._generation = generation

    def show(self, text: str, config: RunnableConfig) -> None:
        """Shows what is new in a growing text, as far as no stop text can still cut it."""
        text = self._generation.settled(self._generation.cut(text)).strip()
        if text.startswith(self.shown) and text != self.shown and listened_to(config):
            chunk = AIMessageChunk(content=text[len(self.shown) :], id=self.message_id)
            push_message(chunk, state_key=None)
            self.shown = text

    def watch(self, config: RunnableConfig) -> Watch | None:
        """Shows an answer as it is drawn, and never ends it; None where nobody looks.

        What was drawn last waits for more, or for the end: an answer that comes in one piece goes
        out as the message that it is.
        """
        if not listened_to(config):
            return None
        waiting = ""

        def shown(text: str) -> bool:
            nonlocal waiting
            self.show(waiting, config)
            waiting = text
            return False

        return shown

    def end(self, message: AIMessage, config: RunnableConfig) -> AIMessage:
        """Shows the rest of a message of which a part was shown, and all that is told about it.

        Returns:
            The message as it stands for those who looked: what they were shown before a refusal
            stays at its head.
        """
        if not self.shown:
            return message
        whole: str = message.text
        if not whole.startswith(self.shown):
            whole = f"{self.shown}\n\n{whole}"
        message = message.model_copy(update={"id": self.message_id, "content": whole})
        rest = as_chunk(message).model_copy(update={"content": whole[len(self.shown) :]})
        push_message(rest, state_key=None)
        return message


def as_chunk(message: AIMessage) -> AIMessageChunk:
    """A whole message as the last, or only, chunk of itself."""
    if isinstance(message, AIMessageChunk):
        return message
    calls: Any = [
        {**call, "args": json.dumps(call["args"]), "index": index, "type": "tool_call_chunk"}
        for index, call in enumerate(message.tool_calls)
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
    given_up = Event()

    def watch(text: str) -> bool:
        found.put(text)
        return given_up.is_set()

    def work() -> None:
        try:
            found.put(draw(watch))
        except BaseException as error:  # it belongs to the one who asks
            found.put(error)

    worker = Thread(target=copy_context().run, args=(work,), daemon=True)
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
        given_up.set()
        worker.join()


def run_apart(
    graph: Any,
    given: Any,
    config: RunnableConfig,
    wanted: Literal["values", "messages"],
    outer: StreamWriter | None,
) -> Iterator[AIMessage]:
    """Runs a graph within a chat model, and apart from a graph around that model.

    In a context of its own it is no part of the other graph: it would otherwise write into that
    graph's streams and checkpoints. Its ``custom`` events alone are handed on, to ``outer``.

    Yields:
        The reply: in chunks, as they come, if ``"messages"`` are wanted.
    """
    modes = [wanted, "custom"] if outer else [wanted]
    # A copy: where somebody has switched tracing off, it stays off.
    apart = copy_context()
    apart.run(var_child_runnable_config.set, None)
    parts = apart.run(graph.stream, given, config, stream_mode=modes)
    values: Any = None
    try:
        while (part := apart.run(next, parts, None)) is not None:
            mode, value = part
            if mode == "custom" and outer:
                outer(value)
            elif mode == "messages":
                yield value[0]
            else:
                values = value
    finally:
        apart.run(parts.close)
    if values is not None:
        yield values["messages"][-1]


def stream_writer(config: RunnableConfig) -> StreamWriter | None:
    """Writes ``custom`` events of the graph that a call stands in, if it stands in one."""
    # Not every step of a chain that is a node runs in the node's own context, and the writer looks
    # there for where it stands.
    with set_config_context(config) as context:
        try:
            writer = context.run(get_stream_writer)
        except (RuntimeError, KeyError):
            return None
        here = context.copy()
    return lambda event: here.run(writer, event)
