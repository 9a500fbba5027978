from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from PIL import Image
from transformers import Qwen2VLImageProcessor

from eta_guard.engines.local.chat_template import model_inputs
from eta_guard.errors import InputError
from eta_guard.request.conversation import read_conversation
from tests.engines.local.families import Processor


class QwenLike(Processor):
    """Hands pictures to the image processor of Qwen's models, as their own processor does."""

    def apply_chat_template(self, messages: Any, **settings: Any) -> Any:
        parts = [part for message in messages for part in message["content"]]
        images = [part["image"] for part in parts if part["type"] == "image"]
        return Qwen2VLImageProcessor()(images=images, return_tensors="pt")


def shown(*sizes: tuple[int, int]) -> Any:
    blocks: list[Any] = [{"type": "image", "image": Image.new("RGB", size)} for size in sizes]
    return read_conversation([HumanMessage(blocks)])


def test_a_picture_too_narrow_for_the_processor_is_bad_input() -> None:
    with pytest.raises(InputError, match=r"long and narrow.*\(56x56, 9000x30\)"):
        model_inputs(QwenLike(), shown((56, 56), (9000, 30)))
    assert "pixel_values" in model_inputs(QwenLike(), shown((56, 56), (5600, 56)))


def test_other_failures_of_a_processor_are_not_the_requests() -> None:
    class Broken(Processor):
        def apply_chat_template(self, messages: Any, **settings: Any) -> Any:
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken") as caught:
        model_inputs(Broken(), shown((56, 56)))
    assert not isinstance(caught.value, InputError)
