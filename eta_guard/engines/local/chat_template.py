"""A conversation → the input tensors of a ``transformers`` image-text-to-text model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jinja2 import TemplateError
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from PIL.Image import Image

from eta_guard.engines.local.tool_calls import check_tools
from eta_guard.errors import InputError, UnsupportedModelError
from eta_guard.request.conversation import Conversation, Turn
from eta_guard.text.literal_text import LiteralText, with_tokenizer


def model_inputs(
    processor: Any, conversation: Conversation, tools: Sequence[Mapping[str, Any]] = ()
) -> dict[str, torch.Tensor]:
    """Runs the processor's own chat template, up to where the answer begins.

    Args:
        processor: A processor with a chat template.
        conversation: The request; its pixels go to the processor as they are.
        tools: That the model may call.

    Returns:
        The keyword arguments of the model's forward, one row.

    Raises:
        UnsupportedModelError: The processor has no chat template, or one without tools.
        InputError: The template does not accept such a conversation.
    """
    if not getattr(processor, "chat_template", None):
        raise UnsupportedModelError(
            f"{type(processor).__name__} has no chat template.",
            hint="Load a chat model's processor, or set `processor.chat_template`.",
        )
    if tools:
        check_tools(processor)
    # Somebody's "<image>" would be taken for a picture, and an end token for the end of their turn.
    marks = [getattr(processor, name, None) for name in ("image_token", "boi_token", "eoi_token")]
    plain = LiteralText(processor.tokenizer, filter(None, marks))
    chat = [
        {**_message(turn, plain), **_calling(message, plain)}
        for message, turn in zip(conversation.messages, conversation.turns, strict=True)
    ]
    try:
        inputs = with_tokenizer(processor, plain.tokenizer).apply_chat_template(
            chat,
            tools=list(tools) or None,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
    except ValueError as error:
        # What the processor of Qwen's models refuses is the request's fault, not the engine's.
        if "aspect ratio" not in str(error):
            raise
        pictures = (picture.pixels for picture in conversation.pictures)
        sizes = ", ".join(f"{one.width}x{one.height}" for one in pictures)
        raise InputError(
            f"The model does not take a picture as long and narrow as one of these ({sizes}).",
            hint="Cut it into pieces, or pad it.",
        ) from error
    except TemplateError as error:
        raise InputError(
            f"The model's chat template does not accept this conversation ({error}).",
            hint="Use the roles, and the order of roles, that the model was trained on.",
        ) from error
    return dict(inputs)


def text_tokens(processor: Any, text: str) -> int:
    """How many tokens a text is, without those that begin or end a whole."""
    return len(processor.tokenizer(text, add_special_tokens=False)["input_ids"])


def picture_tokens(processor: Any, pixels: Image) -> int:
    """How many tokens a model is shown for a picture."""
    mark = getattr(processor, "image_token", "<image>")
    alone = processor(text=[mark], images=[pixels], add_special_tokens=False, return_tensors="pt")
    return int(alone["input_ids"].shape[1])


def _message(turn: Turn, plain: LiteralText) -> dict[str, Any]:
    parts = [
        {"type": "text", "text": plain(part)}
        if isinstance(part, str)
        else {"type": "image", "image": part.pixels}
        for part in turn.parts
    ]
    return {"role": turn.role, "content": parts}


def _calling(message: BaseMessage, plain: LiteralText) -> dict[str, Any]:
    """What a turn has of tools beside its content; templates that know none leave it out."""
    if isinstance(message, ToolMessage):
        named = {"name": plain(message.name)} if message.name else {}
        return {"tool_call_id": plain(message.tool_call_id), **named}
    if not isinstance(message, AIMessage) or not message.tool_calls:
        return {}
    calls = [
        {"type": "function", "function": {"name": call["name"], "arguments": call["args"]}}
        for call in message.tool_calls
    ]
    return {"tool_calls": _plain_within(calls, plain)}


def _plain_within(value: Any, plain: LiteralText) -> Any:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, Mapping):
        return {plain(str(key)): _plain_within(inner, plain) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_within(inner, plain) for inner in value]
    return value
