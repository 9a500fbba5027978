"""Runs a soak: threads and tasks that ask at once, and what is checked at its end."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import aclosing, closing
from threading import Thread
from time import perf_counter
from typing import Any

from eta_guard.bench.soak.process import Held, in_one_arena
from eta_guard.bench.soak.requests import POLICY, Asked, Outcome, plan, questions
from eta_guard.guard import EtaGuard

MOST_GROWTH = 0.05
"""Of resident memory after the warm-up, as a share of it."""
GRACE = 120.0
"""Seconds after the limit in which what is under way has to end."""
SHOWN = 10
"""Wrong results that are told."""


class Soak:
    """Requests that are waiting, and what came of the others."""

    def __init__(self, requests: Sequence[Asked], limit: float) -> None:
        """Begins to count the time.

        Args:
            requests: In the order in which they are taken.
            limit: Seconds after which none is begun any more.
        """
        self._waiting = deque(requests)
        self._until = perf_counter() + limit
        self.begun: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        """By kind; those that were cut off in time under ``"cut off"``."""
        self.wrong: list[dict[str, Any]] = []

    def run(self, threads: int, tasks: int) -> None:
        """Asks all, from as many threads and tasks at once, and waits for them."""
        workers = [Thread(target=self._in_thread, daemon=True) for _ in range(threads)]
        workers.append(Thread(target=lambda: asyncio.run(self._in_tasks(tasks)), daemon=True))
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(max(0.0, self._until + GRACE - perf_counter()))

    def _take(self) -> Asked | None:
        if perf_counter() > self._until:
            return None
        try:
            asked = self._waiting.popleft()
        except IndexError:
            return None
        self.begun[asked.kind] += 1
        return asked

    def _in_thread(self) -> None:
        while (asked := self._take()) is not None:
            if asked.kind == "cancelled":
                with closing(asked.question.guard.stream([asked.question.message])) as stream:  # type: ignore[type-var]
                    next(stream)
                self._note(asked, None)
            else:
                self._note(asked, asked.question.ask(streamed=asked.streamed))

    async def _in_tasks(self, tasks: int) -> None:
        async def work() -> None:
            while (asked := self._take()) is not None:
                if asked.kind == "cancelled":
                    self._note(asked, await _cut_off(asked))
                else:
                    self._note(asked, await asked.question.aask(streamed=asked.streamed))

        await asyncio.gather(*(work() for _ in range(tasks)))

    def _note(self, asked: Asked, found: Outcome | None) -> None:
        """None: it was cut off before anything came of it."""
        self.ended[asked.kind] += 1
        if found is None:
            self.ended["cut off"] += 1
        elif not asked.right(found):
            wanted = asked.question.alone[asked.streamed]
            about = f"{asked.kind}: {asked.question.about}"
            self.wrong.append({"request": about, "wanted": list(wanted), "found": list(found)})


async def _cut_off(asked: Asked) -> Outcome | None:
    """Cancels a request at some moment of it, or closes its stream after the first chunk."""
    if asked.streamed:
        async with aclosing(asked.question.guard.astream([asked.question.message])) as stream:  # type: ignore[type-var]
            await anext(stream)
        return None
    task = asyncio.create_task(asked.question.aask(streamed=False))
    await asyncio.wait([task], timeout=asked.number % 10 / 10)
    task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return None


def soak(
    requests: int = 2000,
    *,
    threads: int = 8,
    tasks: int = 64,
    seed: int = 0,
    limit: float = 3600.0,
    say: Callable[[str], None] = lambda what: None,
) -> dict[str, Any]:
    """Asks a guard over the small models many things at once.

    Args:
        requests: How many, beside those of the warm-up.
        threads: That ask synchronously.
        tasks: That ask asynchronously, on one event loop.
        seed: Of the mixture.
        limit: Seconds after which no request begins any more.
        say: Is told what is being done.

    Returns:
        Counts, wrong results, what the process held before and after, and ``checks``: by name,
        whether it holds (None where this system does not tell).
    """
    in_one_arena()
    say("Loading the models")
    known = questions(EtaGuard.from_pretrained("embedded", policy=POLICY))
    say("Asking each question alone")
    for question in {id(one): one for several in known.values() for one in several}.values():
        question.ask_alone()
    before = Held.now()
    say("Warming up")
    Soak(plan(known, max(requests // 10, threads + tasks), seed + 1), limit).run(threads, tasks)
    warm = Held.now()
    say(f"Asking {requests} requests from {threads} threads and {tasks} tasks")
    begun = perf_counter()
    asking = Soak(plan(known, requests, seed), limit)
    asking.run(threads, tasks)
    seconds = perf_counter() - begun
    return {
        "requests": sum(asking.begun.values()),
        "threads": threads,
        "tasks": tasks,
        "seconds": seconds,
        "ended": dict(asking.ended),
        "wrong": len(asking.wrong),
        "wrong_shown": asking.wrong[:SHOWN],
        **_checked(asking, before, warm, Held.now()),
    }


def _checked(asking: Soak, before: Held, warm: Held, after: Held) -> dict[str, Any]:
    hung = sum(asking.begun.values()) - sum(
        count for kind, count in asking.ended.items() if kind != "cut off"
    )
    left = sorted(thread.name for thread in after.threads - before.threads)
    grown = after.memory / warm.memory - 1 if after.memory and warm.memory else None
    return {
        "hung": hung,
        "memory": {
            "before": before.memory,
            "warm": warm.memory,
            "after": after.memory,
            "grown": grown,
        },
        "threads_left": left,
        "connections": {"before": before.connections, "after": after.connections},
        "files": {"before": before.files, "after": after.files},
        "checks": {
            "each its own result": not asking.wrong,
            "all ended": hung == 0,
            "memory": None if grown is None else grown <= MOST_GROWTH,
            "no thread left": not left,
            "no connection left": _none_left(before.connections, after.connections),
            "no file left open": _none_left(before.files, after.files),
        },
    }


def _none_left(before: int | None, after: int | None) -> bool | None:
    return None if before is None or after is None else after <= before
