"""A server of evaluators, played without a socket: sync and async clients for one script."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

BASE_URL = "http://vllm.test/v1"
Plays = Callable[[str, dict[str, Any]], Any]
"""Path and body → the JSON of the answer, or a response."""


@dataclass
class PlayedServer:
    """Answers by its script, and remembers what it was asked."""

    plays: Plays
    cards: list[dict[str, Any]] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.method == "GET":
            assert request.url.path == "/v1/models"
            return httpx.Response(200, json={"object": "list", "data": self.cards})
        answer = self.plays(request.url.path, json.loads(request.content))
        if isinstance(answer, httpx.Response):  # anew: one is read in one of the two ways alone
            return httpx.Response(answer.status_code, content=answer.content)
        return httpx.Response(200, json=answer)

    @property
    def clients(self) -> dict[str, Any]:
        """As arguments of what asks the server."""
        transport = httpx.MockTransport(self.handle)
        return {
            "client": httpx.Client(transport=transport),
            "async_client": httpx.AsyncClient(transport=transport),
        }

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(one.content) for one in self.requests if one.method == "POST"]
