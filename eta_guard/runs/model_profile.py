"""What LangChain and LangSmith are told about a chat model."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import LangSmithParams, ModelProfile

from eta_guard.protocols import Engine


def of_engine(known: LangSmithParams, engine: Engine, asked: Mapping[str, Any]) -> LangSmithParams:
    """Completes LangSmith's parameters.

    Args:
        known: What LangChain found.
        engine: Names the model.
        asked: The call's keyword arguments, among them perhaps another ``model``.
    """
    name = asked.get("model")
    known["ls_provider"] = "eta_guard"
    known["ls_model_name"] = name if isinstance(name, str) else engine.fingerprint
    return known


def profile(engine: Engine, max_tokens: int) -> ModelProfile:
    """What a model takes in and gives out."""
    known: Any = {
        "name": engine.fingerprint,
        "max_output_tokens": max_tokens,
        "text_inputs": True,
        "image_inputs": True,
        # What stands elsewhere is not fetched: evaluator and model could be shown two pictures.
        "image_url_inputs": False,
        "image_tool_message": True,
        "pdf_inputs": False,
        "pdf_tool_message": False,
        "audio_inputs": False,
        "video_inputs": False,
        "text_outputs": True,
        "image_outputs": False,
        "audio_outputs": False,
        "video_outputs": False,
        "reasoning_output": False,
        "tool_calling": bool(getattr(engine, "calls_tools", False)),
        "structured_output": False,
        "temperature": True,
    }
    context = getattr(engine, "context", sys.maxsize)
    found: ModelProfile = known if context == sys.maxsize else known | {"max_input_tokens": context}
    return found
