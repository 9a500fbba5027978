"""A conversation → the input tensors of a ``transformers`` image-text-to-text model."""

from __future__ import annotations

from typing import Any

import torch
from jinja2 import TemplateError

from eta_guard.conversation import Conversation, Turn
from eta_guard.errors import InputError, UnsupportedModelError
from eta_guard.plain_text import PlainText, special_tokens


def model_inputs(processor: Any, conversation: Conversation) -> dict[str, torch.Tensor]:
    """Runs the processor's own chat template, up to where the answer begins.

    Args:
        processor: A processor with a chat template.
        conversation: The request; its pixels go to the processor as they are.

    Returns:
        The keyword arguments of the model's forward, one row.

    Raises:
        UnsupportedModelError: The processor has no chat template.
        InputError: The template does not accept such a conversation.
    """
    if not getattr(processor, "chat_template", None):
        raise UnsupportedModelError(
            f"{type(processor).__name__} has no chat template.",
            hint="Load a chat model's processor, or set `processor.chat_template`.",
        )
    # Somebody's "<image>" would be taken for a picture, and an end token for the end of their turn.
    marks = [getattr(processor, name, None) for name in ("image_token", "boi_token", "eoi_token")]
    plain = PlainText([*special_tokens(processor.tokenizer), *filter(None, marks)])
    try:
        inputs = processor.apply_chat_template(
            [_message(turn, plain) for turn in conversation.turns],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
    except TemplateError as error:
        raise InputError(
            f"The model's chat template does not accept this conversation ({error}).",
            hint="Use the roles, and the order of roles, that the model was trained on.",
        ) from error
    return dict(inputs)


def _message(turn: Turn, plain: PlainText) -> dict[str, Any]:
    parts = [
        {"type": "text", "text": plain(part)}
        if isinstance(part, str)
        else {"type": "image", "image": part.pixels}
        for part in turn.parts
    ]
    return {"role": turn.role, "content": parts}
