"""The nodes of the graph, one a file: each a factory that returns ``state -> partial update``."""

from __future__ import annotations

from typing import Any, Protocol

from langchain_core.runnables import RunnableConfig

from eta_guard.state import GuardState


class Node(Protocol):
    """What a factory returns."""

    def __call__(self, state: GuardState, config: RunnableConfig) -> dict[str, Any]:
        """Reads the state and returns what changes."""
        ...
