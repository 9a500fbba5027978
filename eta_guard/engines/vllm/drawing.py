"""One request to the server, and what has come of it: it is fed with events, and asks nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eta_guard import counts
from eta_guard.engines.vllm.stream import Row, Rows, broken_off
from eta_guard.text.following import is_whole_sentence


@dataclass
class Drawing:
    """Answers that are drawn by one request, whoever reads its stream."""

    body: Mapping[str, Any] = field(repr=False)
    """The request, but for what every request has."""
    rows: Rows = field(repr=False)
    end: Callable[[Row], None] = field(repr=False)
    """Is called with an answer that has grown; ends it where it ends."""
    measure: Callable[[Rows], None] = field(repr=False)
    """Is called after each event, with the counts so far."""
    secret: str = field(default="", repr=False)
    """A text that no error may quote."""
    waits: bool = False
    """Whether ``end`` may take long, since somebody watches the answer."""

    @property
    def begun(self) -> bool:
        """Whether a token has come: from then on the request is never sent again."""
        return self.rows.tokens > 0

    def take(self, event: Mapping[str, Any]) -> bool:
        """Takes in one event; whether no further one is wanted."""
        grown = self.rows.take(event)
        self.measure(self.rows)
        for row in grown:
            if not row.ended:
                self.end(row)
        # Where the server has ended all, the last counts are still to come.
        return self.rows.ended and not self.rows.told

    def count(self) -> None:
        """Counts what was drawn, as far as the server has told."""
        counts.add("output_tokens", self.rows.tokens)
        if self.rows.cached_tokens is not None:
            counts.add("prompt_tokens", self.rows.prompt_tokens or 0)
            counts.add("cached_tokens", self.rows.cached_tokens)

    def require_ended(self) -> None:
        """Checks that every answer has come to its end.

        Raises:
            EngineError: One has not, or the server took what the model wrote for reasoning.
        """
        if not self.rows.ended:
            raise broken_off()
        self.rows.check()


def end_by_the_server(row: Row, room: int, limit: int | None = None) -> None:
    """Ends a row that the server has ended, or that has used up its room.

    Args:
        row: Is ended.
        room: Tokens that the answer may still have.
        limit: Most tokens of a sentence, if the answer may go on after it.
    """
    if row.ended:
        return
    if row.told not in (None, "length"):
        whole = limit is not None and not row.at_stop_text and is_whole_sentence(row.text)
        row.end(None, None if whole else "stop")
    elif row.drawn >= room:
        row.end(None, "length")
    elif row.told:
        # Short of the limit, it is the model's context that is full.
        row.end(None, "length" if limit is None or row.drawn < limit else None)
