"""HTTP clients: one for all threads, and one for each event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from threading import Lock

try:
    import httpx
except ImportError as missing:
    raise ImportError("Servers are asked over HTTP: pip install 'eta_guard[vllm]'.") from missing

__all__ = ["LoopClients", "httpx", "new_client"]

# How many requests a server works on at once is its own affair.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=100)


def new_client() -> httpx.Client:
    """A client for synchronous requests."""
    return httpx.Client(limits=_LIMITS)


class LoopClients:
    """An asynchronous client for each event loop that asks for one, since it belongs to one.

    A client lives as long as its loop: ``asyncio.run``, like whatever else ends a loop properly,
    closes the asynchronous generators that began in it, and the client with the one that holds it.
    """

    def __init__(self, make: Callable[[], httpx.AsyncClient] | None = None) -> None:
        self._make = make or (lambda: httpx.AsyncClient(limits=_LIMITS))
        self._known: dict[asyncio.AbstractEventLoop, _Held] = {}
        self._changing = Lock()

    async def here(self) -> httpx.AsyncClient:
        """The client of the running loop."""
        loop = asyncio.get_running_loop()
        with self._changing:
            for ended in [one for one in self._known if one.is_closed()]:
                del self._known[ended]
            held = self._known.get(loop)
            if held is None:
                held = self._known[loop] = _Held(self._make())
        await held.begin()
        return held.client


class _Held:
    """A client, and the generator that closes it."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self._holding = self._hold()
        self._begun = False

    async def begin(self) -> None:
        if not self._begun:
            self._begun = True
            await anext(self._holding)

    async def _hold(self) -> AsyncGenerator[None]:
        async with self.client:
            yield
