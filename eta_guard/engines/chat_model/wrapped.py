"""Chat models inside LangChain's wrappers: ``bind``, ``with_retry``, ``with_fallbacks`` and others.

The guard changes settings of the models inside; what the wrappers do around each call stays theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable, RunnableWithFallbacks
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.configurable import (
    DynamicRunnable,
    RunnableConfigurableAlternatives,
)

from eta_guard.engines.chat_model.asking import Asking
from eta_guard.engines.chat_model.settings import Refused
from eta_guard.errors import UnsupportedModelError


def models_in(model: object) -> Iterator[BaseChatModel]:
    """Yields the chat models that a call may reach, the one that is asked first before others.

    An alternative that is made only where it is chosen is not among them.

    Raises:
        UnsupportedModelError: It is no chat model, nor a wrapper around some.
    """
    if isinstance(model, BaseChatModel):
        yield model
        return
    for inner in _inside(model):
        yield from models_in(inner)


@dataclass(frozen=True)
class Rebuilding:
    """Makes the same wrappers around changed models."""

    change: Callable[[BaseChatModel, Mapping[str, Any]], Runnable[Any, Any]]
    """Makes another of each chat model inside, with the settings that it is asked with."""
    refused: Refused
    """Settings that are left out; a wrapper with fallbacks is not told of a refusal."""
    without: Collection[str]
    """Bound keyword arguments that would have their way over the change."""

    def of(self, model: Any, asked: Mapping[str, Any]) -> Runnable[Any, Any]:
        """Rebuilds a chat model, or one in wrappers."""
        if isinstance(model, BaseChatModel):
            return self.change(model, asked)
        if isinstance(model, RunnableBindingBase):
            kept = {name: value for name, value in model.kwargs.items() if name not in self.without}
            return model.model_copy(update={"bound": self.of(model.bound, asked), "kwargs": kept})
        inside = _inside(model)  # raises at what is no model
        if isinstance(model, RunnableWithFallbacks):
            first, *others = (
                Asking(partial(self.of, inner), asked, self.refused) for inner in inside
            )
            return model.model_copy(update={"runnable": first, "fallbacks": others})
        changed: dict[str, Any] = {"default": self.of(model.default, asked)}
        if isinstance(model, RunnableConfigurableAlternatives):
            # Made where they are chosen, as they are unguarded.
            changed["alternatives"] = {
                name: partial(self._alternative, other, asked)
                for name, other in model.alternatives.items()
            }
        copy: Runnable[Any, Any] = model.model_copy(update=changed)
        return copy

    def _alternative(self, other: Any, asked: Mapping[str, Any]) -> Runnable[Any, Any]:
        return self.of(other if isinstance(other, Runnable) else other(), asked)


def _inside(model: object) -> list[Any]:
    if isinstance(model, RunnableBindingBase):
        return [model.bound]
    if isinstance(model, RunnableWithFallbacks):
        return [model.runnable, *model.fallbacks]
    if isinstance(model, RunnableConfigurableAlternatives):
        made = (other for other in model.alternatives.values() if isinstance(other, Runnable))
        return [model.default, *made]
    if isinstance(model, DynamicRunnable):
        return [model.default]
    raise UnsupportedModelError(
        f"{type(model).__name__} is no chat model, nor LangChain's wrapper around one.",
        hint="Put the guard around the chat model itself, and what parses or prepares outside of"
        " it: prompt | guard | parser.",
    )
