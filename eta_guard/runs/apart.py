"""Running another model within a request: inside its trace, outside of what is streamed."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any, TypeVar

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager, CallbackManager
from langchain_core.runnables import RunnableConfig, ensure_config
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.base import BaseTracer

T = TypeVar("T")


def apart(work: Callable[[RunnableConfig], T]) -> T:
    """Runs ``work`` so that nobody who follows the surrounding run sees what it does.

    A graph streams the tokens and the messages of every model that runs within it, in whatever
    node and however deep, and a draft is such a message.

    Args:
        work: Is given the config to run with: the tracers alone are left in it.
    """
    config: RunnableConfig = {"callbacks": tracers(ensure_config().get("callbacks"))}

    def alone() -> T:
        var_child_runnable_config.set(None)
        return work(config)

    # A copy: where somebody has switched tracing off, it stays off.
    return contextvars.copy_context().run(alone)


def tracers(callbacks: Any) -> CallbackManager | None:
    """The callbacks that write a trace, at their place in it, without those that feed a stream."""
    if isinstance(callbacks, list):
        callbacks = CallbackManager(callbacks)
    if not isinstance(callbacks, BaseCallbackManager):
        return None
    kept = list(filter(traces, callbacks.handlers))
    return CallbackManager(
        kept,
        kept,
        parent_run_id=callbacks.parent_run_id,
        inheritable_tags=callbacks.inheritable_tags,
        inheritable_metadata=callbacks.inheritable_metadata,
    )


def traces(handler: BaseCallbackHandler) -> bool:
    """Whether a handler writes a trace; one that taps the output feeds a stream from it."""
    return isinstance(handler, BaseTracer) and not hasattr(handler, "tap_output_iter")
