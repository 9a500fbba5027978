"""Running another model within a request: inside its trace, outside of what is streamed."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager, CallbackManager
from langchain_core.runnables import RunnableConfig, ensure_config
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.context import _configure_hooks
from langsmith import tracing_context

T = TypeVar("T")


_hiding: contextvars.ContextVar[bool] = contextvars.ContextVar("eta_guard_hiding", default=False)


@contextmanager
def hiding_drafts(hide: bool = True) -> Iterator[None]:
    """What runs apart within it is written into no trace: drafts and candidates, that is."""
    token = _hiding.set(hide)
    try:
        yield
    finally:
        _hiding.reset(token)


def apart(work: Callable[[RunnableConfig], T]) -> T:
    """Runs ``work`` so that nobody who follows the surrounding run sees what it does.

    A graph streams the tokens and the messages of every model that runs within it, in whatever
    node and however deep, and a draft is such a message. What is counted by context
    (``get_usage_metadata_callback``) counts the guard's reply, which has it all, and nothing twice.

    Args:
        work: Is given the config to run with: of the callbacks, the tracers alone are left in it.
    """
    config, context = _alone()

    def untraced() -> T:
        with tracing_context(enabled=False):
            return work(config)

    return context.run(untraced) if _hiding.get() else context.run(work, config)


async def aapart(work: Callable[[RunnableConfig], Coroutine[Any, Any, T]]) -> T:
    """Does as ``apart``, in a task of its own, which is cancelled with the one that waits."""
    config, context = _alone()

    async def untraced() -> T:
        with tracing_context(enabled=False):
            return await work(config)

    running = untraced() if _hiding.get() else work(config)
    return await asyncio.create_task(running, context=context)


def _alone() -> tuple[RunnableConfig, contextvars.Context]:
    around = ensure_config()
    told = None if _hiding.get() else tracers(around.get("callbacks"))
    # What a caller chooses a model by; the rest is LangGraph's.
    chosen = {
        name: value
        for name, value in (around.get("configurable") or {}).items()
        if not name.startswith(("__", "checkpoint", "eta_guard"))
    }
    # A copy: where somebody has switched tracing off, it stays off.
    context = contextvars.copy_context()
    context.run(var_child_runnable_config.set, None)
    for variable, *_ in _configure_hooks:
        handler = variable.get()
        if handler is not None and (_hiding.get() or not traces(handler)):
            context.run(variable.set, None)
    return {"callbacks": told, "configurable": chosen}, context


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
