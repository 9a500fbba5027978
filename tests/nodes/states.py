"""States and configs as the graph hands them to a node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig

from eta_guard.nodes import Node
from eta_guard.panel.evaluation import ImageEvaluation
from eta_guard.session import GENERATION_KEY
from eta_guard.state import GuardState, fresh
from eta_guard.steps import drive
from tests.fakes import of_image

Driven = Callable[[GuardState, RunnableConfig], dict[str, Any]]


def driven(node: Node) -> Driven:
    """The node as it is run where nothing is asynchronous."""
    return lambda state, config: drive(node(state, config))


def state_with(*messages: BaseMessage, **values: Any) -> GuardState:
    given = {**fresh(), "messages": list(messages), "remaining_steps": 100, **values}
    return cast(GuardState, given)


def generation_config(value: Any) -> RunnableConfig:
    return {"configurable": {GENERATION_KEY: value}}


def image(score: float, message: int = 0, block: int = 0) -> dict[str, Any]:
    return ImageEvaluation(**dict(of_image(score)), message=message, block=block).model_dump(
        mode="json"
    )
