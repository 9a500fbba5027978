"""Sessions over a played server."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import HumanMessage

from eta_guard.engines.vllm.session import VllmSession
from eta_guard.protocols import Generation, Sampling
from eta_guard.request.conversation import read_conversation
from tests.engines.vllm.server import PlayedServer
from tests.fakes import UNSAFE, question

SAMPLING = Sampling(top_k=5, temperature=1.5, max_sentence_tokens=70)
PREFIX = "As an AI assistant"  # four tokens


def opened(server: PlayedServer, *messages: Any, **generation: Any) -> VllmSession:
    given = read_conversation(list(messages) or [question(UNSAFE)])
    return server.engine().open(given, Generation(**generation))


def begun(server: PlayedServer, prefix: str = PREFIX, **generation: Any) -> VllmSession:
    session = opened(server, HumanMessage("So?"), **generation)
    session.prefill(prefix)
    return session


def saying(text: str, **settings: Any) -> PlayedServer:
    return PlayedServer(lambda begun, seed: text, **settings)
