"""Our engines pass the suite that ships."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage

from eta_guard import embedded
from eta_guard.engines.chat_model.engine import ChatModelEngine
from eta_guard.engines.local.engine import LocalEngine
from eta_guard.protocols import Engine
from eta_guard.testing import EngineTests
from tests.chat_fakes import FakeChat, says
from tests.engines.vllm.server import PlayedServer


def within_budget(messages: list[BaseMessage], settings: dict[str, Any]) -> AIMessage:
    """Answers in words, each of them a token, and by the picture."""
    answer = says(f"The picture of {len(str(messages[-1].content))} letters shows a cat.")
    words = str(answer(messages, settings).text).split(" ")
    most = settings.get("max_tokens") or len(words)
    reason = "length" if most < len(words) else "stop"
    return AIMessage(" ".join(words[:most]), response_metadata={"finish_reason": reason})


@cache
def local_engine() -> LocalEngine:
    return LocalEngine.from_pretrained(str(embedded.path("chat")), device="cpu")


class TestLocalEngine(EngineTests):
    @pytest.fixture
    def engine(self) -> Engine:
        return local_engine()


class TestChatModelEngine(EngineTests):
    @pytest.fixture
    def engine(self) -> Engine:
        return ChatModelEngine(FakeChat(script=within_budget))


class TestVllmEngine(EngineTests):
    """Over a server that is played."""

    @pytest.fixture
    def engine(self) -> Engine:
        return PlayedServer().engine()
