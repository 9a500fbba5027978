"""Settings that must stand before the first import of torch."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest

from tests.vllm_server import serving

# The models of the tests are so small that a second thread costs more than it computes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# No test may reach for the hub; what looks for it is to fail at once.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# A LangSmith that stands in for the real one takes what is sent uncompressed.
os.environ.setdefault("LANGSMITH_DISABLE_RUN_COMPRESSION", "true")

# Asked for a loop where none was ever set, asyncio makes one: pytest-asyncio asks, in order to put
# back what was there, and a later asyncio.run() lets go of that loop without closing it.
asyncio.set_event_loop(None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets tests marked ``loopback`` or ``vllm`` reach servers of their own, and nothing else."""
    for item in items:
        if item.get_closest_marker("loopback") or item.get_closest_marker("vllm"):
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1"]))


@pytest.fixture(scope="session")
def chat_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real vLLM that serves the shipped chat model as ``chat``."""
    with serving("chat", tmp_path_factory.mktemp("vllm") / "log") as address:
        yield address


@pytest.fixture(scope="session")
def reward_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real vLLM that serves the shipped reward model as ``reward``."""
    with serving("reward", tmp_path_factory.mktemp("vllm") / "log") as address:
        yield address
