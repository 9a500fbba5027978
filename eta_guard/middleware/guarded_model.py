"""The agent's model with the guard around it: nothing of it is seen before its verdict."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field

from eta_guard.engines.chat_model.engine import ChatModelEngine
from eta_guard.guard import CALL_SETTINGS, EtaGuard
from eta_guard.local_vlm import ChatLocalVLM
from eta_guard.middleware.review import held_back
from eta_guard.runs.streaming import as_chunk
from eta_guard.state import withheld


class GuardedModel(EtaGuard):
    """Stands in for the agent's model, so that the agent itself binds tools and formats to it.

    What goes out in any case streams as it comes, and what is repaired as far as it is judged;
    where a reviewer may have to see it first, an answer comes whole.
    """

    held: Any = Field(default=None, exclude=True, repr=False)
    """A list that receives each reply that is to wait for a reviewer; None where none waits."""

    @property
    def model_name(self) -> str:
        """The name by which the agent tells what the model can do."""
        return self.engine.fingerprint

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._held_back(super()._generate(messages, stop, run_manager, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._held_back(await super()._agenerate(messages, stop, run_manager, **kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        if self.held is None:
            yield from super()._stream(messages, stop, run_manager, **kwargs)
        else:
            yield _whole(self._generate(messages, stop, run_manager, **kwargs))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        if self.held is None:
            async for chunk in super()._astream(messages, stop, run_manager, **kwargs):
                yield chunk
        else:
            yield _whole(await self._agenerate(messages, stop, run_manager, **kwargs))

    def _held_back(self, result: ChatResult) -> ChatResult:
        reply = result.generations[0].message
        if self.held is None or not withheld(reply):
            return result
        self.held.append(reply)
        return ChatResult(generations=[ChatGeneration(message=held_back(reply))])


def _whole(result: ChatResult) -> ChatGenerationChunk:
    reply: Any = result.generations[0].message
    return ChatGenerationChunk(message=as_chunk(reply).model_copy(update={"id": None}))


def guarded(model: BaseChatModel, **parts: Any) -> GuardedModel:
    """The model with the guard around it, with the engine that fits it.

    Args:
        model: Any chat model; a ``ChatLocalVLM`` is searched sentence by sentence.
        parts: The guard's other parts.
    """
    profile = getattr(model, "profile", None)
    if not isinstance(model, ChatLocalVLM):
        return GuardedModel(engine=ChatModelEngine(model), profile=profile, **parts)
    own = {name: getattr(model, name) for name in CALL_SETTINGS if name in model.model_fields_set}
    return GuardedModel(engine=model.engine, profile=profile, **own, **parts)


Held = list[AIMessage] | None
"""Receives what is to wait for a reviewer; None where nobody reviews."""
