"""Tells a LLaVA-1.5 in the layout of the converted checkpoints, and how it is to be shown things.

The published code runs the authors' own checkpoint with the authors' own preprocessing. The
converted ones hold the same weights, but their processor crops the middle of a picture and their
chat template has no system sentence.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from PIL.Image import Resampling
from transformers import LlavaForConditionalGeneration

from eta_guard.request.presentation import Presentation, Square


def why_no_llava_1_5(model: Any, processor: Any) -> str | None:
    """Why a loaded model is no LLaVA-1.5 in this layout, as part of a sentence; None if it is one.

    It is told by trying out, not by name: the model's class and parts, and what its chat template
    writes.
    """
    if not isinstance(model, LlavaForConditionalGeneration):
        return f"it is a {type(model).__name__}"
    config: Any = model.config
    parts = (config.text_config.model_type, config.vision_config.model_type)
    if parts != ("llama", "clip_vision_model"):
        return f"it is made of {' and '.join(parts)}"
    mark = getattr(processor, "image_token", "")
    for system in ("", "Be brief."):
        wanted = f"{system} USER: {mark}\nWhy? ASSISTANT:".lstrip()
        if (written := _written(processor, system)) != wanted:
            return f"its chat template writes {written!r}"
    return None


def published_presentation(processor: Any) -> Presentation:
    """How the published code shows a LLaVA-1.5 its conversations.

    The system sentence, and pictures in squares of the processor's mean colour, scaled to its size.
    They are scaled here and by Pillow, as published: torchvision's bicubic, which the processors of
    transformers 5 take where it is installed, is off by up to two grey levels.
    """
    images = processor.image_processor
    red, green, blue = (int(part * 255) for part in images.image_mean)
    scales = images.do_resize and images.resample == Resampling.BICUBIC
    side = dict(images.size).get("shortest_edge") if scales else None
    square = Square((red, green, blue), side)
    return replace(Presentation.llava_1_5(), square=square)


def _written(processor: Any, system: str) -> str:
    question = [{"type": "image"}, {"type": "text", "text": "Why?"}]
    messages = [{"role": "user", "content": question}]
    if system:
        messages.insert(0, {"role": "system", "content": [{"type": "text", "text": system}]})
    try:
        written = processor.apply_chat_template(messages, add_generation_prompt=True)
    # A template raises what it likes, a processor without one a ValueError.
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return str(written)
