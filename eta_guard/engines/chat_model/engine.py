"""ChatModelEngine: any LangChain chat model, which is asked for whole answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.runnables import Runnable, RunnableBinding

from eta_guard.engines.chat_model.asking import Asking
from eta_guard.engines.chat_model.session import Asked, ChatModelSession
from eta_guard.engines.chat_model.settings import Refused, fields_of
from eta_guard.engines.chat_model.wrapped import Rebuilding, models_in
from eta_guard.errors import UnsupportedModelError
from eta_guard.protocols import Generation
from eta_guard.request.conversation import Conversation

_OF_TOOLS = {"tools", "tool_choice", "functions", "function_call", "parallel_tool_calls"}
_OF_FORMAT = {"response_format", "format", "text", "output_config", "response_schema"}
"""Bound keyword arguments by which a model would give something else than text."""


@dataclass(frozen=True)
class ChatModelEngine:
    """An engine over any chat model of LangChain, in place of one that has its weights at hand.

    A provider gives whole answers only. So a sentence of the search is a whole answer (best of N,
    the calls side by side), and the prefix is an instruction: an answer that does not begin with
    it gets it put in front. Settings reach the model where it has a field for them (``max_tokens``,
    ``temperature``, ``seed``), and only those that differ from the defaults of ``Generation``:
    otherwise the plain answer is the one that the model gives by itself. A setting that the
    provider refuses is left out, once and for all, with a line in the log.

    The messages go on as they came. Only a picture in which two decoders could see different things
    is replaced within its block. No call is seen by who streams the surrounding graph; tracers see
    it.

    Example:
        >>> engine = ChatModelEngine(ChatOpenAI(model="gpt-4o"))
        >>> guard = EtaGuard(engine=engine, image_evaluator=clip, response_evaluator=reward)
    """

    passes_messages_on: ClassVar[bool] = True

    model: Runnable[Any, Any]
    """Answers, and repairs without tools: a chat model, or one in LangChain's wrappers (``bind``,
    ``with_config``, ``with_retry``, ``with_fallbacks``, configurable fields and alternatives)."""
    tools: tuple[Any, ...] | None = field(default=None, repr=False)
    """Tools that the plain answer may call; see ``bind_tools``."""
    settings: dict[str, Any] = field(default_factory=dict, repr=False)
    """Keyword arguments of the plain answer's call."""
    refused: Refused = field(default_factory=Refused, repr=False, compare=False)
    """Settings that the provider does not take."""

    def __post_init__(self) -> None:
        """Checks the model.

        Raises:
            UnsupportedModelError: It is none, nor a wrapper around one.
        """
        _ = list(models_in(self.model))

    @property
    def _first(self) -> BaseChatModel:
        return next(models_in(self.model))

    @property
    def fingerprint(self) -> str:
        """The provider's name of the model that is asked first, or else the name of its class."""
        names = (getattr(self._first, name, None) for name in ("model_name", "model", "model_id"))
        return next(
            (name for name in names if isinstance(name, str) and name), self._first._llm_type
        )

    def bind_tools(self, tools: Sequence[Any], **settings: Any) -> ChatModelEngine:
        """A copy whose plain answers may call tools.

        Args:
            tools: As the model's own ``bind_tools`` takes them.
            settings: Passed on to it, such as ``tool_choice``.
        """
        return replace(self, tools=tuple(tools), settings={**self.settings, **settings})

    def tool_settings(self, tools: Sequence[Any], **settings: Any) -> dict[str, Any]:
        """What tools are for the model's API, as keyword arguments of one call.

        Args:
            tools: As the model's own ``bind_tools`` takes them.
            settings: Passed on to it, such as ``tool_choice``.

        Raises:
            UnsupportedModelError: The model binds tools in a way of its own.
        """
        bound: Any = self._first.bind_tools(tools, **settings)
        if not isinstance(bound, RunnableBinding):
            raise UnsupportedModelError(
                f"{self.fingerprint} binds tools in a way of its own.",
                hint="Use the engine's bind_tools and put the guard around that engine.",
            )
        return dict(bound.kwargs)

    def bind(self, **settings: Any) -> ChatModelEngine:
        """A copy whose plain answers are asked with further keyword arguments."""
        return replace(self, settings={**self.settings, **settings})

    def open(self, conversation: Conversation, generation: Generation) -> ChatModelSession:
        """Begins a request; the model is asked nothing yet."""
        asked = self.bind(**generation.settings) if generation.settings else self
        model = Asked(asked.answering, asked.repairing)
        return ChatModelSession(model, conversation, generation)

    def count_tokens(self, messages: Sequence[BaseMessage]) -> int:
        """Tokens of messages, by the model's own count; LangChain's estimate if it has none."""
        own = type(self._first).get_num_tokens_from_messages
        if own is BaseChatModel.get_num_tokens_from_messages:
            return count_tokens_approximately(messages)
        return self._first.get_num_tokens_from_messages(list(messages))

    def answering(self, asked: Mapping[str, Any]) -> Asking:
        """The model as it gives the plain answer."""

        def changed(model: BaseChatModel, sent: Mapping[str, Any]) -> Runnable[Any, Any]:
            model = model.model_copy(update=fields_of(model, sent))
            return model if self.tools is None else model.bind_tools(self.tools, **self.settings)

        def made(sent: Mapping[str, Any]) -> Runnable[Any, Any]:
            model = Rebuilding(changed, self.refused, set(asked)).of(self.model, sent)
            return model.bind(**self.settings) if self.tools is None and self.settings else model

        return Asking(made, asked, self.refused)

    def repairing(self, asked: Mapping[str, Any]) -> Asking:
        """The model as it is asked for text alone."""

        def changed(model: BaseChatModel, sent: Mapping[str, Any]) -> Runnable[Any, Any]:
            drawn = fields_of(model, sent)
            # Some providers take the one or the other.
            alone = {"top_p": None} if "temperature" in drawn and hasattr(model, "top_p") else {}
            return model.model_copy(update={**drawn, **alone})

        without = {*asked, "top_p", *_OF_TOOLS, *_OF_FORMAT}
        model = Rebuilding(changed, self.refused, without)
        return Asking(partial(model.of, self.model), asked, self.refused)
