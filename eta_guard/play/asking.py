"""One request as the page follows it: through the graph's own events, to its verdict."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from PIL.Image import Image

from eta_guard.guard import EtaGuard
from eta_guard.state import METADATA_KEY, Verdict

HEARTBEAT = 0.25
"""Seconds after which the clock is shown anew, though nothing has happened."""


@dataclass
class Turn:
    """A question, and what is known so far of how it is answered."""

    question: HumanMessage
    pictures: Sequence[Image]
    place: int
    """Index of the question in the conversation, by which evaluations name their message."""
    entered: list[str] = field(default_factory=list)
    """The nodes that have begun, in order."""
    found: list[dict[str, Any]] = field(default_factory=list)
    """The event of each node that has ended, in the same order."""
    reply: AIMessage | None = None
    error: str | None = None
    hint: str | None = None
    seconds: float = 0.0
    begun: float = field(default_factory=time.perf_counter)

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.reply is not None or self.error is not None

    @property
    def verdict(self) -> Verdict | None:
        """Of the reply."""
        if self.reply is None:
            return None
        return Verdict.model_validate(self.reply.response_metadata[METADATA_KEY])


async def follow(guard: EtaGuard, messages: Sequence[BaseMessage], turn: Turn) -> None:
    """Asks the guard, and writes down in the turn what happens.

    Cancelled, it stops the request's work.
    """
    graph = await asyncio.to_thread(lambda: guard.graph)  # a server may have to tell its model
    given: Any = {"messages": list(messages)}
    streamed: AsyncIterator[Any] = graph.astream(given, stream_mode=["custom", "tasks", "updates"])
    async for mode, event in streamed:
        if mode == "tasks" and "triggers" in event:
            turn.entered.append(event["name"])
        elif mode == "custom":
            turn.found.append(event)
        elif mode == "updates" and "respond" in event:
            turn.reply = event["respond"]["messages"][-1]


async def beats(task: asyncio.Task[None], turn: Turn) -> AsyncIterator[None]:
    """Comes back whenever something has happened in a turn, and a few times a second."""
    known = -1
    while not task.done():
        await asyncio.wait([task], timeout=HEARTBEAT / 5)
        turn.seconds = time.perf_counter() - turn.begun
        beat = int(turn.seconds / HEARTBEAT) + 1000 * len(turn.entered) + 1000 * len(turn.found)
        if beat != known:
            known = beat
            yield
