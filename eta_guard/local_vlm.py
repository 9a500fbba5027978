"""ChatLocalVLM: the local multimodal chat model by itself, unguarded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.caches import BaseCache
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import (
    BaseChatModel,
    LangSmithParams,
    LanguageModelInput,
    ModelProfile,
)
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from pydantic import ConfigDict, Field

from eta_guard.counts import counting, usage
from eta_guard.pretrained import load_chat_model
from eta_guard.protocols import Engine, Generation, Watch
from eta_guard.request.conversation import read_conversation
from eta_guard.runs.model_profile import of_engine, profile
from eta_guard.runs.settings import check_settings
from eta_guard.runs.streaming import as_chunk, in_thread
from eta_guard.runs.token_counts import CountsTokens
from eta_guard.runs.tool_binding import bind_tools
from eta_guard.steps import Ask

if TYPE_CHECKING:
    import torch


class ChatLocalVLM(CountsTokens, BaseChatModel):
    """Any ``transformers`` image-text-to-text model as a LangChain chat model.

    Greedy by default. A call may set ``stop``, ``max_tokens``, ``temperature`` and ``seed``.

    Example:
        >>> model = ChatLocalVLM.from_pretrained("embedded")
        >>> model.invoke("What is a cup for?").content
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    engine: Engine = Field(exclude=True, repr=False)
    """Runs the model."""
    max_tokens: int = Field(default=1024, ge=1)
    """Most tokens of an answer."""
    temperature: float = Field(default=0.0, ge=0.0)
    """0 is greedy."""
    seed: int = Field(default=0, ge=0)
    """Of the draws where the temperature is above 0."""
    stop: list[str] | None = None
    """Texts before which an answer is cut."""

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = "embedded",
        *,
        device: str | None = None,
        dtype: torch.dtype | None = None,
        revision: str | None = None,
        **settings: Any,
    ) -> ChatLocalVLM:
        """Loads a model.

        Args:
            name: ``"embedded"``, ``"paper"`` (LLaVA-1.5, shown what the published code shows it),
                a directory, or a name on the model hub.
            device: Such as ``"cpu"`` or ``"cuda"``; the GPU if there is one.
            dtype: Of the weights; float32 on a CPU and as stored elsewhere without it.
            revision: A commit, tag or branch on the hub; pin one where answers matter.
            settings: Fields of this class.

        Raises:
            ModelLoadError: There are no such weights within reach.
        """
        return cls(engine=load_chat_model(str(name), device, dtype, revision), **settings)

    def __init__(self, **settings: Any) -> None:
        """Takes the fields of this class.

        Raises:
            TypeError: There is no field of some name.
        """
        check_settings(type(self), settings)
        super().__init__(**settings)

    cache: BaseCache | bool | None = Field(default=False, exclude=True)
    """Off: LangChain's cache goes by how a message prints, which does not tell images apart."""

    @property
    def _llm_type(self) -> str:
        return "eta-guard-local-vlm"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "model_name": self.engine.fingerprint,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
            "stop": self.stop,
        }

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return of_engine(super()._get_ls_params(stop or self.stop, **kwargs), self.engine, kwargs)

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Binds tools, where the model's chat template knows them.

        Raises:
            UnsupportedModelError: It does not; or a call is to be forced.
        """
        return bind_tools(self, self.engine, tools, tool_choice, kwargs)

    def _resolve_model_profile(self) -> ModelProfile:
        return profile(self.engine, self.max_tokens)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        message = self._answer(messages, stop, kwargs)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        # LangChain's own way leaves a thread at work for a caller who has gone away.
        message = await Ask(self._answer, (messages, stop, kwargs), {}).asynchronously()
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        shown = ""
        for piece in in_thread(lambda watch: self._answer(messages, stop, kwargs, watch)):
            if isinstance(piece, str):
                shown += piece
                yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
            else:
                rest = {"content": piece.text[len(shown) :]}
                yield ChatGenerationChunk(message=as_chunk(piece).model_copy(update=rest))

    def _answer(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        settings: dict[str, Any],
        watch: Watch | None = None,
    ) -> AIMessage:
        own = Generation(self.max_tokens, self.temperature, tuple(self.stop or ()), self.seed)
        with counting() as tally:
            session = self.engine.open(read_conversation(messages), own.for_call(stop, settings))
            answer = session.answer(watch)
        return AIMessage(
            content=answer.text,
            tool_calls=list(answer.tool_calls),
            response_metadata={
                "model_name": self.engine.fingerprint,
                "finish_reason": answer.finish_reason,
            },
            usage_metadata=usage(tally),
        )
