"""One server: where it is, how it is asked, and what it tells of its models."""

from __future__ import annotations

import json
import logging
import time
import weakref
from collections.abc import Mapping
from typing import Any

from eta_guard.server.clients import LoopClients, httpx, new_client
from eta_guard.server.retries import BUSY, Retries, TryAgainError

logger = logging.getLogger(__name__)

_CARD_TIMEOUT = 5.0
_ASKED_AGAIN_AFTER = 30.0
BROKEN = (httpx.ConnectError, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
"""What httpx raises where a connection breaks, or cannot be made."""


class Connection:
    """A server with an OpenAI-compatible interface. Safe to share between threads and event loops.

    Args:
        base_url: Its address, up to ``/v1`` or without it.
        model: The name under which it serves the model.
        api_key: Sent as a bearer token.
        timeout: Seconds to wait for a connection, and for each next piece of an answer.
        retries: How often a request is sent again that found the server busy (status 429 or 503)
            or its connection broken, before anything of an answer has come; never later than
            ``timeout`` after the first time.
        client: In place of one of its own, for proxies, certificates and tests.
        async_client: The same for asynchronous requests, of one event loop; without it, each loop
            has one of its own.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        retries: int = 3,
        client: httpx.Client | None = None,
        async_client: httpx.AsyncClient | None = None,
    ) -> None:
        self.model, self.timeout = model, timeout
        self.retries = Retries(retries, within=timeout)
        self.root = base_url.rstrip("/").removesuffix("/v1")
        self.headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.client = client or self._own_client()
        self._async_client, self._of_loops = async_client, LoopClients()
        self._card: Mapping[str, Any] | None = None
        self._not_before = 0.0

    def _own_client(self) -> httpx.Client:
        client = new_client()
        weakref.finalize(self, client.close)
        return client

    @property
    def where(self) -> str:
        """The address without user and password."""
        return httpx.URL(self.root).netloc.decode()

    async def async_client(self) -> httpx.AsyncClient:
        """The client for requests of the running event loop."""
        return self._async_client or await self._of_loops.here()

    def request(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """A request, as arguments of a client's ``post`` or ``stream``."""
        return {
            "url": self.root + path,
            "json": {"model": self.model, **body},
            "headers": self.headers,
            "timeout": self.timeout,
        }

    @property
    def fingerprint(self) -> str:
        """The model's name, with what stands behind it if the server tells."""
        root = self.card().get("root")
        return f"{self.model} ({root})" if root and root != self.model else self.model

    def card(self) -> Mapping[str, Any]:
        """What the server tells of the model (``/v1/models``); empty if it tells nothing.

        Asked until there is an answer, whichever, and not more often than twice a minute.
        """
        if self._card is None and time.monotonic() >= self._not_before:
            try:
                self._read_card(self.client.get(**self._card_request))
            except httpx.HTTPError as error:
                self._without_card(error)
        return self._card or {}

    async def acard(self) -> Mapping[str, Any]:
        """Does as ``card``."""
        if self._card is None and time.monotonic() >= self._not_before:
            try:
                client = await self.async_client()
                self._read_card(await client.get(**self._card_request))
            except httpx.HTTPError as error:
                self._without_card(error)
        return self._card or {}

    @property
    def _card_request(self) -> dict[str, Any]:
        url = f"{self.root}/v1/models"
        return {"url": url, "headers": self.headers, "timeout": _CARD_TIMEOUT}

    def _read_card(self, response: httpx.Response) -> None:
        if response.status_code in BUSY:
            response.raise_for_status()
        try:
            cards = response.raise_for_status().json()["data"]
            self._card = next(dict(card) for card in cards if card["id"] == self.model)
        except (httpx.HTTPStatusError, ValueError, LookupError, TypeError, StopIteration) as error:
            self._card = {}
            self._log(error)

    def _without_card(self, error: Exception) -> None:
        self._not_before = time.monotonic() + _ASKED_AGAIN_AFTER
        self._log(error)

    def _log(self, error: Exception) -> None:
        logger.warning(
            "%s does not tell what stands behind %s (%s); it is known by that name.",
            self.where,
            self.model,
            type(error).__name__,
        )


def again_if_busy(response: httpx.Response, error: Exception) -> Exception:
    """The error for a refusal, or what has the request sent again if the server is only busy."""
    if response.status_code not in BUSY:
        return error
    try:
        after = max(float(response.headers.get("retry-after", "")), 0.0)
    except ValueError:  # absent, or a date
        return TryAgainError(error)
    return TryAgainError(error, after)


def said(body: bytes) -> Any:
    """What a server says: its JSON, or else its text."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
