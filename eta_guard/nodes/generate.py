"""generate: the plain answer, as the model gives it without a guard."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig

from eta_guard.nodes import Node
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Engine
from eta_guard.session import GuardSession
from eta_guard.state import GuardState


def generate(*, engine: Engine, policy: GuardPolicy) -> Node:
    """Draws the plain answer into the session: a draft never enters the state."""

    def node(state: GuardState, config: RunnableConfig) -> dict[str, Any]:
        session = GuardSession.of(state, engine, policy.for_run(config), config)
        _ = session.draft
        return {"session": session}

    return node
