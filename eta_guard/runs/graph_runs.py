"""Running a graph within a chat model, and apart from a graph around that model.

In a context of its own it is no part of the other graph: it would otherwise write into that graph's
streams and checkpoints. Its ``custom`` events alone are handed on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import set_config_context, var_child_runnable_config
from langgraph.config import get_stream_writer
from langgraph.types import StreamWriter

from eta_guard.cancellation import CancelScope


@dataclass(frozen=True)
class Run:
    """What a graph is run with."""

    graph: Any
    given: dict[str, Any] = field(repr=False)
    """Its input."""
    config: RunnableConfig = field(repr=False)
    wanted: Literal["updates", "messages"]
    """The reply as a whole, or in chunks as they come."""
    outer: StreamWriter | None = field(default=None, repr=False)
    """Writes the ``custom`` events of the graph around the chat model, if there is one."""

    @property
    def modes(self) -> list[str]:
        """Of LangGraph's stream."""
        return [self.wanted, "custom"] if self.outer else [self.wanted]


def run_apart(run: Run) -> Iterator[AIMessage]:
    """Runs a graph of messages.

    Yields:
        The reply: in chunks, as they come, if ``"messages"`` are wanted.
    """
    apart = _apart()
    scope = CancelScope()
    apart.run(scope.__enter__)
    parts = apart.run(run.graph.stream, run.given, run.config, stream_mode=run.modes)
    last: AIMessage | None = None
    try:
        while (part := apart.run(next, parts, None)) is not None:
            message = _message(run, *part)
            if run.wanted == "messages" and message:
                yield message
            last = message or last
    finally:
        scope.cancel()  # LangGraph waits for the node that is at work
        apart.run(parts.close)
    if run.wanted == "updates" and last:
        yield last


async def arun_apart(run: Run) -> AsyncIterator[AIMessage]:
    """Does as ``run_apart``, in a task of its own, which is cancelled when nobody asks any more."""
    found: asyncio.Queue[tuple[str, Any] | None] = asyncio.Queue()

    async def work() -> None:
        try:
            async for part in run.graph.astream(run.given, run.config, stream_mode=run.modes):
                found.put_nowait(part)
        finally:
            found.put_nowait(None)

    task = asyncio.create_task(work(), context=_apart())
    last: AIMessage | None = None
    try:
        while (part := await found.get()) is not None:
            message = _message(run, *part)
            if run.wanted == "messages" and message:
                yield message
            last = message or last
        await task  # raises what the graph raised
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
    if run.wanted == "updates" and last:
        yield last


def _apart() -> Context:
    # A copy: where somebody has switched tracing off, it stays off.
    apart = copy_context()
    apart.run(var_child_runnable_config.set, None)
    return apart


def _message(run: Run, mode: str, value: Any) -> AIMessage | None:
    if mode == "custom":
        if run.outer:
            run.outer(value)
        return None
    if mode == "messages":
        found: AIMessage = value[0]
        return found
    # Not the last message of the state: a provider may give a reply the id of an earlier one, which
    # it then replaces there.
    replies: list[AIMessage] = value.get("respond", {}).get("messages", [])
    return replies[-1] if replies else None


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
