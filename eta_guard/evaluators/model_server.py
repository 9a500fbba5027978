"""A server that evaluates, asked over HTTP: requests, errors, and how many go out at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from eta_guard.errors import EvaluationError, quoting_nothing
from eta_guard.server.clients import httpx
from eta_guard.server.connection import BROKEN, Connection, again_if_busy, said
from eta_guard.server.retries import TryAgainError
from eta_guard.steps import adrive, drive

logger = logging.getLogger(__name__)

_AT_ONCE = 16
_LONGEST = 500


@dataclass(frozen=True)
class Request:
    """One request."""

    path: str
    """Under the server's address, from ``/v1`` on where it begins so."""
    body: Mapping[str, Any] = field(repr=False)
    secrets: Sequence[str] = field(default=(), repr=False)
    """Texts that no error may quote."""


class ModelServer:
    """A vLLM server, or one with its interface. Safe to share between threads and event loops.

    Args:
        base_url: Its address, up to ``/v1`` or without it.
        model: The name under which it serves the model.
        api_key: Sent as a bearer token.
        timeout: Seconds for an answer, from the request to its last byte.
        retries: How often a request is sent again that found the server busy (status 429 or 503)
            or its connection broken; never later than ``timeout`` after the first time.
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
        self.model = model
        self._connection = Connection(
            base_url,
            model,
            api_key=api_key,
            timeout=timeout,
            retries=retries,
            client=client,
            async_client=async_client,
        )

    def __repr__(self) -> str:
        return f"ModelServer({self.where!r}, {self.model!r})"

    @property
    def where(self) -> str:
        """The address without user and password."""
        return self._connection.where

    @property
    def card(self) -> Mapping[str, Any]:
        """What the server tells of the model (``/v1/models``); empty if it tells nothing."""
        return self._connection.card()

    @property
    def fingerprint(self) -> str:
        """The model's name, with what stands behind it if the server tells."""
        return self._connection.fingerprint

    def ask(self, requests: Sequence[Request]) -> list[Any]:
        """Sends requests at the same time.

        Returns:
            The JSON of each answer, or the ``EvaluationError`` in its place.
        """
        if len(requests) == 1:
            return [self._settled(requests[0])]
        with ThreadPoolExecutor(min(_AT_ONCE, len(requests) or 1)) as pool:
            return list(pool.map(self._settled, requests))

    async def aask(self, requests: Sequence[Request]) -> list[Any]:
        """Does as ``ask``; where it is cancelled, so are the requests."""
        places = asyncio.Semaphore(_AT_ONCE)

        async def settled(request: Request) -> Any:
            async with places:
                try:
                    persistently = self._connection.retries.persistently
                    return await adrive(persistently(self.send, request))
                except EvaluationError as error:
                    return error

        return list(await asyncio.gather(*map(settled, requests)))

    def _settled(self, request: Request) -> Any:
        try:
            return drive(self._connection.retries.persistently(self.send, request))
        except EvaluationError as error:
            return error

    def send(self, request: Request) -> Any:
        """Sends one request, once; gives the JSON of its answer.

        Raises:
            TryAgainError: The server was busy, or the connection broke.
            EvaluationError: The server does not answer, or refuses.
        """
        connection, until = self._connection, time.monotonic() + self._connection.timeout
        try:
            sent = connection.request(request.path, request.body)
            with connection.client.stream("POST", **sent) as response:
                body = b""
                for piece in response.iter_bytes():
                    body += piece
                    if time.monotonic() > until:
                        raise httpx.ReadTimeout("The answer takes too long.")
        except httpx.HTTPError as error:
            raise self._unanswered(error) from None
        return _answer(response, body, request)

    async def asend(self, request: Request) -> Any:
        """Does as ``send``."""
        connection = self._connection
        client = await connection.async_client()
        try:
            async with asyncio.timeout(connection.timeout):
                response = await client.post(**connection.request(request.path, request.body))
        except (httpx.HTTPError, TimeoutError) as error:
            raise self._unanswered(error) from None
        return _answer(response, response.content, request)

    def _unanswered(self, error: Exception) -> Exception:
        failure = EvaluationError(
            f"The server at {self.where} does not answer ({type(error).__name__}).",
            hint="See whether it runs there and is ready, or raise the timeout.",
        )
        return TryAgainError(failure) if isinstance(error, BROKEN) else failure


def require_answers(settled: Sequence[Any], who: str) -> None:
    """Logs what failed.

    Raises:
        EvaluationError: All did.
    """
    failed = [error for error in settled if isinstance(error, Exception)]
    if failed and len(failed) == len(settled):
        raise failed[0]
    for error in failed:
        # What a server says may repeat what it was asked, in a form that no search would find.
        told = type(error).__name__
        logger.warning("%s: one of %d questions is unscored (%s).", who, len(settled), told)


def _answer(response: httpx.Response, content: bytes, request: Request) -> Any:
    body = said(content)
    if response.status_code == httpx.codes.OK and isinstance(body, dict) and "error" not in body:
        return body
    found = body.get("error", body) if isinstance(body, Mapping) else body
    told = str(found.get("message", found) if isinstance(found, Mapping) else found).strip()
    told = told[:_LONGEST].rstrip(".") or "no message"
    refused = EvaluationError(
        f"The server refused with status {response.status_code}: {told}.",
        hint="Mend the server's settings; its log says more.",
    )
    # vLLM repeats a whole request whose form it rejects.
    raise again_if_busy(response, quoting_nothing(refused, request.secrets))
