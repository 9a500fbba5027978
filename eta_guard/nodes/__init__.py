"""The nodes of the graph, one a file: each a factory that returns ``state -> partial update``.

The update comes as ``Steps``: what a node asks of engine and evaluators it yields, and whoever
drives it asks, synchronously or asynchronously.
"""

from __future__ import annotations

from typing import Any, Protocol

from langchain_core.runnables import RunnableConfig

from eta_guard.state import GuardState
from eta_guard.steps import Steps


class Node(Protocol):
    """What a factory returns."""

    def __call__(self, state: GuardState, config: RunnableConfig) -> Steps[dict[str, Any]]:
        """Reads the state and returns what changes."""
        ...
