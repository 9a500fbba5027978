"""Calls of tools, as the server's parser tells them: piece by piece, apart from the text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from langchain_core.messages import ToolCall


@dataclass
class _Call:
    id: str = ""
    name: str = ""
    arguments: str = field(default="", repr=False)


class CallPieces:
    """The calls of one answer, as far as they have come."""

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, pieces: Iterable[Mapping[str, Any]]) -> None:
        """Takes in what one event says of them."""
        for piece in pieces:
            call = self._calls.setdefault(piece.get("index", 0), _Call())
            function = piece.get("function") or {}
            call.id = piece.get("id") or call.id
            call.name += function.get("name") or ""
            call.arguments += function.get("arguments") or ""

    def read(self, tools: Sequence[Mapping[str, Any]]) -> tuple[tuple[ToolCall, ...], str]:
        """The calls, and as text those that are none.

        Args:
            tools: That may be called, as OpenAI describes them.

        Returns:
            The calls, and the words of those that are of a tool that is not there, or whose
            arguments are no JSON object, as when the budget ends within them: these are evaluated
            and shown like the rest of the text, and carried out by nobody.
        """
        known = {tool["function"]["name"] for tool in tools}
        calls, words = [], []
        for _, call in sorted(self._calls.items()):
            arguments = _object(call.arguments)
            if call.name in known and arguments is not None:
                name = call.id or f"call_{uuid4().hex}"
                calls.append(ToolCall(name=call.name, args=arguments, id=name))
            else:
                words.append(f"{call.name}({call.arguments})")
        return tuple(calls), "\n".join(words)


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text or "{}", parse_constant=_no_number)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _no_number(name: str) -> None:
    raise ValueError(name)
