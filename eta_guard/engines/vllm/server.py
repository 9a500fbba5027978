"""The server as a session asks it: streams that are read as far as they are wanted."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping
from typing import Any

from eta_guard.engines.vllm.drawing import Drawing
from eta_guard.engines.vllm.messages import Naming, named_by
from eta_guard.engines.vllm.stream import Events, broken_off, refusal
from eta_guard.errors import EngineError
from eta_guard.server.clients import httpx
from eta_guard.server.connection import BROKEN, Connection, again_if_busy, said
from eta_guard.server.retries import Retries, TryAgainError

logger = logging.getLogger(__name__)

_COUNTED = ("messages", "continue_final_message", "add_generation_prompt")


class Server:
    """Draws answers over a connection, in both ways of asking.

    Args:
        connection: To the server.
        special_tokens: Whether it is to put the tokenizer's own tokens before the prompt.
        by_id: Whether it may be told of pictures by ids.
    """

    def __init__(self, connection: Connection, *, special_tokens: bool, by_id: bool) -> None:
        self._connection = connection
        self._more = {"add_special_tokens": True} if special_tokens else {}
        self.naming: Naming | None = named_by(secrets.token_bytes(32)) if by_id else None
        """Gives pictures ids; None where they are always sent whole."""

    @property
    def where(self) -> str:
        """The address without user and password."""
        return self._connection.where

    @property
    def retries(self) -> Retries:
        """How often, and how long, a request is sent again."""
        return self._connection.retries

    def card(self) -> Mapping[str, Any]:
        """What it tells of the model; empty if it tells nothing."""
        return self._connection.card()

    async def acard(self) -> Mapping[str, Any]:
        """Does as ``card``."""
        return await self._connection.acard()

    def follow(self, drawing: Drawing) -> None:
        """Has something drawn; the stream closes where nothing more of it is wanted.

        Raises:
            TryAgainError: It did not begin, and might.
            EngineError: The server cannot be reached, refuses, or breaks off.
        """
        events = Events(drawing.secret)
        try:
            with self._connection.client.stream("POST", **self._request(drawing)) as response:
                if response.status_code != httpx.codes.OK:
                    response.read()
                    raise _refused(response, drawing)
                for piece in response.iter_bytes():
                    if any(drawing.take(event) for event in events.read(piece)) or events.ended:
                        return
        except httpx.HTTPError as error:
            raise self._failure(error, drawing) from error
        raise _again(broken_off(), drawing)

    async def afollow(self, drawing: Drawing) -> None:
        """Does as ``follow``; a request that is cancelled closes its stream at once."""
        events = Events(drawing.secret)
        client = await self._connection.async_client()
        try:
            async with client.stream("POST", **self._request(drawing)) as response:
                if response.status_code != httpx.codes.OK:
                    await response.aread()
                    raise _refused(response, drawing)
                async for piece in response.aiter_bytes():
                    for event in events.read(piece):
                        if await _atake(drawing, event):
                            return
                    if events.ended:
                        return
        except httpx.HTTPError as error:
            raise self._failure(error, drawing) from error
        raise _again(broken_off(), drawing)

    def length(self, body: Mapping[str, Any]) -> tuple[int, int] | None:
        """Tokens of a prompt, and of the model's context; None if the server does not count them.

        Args:
            body: Of a request.
        """
        try:
            return _counted(self._connection.client.post(**self._counting(body)))
        except httpx.HTTPError as error:
            self._log_uncounted(error)
            return None

    async def alength(self, body: Mapping[str, Any]) -> tuple[int, int] | None:
        """Does as ``length``."""
        client = await self._connection.async_client()
        try:
            return _counted(await client.post(**self._counting(body)))
        except httpx.HTTPError as error:
            self._log_uncounted(error)
            return None

    def _request(self, drawing: Drawing) -> dict[str, Any]:
        body = {
            **drawing.body,
            "stream": True,
            # Counts in every event: those of a stream that is closed early have come, too.
            "stream_options": {"include_usage": True, "continuous_usage_stats": True},
            **self._more,
        }
        return self._connection.request("/v1/chat/completions", body)

    def _counting(self, body: Mapping[str, Any]) -> dict[str, Any]:
        counted = {name: body[name] for name in _COUNTED if name in body}
        return self._connection.request("/tokenize", {**counted, **self._more})

    def _log_uncounted(self, error: httpx.HTTPError) -> None:
        logger.info("%s counts no tokens (%s).", self.where, type(error).__name__)

    def _failure(self, error: httpx.HTTPError, drawing: Drawing) -> Exception:
        if isinstance(error, BROKEN) and not isinstance(error, httpx.ConnectError):
            return _again(broken_off(), drawing, error)
        unanswered = EngineError(
            f"The server at {self.where} does not answer ({type(error).__name__}).",
            hint="See whether `vllm serve` runs there and is ready, or raise the timeout.",
        )
        return _again(unanswered, drawing, error) if isinstance(error, BROKEN) else unanswered


async def _atake(drawing: Drawing, event: Mapping[str, Any]) -> bool:
    if drawing.waits:
        return await asyncio.to_thread(drawing.take, event)
    return drawing.take(event)


def _refused(response: httpx.Response, drawing: Drawing) -> Exception:
    told = refusal(said(response.content), drawing.secret, response.status_code)
    return again_if_busy(response, told)


def _again(
    error: EngineError, drawing: Drawing, cause: Exception | None = None
) -> EngineError | TryAgainError:
    error.__cause__ = cause
    return error if drawing.begun else TryAgainError(error)


def _counted(response: httpx.Response) -> tuple[int, int] | None:
    found = said(response.content)
    if response.status_code != httpx.codes.OK or not isinstance(found, Mapping):
        return None
    length, context = found.get("count"), found.get("max_model_len")
    return (length, context) if isinstance(length, int) and isinstance(context, int) else None
