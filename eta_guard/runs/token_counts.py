"""How many tokens messages are: what LangChain trims and summarises histories by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage
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


class CountsTokens:
    """Token counts of a chat model that has an engine; stands before ``BaseChatModel``."""

    def get_num_tokens(self, text: str) -> int:
        """Tokens of a text, as the engine counts them."""
        return self.get_num_tokens_from_messages([HumanMessage(text)])

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Tokens of messages, those of their pictures included, as the engine counts them.

        Tools are not counted.
        """
        engine: Engine = vars(self)["engine"]
        return count_tokens(engine, messages)
