"""A vLLM server, played: it honours what the engine asks of one, token by token, without a socket.

Its tokens are words with the white space before them. The forms in which it answers are those that
were recorded of a real one (``recorded``).
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from eta_guard import VllmEngine

BASE_URL = "http://vllm.test/v1"
PROMPT_TOKENS = 10
BLOCK = 4
"""Tokens of a block of the prefix cache."""
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
class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A response that knows how far it was read."""

    pieces: Iterator[bytes]
    waits: Callable[[], Awaitable[None]] | None = None
    sent: int = 0
    closed: bool = False

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            self.sent += 1
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            if self.waits:
                await self.waits()
            yield piece

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class PlayedServer:
    """Writes what its script says after the answer that is begun, for a seed."""

    writes: Writes = sentences
    model: str = "llava"
    root: str | None = "org/llava-7b"
    context: int = 10_000
    prompt: int = PROMPT_TOKENS
    continuous: bool = True
    """Whether every event has the counts; only the last one otherwise."""
    details: bool = False
    """Whether the last one tells of the prefix cache (``--enable-prompt-tokens-details``)."""
    trims: bool = False
    """Whether the chat template trims the answer that is begun."""
    keeps: bool = True
    """Whether pictures are found by their ids."""
    owner: str = "vllm"
    calls: list[tuple[str, list[str]]] = field(default_factory=list)
    """Names and pieces of arguments of the calls that an answer to a request with tools ends in."""
    fails: Callable[[httpx.Request], httpx.Response | None] = lambda request: None
    waits: Callable[[], Awaitable[None]] | None = None
    """Is awaited before each piece, where it is asked asynchronously."""
    requests: list[httpx.Request] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    streams: list[Body] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    read: list[tuple[str, list[str]]] = field(default_factory=list)

    def engine(self, **settings: Any) -> VllmEngine:
        transport = httpx.MockTransport(self.handle)
        given = {
            "client": httpx.Client(transport=transport),
            "async_client": httpx.AsyncClient(transport=transport),
            "retries": 0,
            **settings,
        }
        return VllmEngine(BASE_URL, self.model, **given)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if failure := self.fails(request):
            return failure
        if request.method == "GET":
            assert request.url.path == "/v1/models"
            told = {"root": self.root, "owned_by": self.owner, "max_model_len": self.context}
            cards = [{"id": "other", "root": "x"}, {"id": self.model, **told}]
            return httpx.Response(200, json={"object": "list", "data": cards})
        body = json.loads(request.content)
        begun = self._begun(body) if body.get("continue_final_message") else ""
        prompt = self.prompt + len(tokens(begun))
        if request.url.path == "/tokenize":
            return httpx.Response(200, json={"count": prompt, "max_model_len": self.context})
        assert request.url.path == "/v1/chat/completions"
        self.bodies.append(body)
        if refused := self._refused(body, prompt):
            return refuses(refused)
        assert bool(begun) == (body["messages"][-1]["role"] == "assistant")
        assert body["stream"]
        self.streams.append(Body(self._events(body, begun, prompt), self.waits))
        return httpx.Response(200, stream=self.streams[-1])

    def _refused(self, body: dict[str, Any], prompt: int) -> str | None:
        if body.get("continue_final_message") and body.get("add_generation_prompt", True):
            return "continue_final_message and add_generation_prompt are not compatible."
        if body["max_tokens"] > self.context:
            return (
                f"max_tokens={body['max_tokens']} cannot be greater than"
                f" max_model_len={self.context}. Please request fewer output tokens."
            )
        if prompt >= self.context:
            return (
                f"This model's maximum context length is {self.context} tokens. However, your"
                f" prompt contains at least {self.context + 1} input tokens."
            )
        for block in pictures(body):
            if block["image_url"]:
                self.kept[block.get("uuid", "")] = block["image_url"]["url"]
            elif not self.keeps or block["uuid"] not in self.kept:
                return "Cache miss for image at index 0 but data is not provided."
        return None

    def _begun(self, body: dict[str, Any]) -> str:
        begun: str = body["messages"][-1]["content"]
        return begun.rstrip() if self.trims else begun

    def _found(self, body: dict[str, Any], begun: str) -> int:
        """Tokens of the prompt that stand in whole blocks which were read before."""
        head = json.dumps([one for one in body["messages"] if one["role"] != "assistant"])
        head, words = re.sub('"image_url": {[^}]*}', '"image_url": null', head), tokens(begun)
        common = 0
        for other, known in self.read:
            if other == head:
                same = [one == two for one, two in zip(words, known, strict=False)]
                common = max(common, self.prompt + [*same, False].index(False))
        self.read.append((head, words))
        return common // BLOCK * BLOCK

    def _events(self, body: dict[str, Any], begun: str, prompt: int) -> Iterator[bytes]:
        count, found = body.get("n", 1), self._found(body, begun) if self.details else 0
        limit = min(body["max_tokens"], self.context - prompt)
        calls = self.calls if body.get("tool_choice") in ("auto", "required") else []
        rows = [
            list(written(self.writes(begun, body.get("seed", 0) + i), limit, body, calls))
            for i in range(count)
        ]
        usage = {"prompt_tokens": prompt, "completion_tokens": 0}
        for index in range(count):
            yield self._event(index, {"role": "assistant", "content": ""}, None, None, usage)
        for step in range(max(map(len, rows))):
            for index, row in enumerate(rows):
                if step < len(row):
                    spent = {**usage, "completion_tokens": step + 1}
                    yield self._event(index, *row[step], spent)
        last: dict[str, Any] = {**usage, "completion_tokens": sum(map(len, rows))}
        if self.details:
            last["prompt_tokens_details"] = {"cached_tokens": found}
        yield sse({"choices": [], "usage": last})
        yield b"data: [DONE]\n\n"

    def _event(
        self,
        index: int,
        delta: dict[str, Any],
        told: str | None,
        stop_reason: str | None,
        usage: dict[str, int],
    ) -> bytes:
        ended = {"finish_reason": told, **({"stop_reason": stop_reason} if told else {})}
        choice = {"index": index, "delta": delta, **ended}
        return sse({"choices": [choice], **({"usage": usage} if self.continuous else {})})


