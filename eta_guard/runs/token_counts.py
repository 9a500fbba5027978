"""How many tokens messages are: what LangChain trims and summarises histories by."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately

from eta_guard.protocols import Engine


def count_tokens(engine: Engine, messages: Sequence[BaseMessage]) -> int:
    """Tokens of messages, as the engine counts them.

    Args:
        engine: With a method ``count_tokens``; without one, LangChain's estimate by characters
            counts (its own default, GPT-2's tokenizer, counts 0 where that is not installed).
        messages: Any, answered or not.
    """
    counted = getattr(engine, "count_tokens", None)
    if counted is None:
        return count_tokens_approximately(messages)
    found: int = counted(messages)
    return found
