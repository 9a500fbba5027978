"""What belongs to one open page: its conversation, its uploads, and the request under way.

A page is known by the hash that Gradio gives it. Nothing of one is reachable from another.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from langchain_core.messages import BaseMessage

from eta_guard.play.asking import Turn
from eta_guard.play.settings import Chosen


@dataclass
class Session:
    """One open page."""

    messages: list[BaseMessage] = field(default_factory=list)
    """The conversation, answers as they were let out."""
    turns: list[Turn] = field(default_factory=list)
    """What was asked, and how it went; the last may be under way."""
    chosen: Chosen | None = None
    """The settings of the last turn."""
    uploads: set[Path] = field(default_factory=set)
    """Files that were dropped and not asked about yet."""
    asking: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        """Gives up what is under way, from whichever thread."""
        if self.asking is not None and not self.asking.done():
            self.asking.get_loop().call_soon_threadsafe(self.asking.cancel)

    def begin_anew(self) -> None:
        """Forgets the conversation."""
        self.cancel()
        self.messages, self.turns, self.chosen = [], [], None


class Sessions:
    """All open pages of one process."""

    def __init__(self, folder: Path) -> None:
        """Begins with none.

        Args:
            folder: Private to this process; nothing outside it is ever deleted.
        """
        self._folder = folder
        self._open: dict[str, Session] = {}

    def of(self, name: str | None) -> Session:
        """The page of that name, opened where it is new."""
        return self._open.setdefault(name or "", Session())

    def __len__(self) -> int:
        return len(self._open)

    def close(self, name: str | None) -> None:
        """Gives up the page's request and forgets all that was of it."""
        session = self._open.pop(name or "", None)
        if session is not None:
            session.cancel()
            self.forget(session, session.uploads)

    def forget(self, session: Session, files: Iterable[Path]) -> None:
        """Deletes uploads of a page, but for those that another page has uploaded as well."""
        for path in list(files):
            session.uploads.discard(path)
            elsewhere = any(path in other.uploads for other in self._open.values())
            if not elsewhere and path.resolve().is_relative_to(self._folder.resolve()):
                shutil.rmtree(path.parent, ignore_errors=True)