Step = tuple[dict[str, Any], str | None, str | None]
"""What a token adds, why the answer ends with it, and the stop text that ends it."""


def written(
    text: str, limit: int, body: dict[str, Any], calls: list[tuple[str, list[str]]]
) -> Iterator[Step]:
    """The tokens of an answer; the last one is that of its end."""
    places = [(text.find(one), one) for one in body.get("stop", []) if one in text]
    stop = min(places)[1] if places else None
    pieces = tokens(text[: min(places)[0]] if places else text)
    deltas: list[dict[str, Any]] = [{"content": piece} for piece in pieces]
    for index, (name, arguments) in enumerate(calls):
        head = {"id": f"chatcmpl-tool-{index}", "type": "function", "index": index}
        deltas.append(called({**head, "function": {"name": name}}))
        deltas += [called({"index": index, "function": {"arguments": one}}) for one in arguments]
    if len(deltas) < limit:
        yield from ((delta, None, None) for delta in deltas)
        yield {}, "tool_calls" if calls else "stop", stop
        return
    yield from ((delta, None, None) for delta in deltas[: limit - 1])
    # The server's parser may keep what came last: it cannot tell what it is.
    yield {} if calls else deltas[limit - 1], "length", None


def called(piece: dict[str, Any]) -> dict[str, Any]:
    return {"content": None, "tool_calls": [piece]}


def pictures(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for message in body["messages"]:
        if not isinstance(message["content"], str):
            yield from (one for one in message["content"] if one["type"] == "image_url")


def sse(event: Any) -> bytes:
    return b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n"


def refuses(message: str, status: int = 400) -> httpx.Response:
    error = {"message": message, "type": "BadRequestError", "param": None, "code": status}
    return httpx.Response(status, json={"error": error})
