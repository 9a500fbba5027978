"""A server that evaluates, asked over HTTP: requests, errors, and how many go out at once."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from eta_guard.errors import EtaGuardError, EvaluationError, quoting_nothing

try:
    import httpx
except ImportError as missing:
    raise ImportError(
        "Evaluators on a server are asked over HTTP: pip install 'eta_guard[vllm]'."
    ) from missing

logger = logging.getLogger(__name__)

_AT_ONCE = 16
_FINGERPRINT_TIMEOUT = 5.0
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
        timeout: Seconds to wait for a connection, and for an answer.
        client: In place of one of its own, for proxies, certificates and tests.
        async_client: The same for asynchronous requests; without it, each call opens one, since a
            client belongs to one event loop.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        client: httpx.Client | None = None,
        async_client: httpx.AsyncClient | None = None,
    ) -> None:
        self.model = model
        self._root = base_url.rstrip("/").removesuffix("/v1")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout = timeout
        self._client = client or httpx.Client()
        self._async_client = async_client
        self._card: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        return f"ModelServer({self.where!r}, {self.model!r})"

    @property
    def where(self) -> str:
        """The address without user and password."""
        return httpx.URL(self._root).netloc.decode()

    @property
    def card(self) -> Mapping[str, Any]:
        """What the server tells of the model (``/v1/models``); empty if it does not answer then.

        Asked until it is told.
        """
        if self._card is not None:
            return self._card
        try:
            response = self._client.get(
                f"{self._root}/v1/models", headers=self._headers, timeout=_FINGERPRINT_TIMEOUT
            )
            cards = response.raise_for_status().json()["data"]
            found: Mapping[str, Any] = next(card for card in cards if card["id"] == self.model)
            self._card = found
        except (httpx.HTTPError, ValueError, LookupError, TypeError, StopIteration) as error:
            logger.warning(
                "%s does not tell what stands behind %s (%s); it is known by that name.",
                self.where,
                self.model,
                type(error).__name__,
            )
            return {}
        return found

    @property
    def fingerprint(self) -> str:
        """The model's name, with what stands behind it if the server tells."""
        root = self.card.get("root")
        return f"{self.model} ({root})" if root and root != self.model else self.model

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
        """Does as ``ask``."""
        places = asyncio.Semaphore(_AT_ONCE)
        async with self._opened() as client:

            async def settled(request: Request) -> Any:
                async with places:
                    try:
                        response = await client.post(**self._arguments(request))
                        return _answer(response)
                    except (httpx.HTTPError, EvaluationError) as error:
                        return self._failure(error, request)

            return list(await asyncio.gather(*map(settled, requests)))

    def _settled(self, request: Request) -> Any:
        try:
            return _answer(self._client.post(**self._arguments(request)))
        except (httpx.HTTPError, EvaluationError) as error:
            return self._failure(error, request)

    def _arguments(self, request: Request) -> dict[str, Any]:
        return {
            "url": self._root + request.path,
            "json": {"model": self.model, **request.body},
            "headers": self._headers,
            "timeout": self._timeout,
        }

    def _failure(self, error: Exception, request: Request) -> Exception:
        if isinstance(error, EtaGuardError):
            # vLLM repeats a whole request whose form it rejects.
            return quoting_nothing(error, request.secrets)
        return EvaluationError(
            f"The server at {self.where} does not answer ({type(error).__name__}).",
            hint="See whether it runs there and is ready, or raise the timeout.",
        )

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[httpx.AsyncClient]:
        if self._async_client is not None:
            yield self._async_client
            return
        async with httpx.AsyncClient() as client:
            yield client


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


def _answer(response: httpx.Response) -> Any:
    try:
        body = response.json()
    except json.JSONDecodeError:
        body = response.text
    if response.status_code == httpx.codes.OK and isinstance(body, dict) and "error" not in body:
        return body
    found = body.get("error", body) if isinstance(body, Mapping) else body
    said = str(found.get("message", found) if isinstance(found, Mapping) else found).strip()
    said = said[:_LONGEST].rstrip(".") or "no message"
    raise EvaluationError(
        f"The server refused with status {response.status_code}: {said}.",
        hint="Mend the server's settings; its log says more.",
    )
