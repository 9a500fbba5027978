"""The stream of a vLLM server: server-sent events → the answers that grow in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from eta_guard.context_length import ContextLengthError
from eta_guard.engines.vllm.tool_calls import CallPieces
from eta_guard.errors import EngineError, EtaGuardError, UnsupportedModelError
from eta_guard.protocols import FinishReason

_FAILED = {"abort", "error"}
_QUOTED = 16
"""Characters in a row that make an error message a quotation of the answer so far."""
_TOO_LONG = re.compile(r"maximum (context|model) length", re.IGNORECASE)
_WRONG = {400, 422}
"""Statuses by which a server says that it is the request that is at fault."""
_LONGEST = 500


@dataclass
class Row:
    """One of the answers of a request."""

    text: str = field(default="", repr=False)
    """What is kept of it."""
    drawn: int = 0
    """Tokens so far, by the server's count; also those drawn after the end."""
    told: str | None = None
    """Why the server ended it; None while it draws."""
    at_stop_text: bool = False
    """Whether that was for a stop text, which the server leaves out, and not for an end token."""
    ended: bool = False
    """Whether what is kept is final."""
    finish_reason: FinishReason | None = None
    reasoned: bool = False
    """Whether the server told reasoning apart from the text."""
    calls: CallPieces = field(default_factory=CallPieces, repr=False)
    """What the server's parser took for calls of tools."""

    def take(self, choice: Mapping[str, Any], usage: Mapping[str, Any]) -> None:
        """Takes in what one event says of it."""
        delta = choice.get("delta") or {}
        content = delta.get("content") or ""
        self.reasoned |= bool(delta.get("reasoning") or delta.get("reasoning_content"))
        pieces = delta.get("tool_calls") or ()
        # Where a gateway leaves the counts out, an event is taken for a token.
        self.drawn = usage.get("completion_tokens") or self.drawn + bool(content or pieces)
        self.told = choice.get("finish_reason") or self.told
        self.at_stop_text |= isinstance(choice.get("stop_reason"), str)
        if self.told in _FAILED:
            raise EngineError(
                f"The server broke an answer off ({self.told}).", hint="See the server's log."
            )
        if not self.ended:
            self.text += content
            self.calls.add(pieces)

    def end(self, at: int | None, finish_reason: FinishReason | None) -> None:
        """Ends it on this side, at an offset; the server may go on."""
        self.text = self.text[:at]
        self.ended, self.finish_reason = True, finish_reason


class RefusedError(EngineError):
    """The server does not take the request as it stands."""


class Rows:
    """The answers of one request, side by side."""

    def __init__(self, count: int) -> None:
        self.rows = [Row() for _ in range(count)]
        self.prompt_tokens: int | None = None
        """Image tokens and the answer so far included; None until the server tells."""
        self.cached_tokens: int | None = None
        """How many of these it found in its cache; it tells at the end of the whole stream."""
        self._total: int | None = None

    @property
    def tokens(self) -> int:
        """Tokens of all of them, as far as they have come."""
        return sum(row.drawn for row in self.rows) if self._total is None else self._total

    @property
    def ended(self) -> bool:
        """Whether all have ended on this side."""
        return all(row.ended for row in self.rows)

    @property
    def told(self) -> bool:
        """Whether the server has ended all."""
        return all(row.told for row in self.rows)

    def take(self, event: Mapping[str, Any]) -> list[Row]:
        """Takes in one event; returns the answers that it speaks of."""
        usage, choices = event.get("usage") or {}, event.get("choices") or []
        self.prompt_tokens = usage.get("prompt_tokens", self.prompt_tokens)
        if not choices:  # the last event, with the counts of the whole request
            self._total = usage.get("completion_tokens", self._total)
            self.cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
        grown = [self.rows[choice.get("index", 0)] for choice in choices]
        for row, choice in zip(grown, choices, strict=True):
            row.take(choice, usage)
        return grown

    def check(self) -> None:
        """Checks that no answer is silently empty.

        Raises:
            EngineError: The server took what the model wrote for reasoning.
        """
        if any(row.reasoned and not (row.text.strip() or row.calls) for row in self.rows):
            raise EngineError(
                "The server tells the model's reasoning apart, and left no text of an answer.",
                hint="Raise max_tokens, or serve the model without --reasoning-parser.",
            )


class Events:
    r"""Server-sent events as JSON, put together from the pieces of a response's body.

    Lines are parted at ``\n`` alone: the characters that Python, too, counts as line ends may
    stand in the JSON of an answer.

    Args:
        secret: A text that no error may quote.
    """

    def __init__(self, secret: str) -> None:
        self.ended = False
        """Whether the server has said that all is told."""
        self._secret, self._rest = secret, b""

    def read(self, piece: bytes) -> Iterator[dict[str, Any]]:
        """The events that a piece completes.

        Raises:
            EngineError: The server reports an error.
        """
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            field_name, _, data = line.partition(b":")
            if field_name != b"data":
                continue
            if data.strip() == b"[DONE]":
                self.ended = True
                return
            event = _parsed(data)
            if event.get("error") or event.get("object") == "error":
                raise refusal(event, self._secret)
            yield event


def refusal(body: Any, secret: str, status: int | None = None) -> EtaGuardError:
    """The error for what the server says in place of an answer.

    Args:
        body: Its JSON, or its text.
        secret: A text that the error may not quote. Servers do: vLLM repeats a whole request whose
            form it rejects, and the answer so far that a chat template has no place for.
        status: Of HTTP.
    """
    found = body.get("error", body) if isinstance(body, Mapping) else body
    told = found.get("message", found) if isinstance(found, Mapping) else found
    said = str(told).strip()
    if _quotes(said, secret):
        said = "its message is withheld, since it quotes the answer so far"
    if _TOO_LONG.search(said):
        return ContextLengthError(
            f"The conversation is too long for the server: {said[:_LONGEST].rstrip('.')}.",
            hint="Shorten the conversation, or serve the model with a larger --max-model-len.",
        )
    code = "" if status is None else f" with status {status}"
    if "--enable-auto-tool-choice" in said:
        return UnsupportedModelError(
            "The server reads no calls of tools.",
            hint="Start it with --enable-auto-tool-choice and the --tool-call-parser of the model.",
        )
    kind = RefusedError if status in _WRONG else EngineError
    return kind(
        f"The server refused{code}: {said[:_LONGEST] or 'no message'}.",
        hint="Mend the request or the server's settings; its log says more.",
    )


def broken_off() -> EngineError:
    """The error for a stream that ends before its answers do."""
    return EngineError(
        "The server's stream ended before the answer did.",
        hint="Ask again; if it comes back, see the log of the server, or of the proxy before it.",
    )


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        event = json.loads(data)
    except ValueError:
        # The cause would hold the answer's text.
        raise _unreadable() from None
    if not isinstance(event, dict):
        raise _unreadable()
    return event


def _unreadable() -> EngineError:
    return EngineError(
        "The server's stream holds an event that is no JSON object.",
        hint="Pass the address of a vLLM server, up to and with /v1.",
    )


def _quotes(message: str, secret: str) -> bool:
    pieces = range(max(len(secret) - _QUOTED, 0) + 1)
    return bool(secret.strip()) and any(secret[i : i + _QUOTED] in message for i in pieces)
