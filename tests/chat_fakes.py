"""A chat model of a provider, scripted: with tools, settings and tokens, and without a network."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from pydantic import Field

from eta_guard.engines.chat_model.messages import BEGIN

DRAFT = "DRAFT canary says it."
ASKS = BEGIN.partition("{")[0]

Script = Callable[[list[BaseMessage], dict[str, Any]], AIMessage]


def repairs(messages: list[BaseMessage]) -> bool:
    """Whether the model is told how to begin, as it is for a repair alone."""
    return ASKS in str(messages[-1].text)


def says(draft: str | AIMessage = DRAFT) -> Script:
    """A model that says ``draft``, and when told how to begin, an answer that names its seed."""

    def script(messages: list[BaseMessage], settings: dict[str, Any]) -> AIMessage:
        if not repairs(messages):
            return AIMessage(draft) if isinstance(draft, str) else draft.model_copy()
        begun = str(messages[-1].text).partition(ASKS)[2]
        return AIMessage(f"{begun}, CANDIDATE canary of seed {settings['seed']}.")

    return script


class FakeChat(BaseChatModel):
    """Answers by its script; what it was sent stands in ``calls``."""

    script: Any = Field(default_factory=says)
    calls: Any = Field(default_factory=list)
    model_name: str = "fake-provider"
    temperature: float | None = None
    seed: int | None = None
    max_tokens: int | None = None

    @property
    def _llm_type(self) -> str:
        return "fake-chat"

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any
    ) -> Runnable[Any, AIMessage]:
        return self.bind(tools=list(tools), tool_choice=tool_choice, **kwargs)

    def _answer(self, messages: list[BaseMessage], settings: dict[str, Any]) -> AIMessage:
        own = {name: getattr(self, name) for name in ("temperature", "seed", "max_tokens")}
        asked = {**own, **settings}
        self.calls.append((messages, asked))
        answer: AIMessage = self.script(messages, asked)
        answer.usage_metadata = {"input_tokens": 10, "output_tokens": 3, "total_tokens": 13}
        answer.response_metadata = {"model_name": self.model_name, **answer.response_metadata}
        return answer

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        given = {**kwargs, **({"stop": stop} if stop else {})}
        return ChatResult(generations=[ChatGeneration(message=self._answer(messages, given))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        answer = self._answer(messages, {**kwargs, **({"stop": stop} if stop else {})})
        for piece in pieces(answer):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=piece, id=answer.id))
            if run_manager:
                run_manager.on_llm_new_token(str(chunk.text), chunk=chunk)
            yield chunk
        calls: Any = [
            {
                "name": call["name"],
                "args": json.dumps(call["args"]),
                "id": call["id"],
                "index": index,
            }
            for index, call in enumerate(answer.tool_calls)
        ]
        last = AIMessageChunk(
            content="",
            id=answer.id,
            tool_call_chunks=calls,
            chunk_position="last",
            additional_kwargs=answer.additional_kwargs,
            response_metadata=answer.response_metadata,
            usage_metadata=answer.usage_metadata,
        )
        yield ChatGenerationChunk(message=last)


def pieces(answer: AIMessage) -> Iterator[Any]:
    """What an answer streams as: words, or blocks with their places, whose text comes in words."""
    if isinstance(answer.content, str):
        yield from re.findall(r"\S+\s*|\s+", answer.content)
        return
    for index, block in enumerate(answer.content):
        if isinstance(block, dict) and block.get("type") == "text":
            for word in re.findall(r"\S+\s*|\s+", block["text"]):
                yield [{**block, "text": word, "index": index}]
        else:
            yield [{**block, "index": index} if isinstance(block, dict) else block]


def drafts(model: FakeChat) -> list[list[BaseMessage]]:
    """The messages of the calls for a plain answer."""
    return [messages for messages, _ in model.calls if not repairs(messages)]
