"""What the guard costs in front of a provider's model: of its own time, and of requests at once."""

from __future__ import annotations

import asyncio
import threading
from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from time import perf_counter, process_time, sleep
from typing import Any

import numpy as np
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from PIL import Image
from pydantic import Field

from eta_guard.bench.graph_overhead import constant
from eta_guard.bench.guarded import FLAGS_ALL
from eta_guard.engines.chat_model.engine import ChatModelEngine
from eta_guard.guard import EtaGuard

LATENCY = 0.3
"""Seconds that a call of the played provider takes."""
AT_ONCE = 24
"""Requests."""
PHOTO = (4000, 3000)
"""Pixels of a photo: 12 megapixels."""


@dataclass
class Flight:
    """How many calls were under way at once, and the most threads that there were."""

    now: int = 0
    most: int = 0
    threads: int = 0

    def __enter__(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        self.threads = max(self.threads, threading.active_count())

    def __exit__(self, *_: object) -> None:
        self.now -= 1


class PlayedProvider(BaseChatModel):
    """Answers after the latency of a provider, other words for another seed."""

    latency: float = LATENCY
    seed: int | None = None
    flight: Any = Field(default_factory=Flight)

    @property
    def _llm_type(self) -> str:
        return "played-provider"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with self.flight:
            sleep(self.latency)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(f"Words {self.seed}."))])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with self.flight:
            await asyncio.sleep(self.latency)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(f"Words {self.seed}."))])


def in_front_of_a_provider() -> dict[str, float]:
    """Flagged requests whose evaluators cost nothing.

    Returns:
        ``alone_s`` and ``at_once_s``: seconds of one request and of ``AT_ONCE`` in one event loop;
        ``most_calls`` of the provider under way at the same time, ``most_threads`` of the process;
        ``photo_cpu_s``: the processor's seconds of one request with a photo of 12 megapixels, in
        which the provider takes no time.
    """
    model = PlayedProvider()
    guard = _around(model)
    small = [_question(seed, (32, 32)) for seed in range(AT_ONCE)]

    async def ask(questions: list[HumanMessage]) -> float:
        begun = perf_counter()
        await asyncio.gather(*(guard.ainvoke([question]) for question in questions))
        return perf_counter() - begun

    asyncio.run(ask(small[:1]))  # compiles the graph
    alone = asyncio.run(ask(small[:1]))
    at_once = asyncio.run(ask(small))
    photo = _question(0, PHOTO)
    instant = _around(PlayedProvider(latency=0.0))
    begun = process_time()
    instant.invoke([photo])
    return {
        "requests": AT_ONCE,
        "latency_s": LATENCY,
        "alone_s": alone,
        "at_once_s": at_once,
        "most_calls": model.flight.most,
        "most_threads": model.flight.threads,
        "photo_cpu_s": process_time() - begun,
    }


def _around(model: BaseChatModel) -> EtaGuard:
    part = constant(1)
    return EtaGuard(
        engine=ChatModelEngine(model),
        image_evaluator=part,
        response_evaluator=part,
        policy=FLAGS_ALL,
    )


def _question(seed: int, size: tuple[int, int]) -> HumanMessage:
    """A question about a photo-like picture, smooth enough to be a JPEG of a photo's size."""
    width, height = size
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    buffer = BytesIO()
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=85)
    data = b64encode(buffer.getvalue()).decode()
    picture = {"type": "image", "base64": data, "mime_type": "image/jpeg"}
    return HumanMessage([picture, {"type": "text", "text": "What is this?"}])
