"""What a chat model is not handed of a call: the caller's ``configurable``, and its run.

``BaseChatModel`` keeps both to itself. Here the entry points put them among the keyword arguments,
where ``_generate`` and ``_stream`` find them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from langchain_core.callbacks import (
    BaseCallbackHandler,
    BaseCallbackManager,
    CallbackManager,
)
from langchain_core.callbacks.manager import BaseRunManager
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import RunnableConfig, ensure_config
from langchain_core.utils.uuid import uuid7
from langgraph.types import StreamWriter
from pydantic import Field

from eta_guard.errors import InputError
from eta_guard.policy import CONFIG_KEY
from eta_guard.runs.graph_runs import stream_writer
from eta_guard.runs.tracing import beneath, without_image_bytes

CALL_KEY = "eta_guard_call"

_TYPES = ("type", "source_type")


@dataclass(frozen=True)
class Call:
    """One call, and what stands around it."""

    run_id: UUID = field(repr=False)
    """Of its run: when an outer graph streams, ``_stream`` gets no run manager."""
    handlers: Sequence[BaseCallbackHandler] = field(repr=False)
    """That runs beneath it inherit."""
    writer: StreamWriter | None = field(repr=False)
    """Of the graph around it."""
    configurable: Mapping[str, Any] = field(repr=False)
    """What the caller chooses models by, beside the guard's own overrides."""


class CallAware(BaseChatModel):
    """A chat model that knows its caller's ``configurable`` and its own run at every entry."""

    hide_images: bool = Field(default=False, exclude=True)
    """Keep images out of LangSmith. Holds for this model's run; graphs and chains around it show
    their own inputs, where ``Client(hide_inputs=without_images)`` of ``tracing`` helps."""

    def invoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AIMessage:
        """Answers."""
        config, kwargs = self._for_call(config, kwargs)
        return super().invoke(input, config, **kwargs)

    async def ainvoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AIMessage:
        """Answers."""
        await self._aprepare()
        config, kwargs = self._for_call(config, kwargs)
        return await super().ainvoke(input, config, **kwargs)

    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[AIMessageChunk]:
        """Answers in chunks."""
        config, kwargs = self._for_call(config, kwargs)
        return super().stream(input, config, **kwargs)

    async def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[AIMessageChunk]:
        """Answers in chunks."""
        await self._aprepare()
        config, kwargs = self._for_call(config, kwargs)
        async for chunk in super().astream(input, config, **kwargs):
            yield chunk

    def _chat_model_stream_v3(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        config, kwargs = self._for_call(config, kwargs)
        return super()._chat_model_stream_v3(input, config, **kwargs)

    def _achat_model_stream_v3(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        config, kwargs = self._for_call(config, kwargs)
        return super()._achat_model_stream_v3(input, config, **kwargs)

    def _convert_input(self, model_input: LanguageModelInput) -> PromptValue:
        prompt = super()._convert_input(model_input)
        _require_types(prompt.to_messages())
        return prompt

    async def _aprepare(self) -> None:
        """Does what a first call would otherwise wait for on the event loop."""

    def _for_call(
        self, config: RunnableConfig | None, kwargs: dict[str, Any]
    ) -> tuple[RunnableConfig, dict[str, Any]]:
        known = ensure_config(config)
        callbacks = CallbackManager.configure(known.get("callbacks"))
        if self.hide_images:
            for handlers in (callbacks.handlers, callbacks.inheritable_handlers):
                handlers[:] = [without_image_bytes(handler) for handler in handlers]
        run_id = known.get("run_id") or uuid7()
        chosen = {
            name: value
            for name, value in known.get("configurable", {}).items()
            # The thread, and what LangGraph notes of it, are those of the graph around.
            if not name.startswith(("__", "checkpoint")) and name not in (CONFIG_KEY, "thread_id")
        }
        call = Call(run_id, callbacks.inheritable_handlers, stream_writer(known), chosen)
        known = {**known, "callbacks": callbacks, "run_id": call.run_id}
        overrides = known.get("configurable", {}).get(CONFIG_KEY)
        told = {} if overrides is None else {CONFIG_KEY: overrides}
        return known, {**kwargs, **told, CALL_KEY: call}

    def _get_invocation_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        return super()._get_invocation_params(stop, **without_call(kwargs))

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        return super()._get_llm_string(stop, **without_call(kwargs))


def _require_types(messages: Sequence[BaseMessage]) -> None:
    """LangChain looks blocks up by these before anybody here reads them, and fails on a list."""
    for index, message in enumerate(messages):
        blocks = message.content if isinstance(message.content, list) else []
        for number, block in enumerate(blocks):
            told = [block.get(key, "") for key in _TYPES] if isinstance(block, dict) else []
            if not all(isinstance(value, str) for value in told):
                raise InputError(
                    f"Message {index}, block {number}: its {' or '.join(_TYPES)} is no text.",
                    hint="Pass content blocks as LangChain or a provider documents them.",
                )


def without_call(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments that the caller gave."""
    return {name: value for name, value in kwargs.items() if name != CALL_KEY}


def callbacks_beneath(
    run_manager: BaseRunManager | None, kwargs: Mapping[str, Any]
) -> BaseCallbackManager | list[BaseCallbackHandler]:
    """Callbacks for work beneath the run of a call: its tracers, and what they already know.

    Args:
        run_manager: The call's, where LangChain hands it in.
        kwargs: The call's keyword arguments.

    Returns:
        None of the handlers that feed the caller's stream.
    """
    if run_manager is not None:
        return beneath(run_manager.run_id, run_manager.inheritable_handlers)
    call = kwargs.get(CALL_KEY)
    return beneath(call.run_id, call.handlers) if isinstance(call, Call) else []
