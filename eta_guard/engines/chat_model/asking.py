"""Asking a model again, without the settings that its provider refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig

from eta_guard.engines.chat_model.settings import Refused


@dataclass(frozen=True, eq=False)
class Asking(Runnable[LanguageModelInput, AIMessage]):
    """A model that is asked with settings, less those that its provider refuses.

    It stands within a wrapper that would take an error as a reason to ask another model.
    """

    make: Callable[[Mapping[str, Any]], Runnable[Any, Any]]
    """The model with the settings that are to be tried."""
    asked: Mapping[str, Any]
    refused: Refused = field(repr=False)

    def invoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AIMessage:
        """Asks for a whole answer."""
        while True:
            sent = self.refused.less(self.asked)
            try:
                found: AIMessage = self.make(sent).invoke(input, config, **kwargs)
                return found
            except Exception as error:
                if not self.refused.learns(error, sent):
                    raise

    async def ainvoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AIMessage:
        """Does as ``invoke``."""
        while True:
            sent = self.refused.less(self.asked)
            try:
                found: AIMessage = await self.make(sent).ainvoke(input, config, **kwargs)
                return found
            except Exception as error:
                if not self.refused.learns(error, sent):
                    raise

    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[AIMessage]:
        """Asks for an answer in chunks; only one that has not begun is asked for again."""
        begun = False
        while True:
            sent = self.refused.less(self.asked)
            try:
                for chunk in self.make(sent).stream(input, config, **kwargs):
                    begun = True
                    yield chunk
                return
            except Exception as error:
                if begun or not self.refused.learns(error, sent):
                    raise

    async def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[AIMessage]:
        """Does as ``stream``."""
        begun = False
        while True:
            sent = self.refused.less(self.asked)
            try:
                async for chunk in self.make(sent).astream(input, config, **kwargs):
                    begun = True
                    yield chunk
                return
            except Exception as error:
                if begun or not self.refused.learns(error, sent):
                    raise
