"""A vLLM server, played: it honours what the engine asks of one, token by token, without a socket.

Its tokens are words with the white space before them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from eta_guard import VllmEngine

BASE_URL = "http://vllm.test/v1"
PROMPT_TOKENS = 10
DRAFT = "DRAFT canary: the plain answer."

Writes = Callable[[str, int], str]


def tokens(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+\Z", text)


def sentences(begun: str, seed: int) -> str:
    """Goes on with three sentences that name the seed, and is short where nothing is begun."""
    if not begun:
        return DRAFT
    left = 3 - begun.count(".")
    return "".join(f" CANDIDATE canary of seed {seed}." for _ in range(left))


@dataclass
class Body(httpx.SyncByteStream):
    """A response that knows how far it was read."""

    pieces: Iterator[bytes]
    sent: int = 0
    closed: bool = False

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            self.sent += 1
            yield piece

    def close(self) -> None:
        self.closed = True


@dataclass
class PlayedServer:
    """Writes what its script says after the answer that is begun, for a seed."""

    writes: Writes = sentences
    model: str = "llava"
    root: str | None = "org/llava-7b"
    context: int = 10_000
    continuous: bool = True
    """Whether every event has the counts; only the last one otherwise."""
    trims: bool = False
    """Whether the chat template trims the answer that is begun."""
    fails: Callable[[httpx.Request], httpx.Response | None] = lambda request: None
    requests: list[httpx.Request] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    streams: list[Body] = field(default_factory=list)

    def engine(self, **settings: Any) -> VllmEngine:
        client = httpx.Client(transport=httpx.MockTransport(self.handle))
        return VllmEngine(BASE_URL, self.model, client=client, **settings)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if failure := self.fails(request):
            return failure
        if request.method == "GET":
            assert request.url.path == "/v1/models"
            cards = [{"id": "other", "root": "x"}, {"id": self.model, "root": self.root}]
            return httpx.Response(200, json={"object": "list", "data": cards})
        assert request.url.path == "/v1/chat/completions"
        body = json.loads(request.content)
        self.bodies.append(body)
        goes_on = body.get("continue_final_message", False)
        if goes_on and body.get("add_generation_prompt", True):
            return refuses("Cannot set both `continue_final_message` and `add_generation_prompt`.")
        assert goes_on == (body["messages"][-1]["role"] == "assistant")
        assert body["stream"]
        self.streams.append(Body(self._events(body, self._begun(body) if goes_on else "")))
        return httpx.Response(200, stream=self.streams[-1])

    def _begun(self, body: dict[str, Any]) -> str:
        begun: str = body["messages"][-1]["content"]
        return begun.rstrip() if self.trims else begun

    def _events(self, body: dict[str, Any], begun: str) -> Iterator[bytes]:
        count, prompt = body.get("n", 1), PROMPT_TOKENS + len(tokens(begun))
        limit = min(body["max_tokens"], self.context - prompt)
        rows = [
            cut(self.writes(begun, body.get("seed", 0) + i), limit, body.get("stop", []))
            for i in range(count)
        ]
        usage = {"prompt_tokens": prompt, "completion_tokens": 0}
        for index in range(count):
            yield self._event(index, {"role": "assistant", "content": ""}, None, usage)
        for step in range(limit + 1):
            for index, (pieces, *ended) in enumerate(rows):
                if step < max(len(pieces), 1):
                    text = pieces[step] if pieces else ""
                    told, at = ended if step + 1 >= len(pieces) else (None, None)
                    spent = {**usage, "completion_tokens": step + 1}
                    yield self._event(index, {"content": text}, told, spent, at)
        total = sum(max(len(pieces), 1) for pieces, *_ in rows)
        yield sse({"choices": [], "usage": {**usage, "completion_tokens": total}})
        yield b"data: [DONE]\n\n"

    def _event(
        self,
        index: int,
        delta: dict[str, str],
        told: str | None,
        usage: dict[str, int],
        stop_reason: str | None = None,
    ) -> bytes:
        ended = {"finish_reason": told, "stop_reason": stop_reason}
        choice = {"index": index, "delta": delta, **ended}
        return sse({"choices": [choice], **({"usage": usage} if self.continuous else {})})


def cut(text: str, limit: int, stop: list[str]) -> tuple[list[str], str, str | None]:
    """The tokens of an answer, why it ends, and the stop text that ends it."""
    pieces = tokens(text)
    places = [(text.find(one), one) for one in stop if one in text]
    if places and len(tokens(text[: min(places)[0]])) <= limit:
        return tokens(text[: min(places)[0]]), "stop", min(places)[1]
    # A token of the limit is for the end.
    whole = len(pieces) < limit
    return (pieces, "stop", None) if whole else (pieces[:limit], "length", None)


def sse(event: Any) -> bytes:
    return b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n"


def refuses(message: str, status: int = 400) -> httpx.Response:
    error = {"message": message, "type": "BadRequestError", "param": None, "code": status}
    return httpx.Response(status, json={"error": error})
