"""Tools for a chat model whose engine may, or may not, know what they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool

from eta_guard.errors import UnsupportedModelError
from eta_guard.protocols import Engine


def bind_tools(
    model: BaseChatModel, engine: Engine, tools: Sequence[Any], tool_choice: Any, settings: Any
) -> Runnable[LanguageModelInput, AIMessage]:
    """Binds tools to a model: as its provider takes them, or for its chat template.

    Args:
        model: Is bound.
        engine: Runs it.
        tools: In any form that LangChain takes.
        tool_choice: For a local model ``"auto"`` or nothing: a call cannot be forced there.
        settings: Other keyword arguments to bind.

    Raises:
        UnsupportedModelError: The engine's model knows no tools, or a call is to be forced.
    """
    if not tools:
        return model.bind(**settings)
    if (asked := getattr(engine, "tool_settings", None)) is not None:
        choice = {} if tool_choice is None else {"tool_choice": tool_choice}
        return model.bind(**asked(tools, **choice, **settings))
    if not getattr(engine, "calls_tools", False):
        raise UnsupportedModelError(
            f"{engine.fingerprint} knows no tools: its chat template has no place for them.",
            hint="Choose a model that was trained to call tools, or bind none.",
        )
    if tool_choice not in (None, "auto"):
        raise UnsupportedModelError(
            f"A call of a tool cannot be forced (tool_choice = {tool_choice!r}).",
            hint='Leave tool_choice out, or pass "auto".',
        )
    return model.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **settings)
