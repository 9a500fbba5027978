"""What a vLLM server gets done for the guard: requests one after another, and many at once."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from time import perf_counter
from typing import Any

from langchain_core.messages import AIMessage

from eta_guard.bench.graph_overhead import constant
from eta_guard.bench.guarded import FLAGS_ALL
from eta_guard.bench.pictures import request
from eta_guard.engines.vllm.engine import VllmEngine
from eta_guard.errors import InputError
from eta_guard.guard import EtaGuard
from eta_guard.server.clients import httpx

POLICY = FLAGS_ALL.updated({"max_tokens": 128})
SIDE = 64
"""Pixels of a picture."""

Say = Callable[[str], None]


def measure_server(
    url: str,
    model: str | None = None,
    *,
    requests: int = 32,
    at_once: int = 16,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Flagged requests whose evaluators cost nothing, so that the server is what is measured.

    Args:
        url: The server's address up to and with ``/v1``.
        model: The name under which it serves the model; the first it tells of without one.
        requests: How many, each about a picture of its own.
        at_once: How many of them are under way at the same time, on one event loop.
        say: Told what is being done.

    Returns:
        ``alone`` and ``together``, each with seconds, tokens drawn, and the share of the prompts'
        tokens that the server found in its prefix cache by its own metrics (None where it shows
        none); their ``ratio`` in requests a second; ``same_text``, how many requests ended with the
        same text in both; and the most threads of this process.

    Raises:
        InputError: The server tells of no model.
        EngineError: It does not answer.
    """
    root = url.rstrip("/").removesuffix("/v1")
    name = model or _only_model(root)
    say("Warming up")
    guard(url, name).invoke([request(requests, SIDE)])
    say(f"{requests} requests one after another")
    alone, texts = _measured(root, lambda: _one_by_one(guard(url, name), requests))
    say(f"{requests} requests, {at_once} at once")
    threads = _Threads()
    together, others = _measured(
        root, lambda: asyncio.run(_at_once(guard(url, name), requests, at_once, threads))
    )
    return {
        "engine": "vllm",
        "model": name,
        "requests": requests,
        "at_once": at_once,
        "alone": alone,
        "together": together,
        "ratio": together["requests_per_second"] / alone["requests_per_second"],
        "same_text": sum(one == other for one, other in zip(texts, others, strict=True)),
        "most_threads": threads.most,
    }


def guard(url: str, model: str) -> EtaGuard:
    """One that flags everything. Its engine is a new one, whose pictures no cache knows."""
    part = constant(1)
    engine = VllmEngine(url, model)
    return EtaGuard(engine=engine, image_evaluator=part, response_evaluator=part, policy=POLICY)


class _Threads:
    def __init__(self) -> None:
        self.most = 0

    def look(self) -> None:
        self.most = max(self.most, threading.active_count())


def _one_by_one(asked: EtaGuard, requests: int) -> list[AIMessage]:
    return [asked.invoke([request(seed, SIDE)], seed=seed) for seed in range(requests)]


async def _at_once(
    asked: EtaGuard, requests: int, at_once: int, threads: _Threads
) -> list[AIMessage]:
    places = asyncio.Semaphore(at_once)

    async def one(seed: int) -> AIMessage:
        async with places:
            reply = await asked.ainvoke([request(seed, SIDE)], seed=seed)
            threads.look()
            return reply

    return list(await asyncio.gather(*map(one, range(requests))))


def _measured(root: str, work: Callable[[], list[AIMessage]]) -> tuple[dict[str, Any], list[str]]:
    found, asked = _prefix_cache(root)
    begun = perf_counter()
    replies = work()
    seconds = perf_counter() - begun
    found_then, asked_then = _prefix_cache(root)
    read = asked_then - asked
    figures: dict[str, Any] = {
        "seconds": seconds,
        "requests_per_second": len(replies) / seconds,
        "output_tokens": sum(
            reply.usage_metadata["output_tokens"] for reply in replies if reply.usage_metadata
        ),
        "cache_hit_share": (found_then - found) / read if read else None,
    }
    return figures, [reply.text for reply in replies]


def _prefix_cache(root: str) -> tuple[float, float]:
    """Tokens that were found in the prefix cache, and all that were looked for, so far."""
    try:
        told = httpx.get(f"{root}/metrics", timeout=10).text
    except httpx.HTTPError:
        return 0, 0
    return _sum(told, "prefix_cache_hits_total"), _sum(told, "prefix_cache_queries_total")


def _sum(told: str, name: str) -> float:
    rows = re.findall(rf"^vllm:{name}(?:{{[^}}]*}})? (\S+)$", told, re.MULTILINE)
    return sum(map(float, rows))


def _only_model(root: str) -> str:
    try:
        cards = httpx.get(f"{root}/v1/models", timeout=10).raise_for_status().json()["data"]
        return str(cards[0]["id"])
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"{httpx.URL(root).netloc.decode()} tells of no model ({type(error).__name__}).",
            hint="See whether the server runs there, or name its model with --model.",
        ) from error
