"""What all open pages share: the guard, the scores that are known, and who has a page open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage

from eta_guard.errors import EtaGuardError, log_failure
from eta_guard.guard import EtaGuard
from eta_guard.play.asking import Turn, beats, follow
from eta_guard.play.scores import KnownScores
from eta_guard.play.sessions import Session, Sessions
from eta_guard.play.settings import Chosen, Dial, choose, dials_of
from eta_guard.request.from_file import read_requests

logger = logging.getLogger(__name__)


@dataclass
class Playground:
    """One guard, tried out on any number of pages."""

    guard: EtaGuard
    scores: KnownScores
    folder: Path
    """Private to this process: Gradio keeps what is uploaded there."""
    models: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of ``load_parts`` that load the guard's models."""

    def __post_init__(self) -> None:
        self.sessions = Sessions(self.folder)

    def dials(self) -> list[Dial]:
        """The thresholds, each over the range of the scores that are known by now."""
        return [
            dial.around([score.value for score in self.scores.of(dial.kind, dial.evaluator)])
            for dial in dials_of(self.guard)
        ]

    def chosen(self, values: Mapping[str, Any], evaluators: Sequence[str]) -> Chosen:
        """Reads the controls; see ``settings.choose``."""
        return choose(self.guard, self.dials(), values, evaluators)

    async def ask(
        self, session: Session, files: Sequence[str], question: str, chosen: Chosen
    ) -> AsyncIterator[Turn]:
        """Asks a question in a page's conversation.

        Yields:
            The turn whenever it has come further; its last state tells how it ended.

        Raises:
            EtaGuardError: What was given cannot be asked.
        """
        paths = [Path(file) for file in files]
        try:
            message, pixels = await asyncio.to_thread(read_requests, paths, question)
        except EtaGuardError as error:
            raise _by_name(error, paths) from error
        finally:
            self.sessions.forget(session, paths)
        guard = chosen.guard(self.guard)
        turn = Turn(message, pixels, place=len(session.messages))
        session.turns.append(turn)
        session.chosen = chosen
        asked = [*session.messages, message]
        session.asking = asyncio.create_task(follow(guard, asked, turn))
        yield turn
        try:
            async for _ in beats(session.asking, turn):
                yield turn
            _ended(session.asking, turn)
        finally:
            session.asking.cancel()  # nobody looks any more, or it is over
        if turn.reply is not None:
            session.messages += [message, AIMessage(turn.reply.text)]
        yield turn


def _by_name(error: EtaGuardError, paths: Sequence[Path]) -> EtaGuardError:
    """The error with a file's name in place of where it was put."""
    message = error.message
    for path in paths:
        message = message.replace(str(path), path.name)
    return type(error)(message, hint=error.hint)


def _ended(task: asyncio.Task[None], turn: Turn) -> None:
    """Writes down what a request came to that has no reply."""
    if task.cancelled():
        turn.error = "The request was stopped."
        return
    error = task.exception()
    if isinstance(error, EtaGuardError):
        turn.error, turn.hint = error.message, error.hint
    elif isinstance(error, Exception):
        log_failure(logger, "The request", error)
        turn.error = f"The request failed with {type(error).__name__}."
        turn.hint = "The terminal says more."
