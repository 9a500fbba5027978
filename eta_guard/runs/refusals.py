"""A refusal of the guard's own, as LangChain tells refusals: ``content_blocks`` with a ``refusal``.

``content`` stays the text that it is, so that a next request to any provider, parsers and streams
hold it once; a registered translator adds the block for those who look for one
(``ModelRefusalMiddleware``, for instance, and what falls back after it).
"""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.block_translators import register_translator

REFUSED_BY_GUARD = {"model_provider": "eta_guard"}
"""Stands in ``response_metadata`` of a refusal: LangChain finds the translator by it."""


def _blocks(message: AIMessage) -> list[Any]:
    text = str(message.text)
    return [{"type": "text", "text": text}, {"type": "refusal", "refusal": text}]


register_translator(REFUSED_BY_GUARD["model_provider"], _blocks, _blocks)
