"""Tiny random guard models of each family, with templates of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import transformers

from eta_guard.evaluators.guard_model import formats
from eta_guard.evaluators.guard_model.guard_format import GuardFormat
from tests.evaluators.guard_model.words import SPECIAL, TEMPLATE, tokenizer


@dataclass(frozen=True)
class Family:
    """How a family's checkpoint is made, and how it is asked."""

    form: GuardFormat
    directory: str
    """What the checkpoint is called."""
    make: Callable[[], tuple[Any, Any]]
    """Model and processor."""


def _config(name: str, **settings: Any) -> Any:
    return getattr(transformers, name)(**settings)


def _text(**settings: Any) -> dict[str, Any]:
    return {
        "vocab_size": 448,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        **settings,
    }


def _vision(**settings: Any) -> dict[str, Any]:
    return {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 32,
        "patch_size": 8,
        **settings,
    }


def _id(token: str) -> int:
    return SPECIAL.index(token)


def _rope(**settings: Any) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 10000.0, **settings}


def _loud(model: Any) -> Any:
    """Larger weights: a random model is nearly deaf to its input."""
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            if not parameter.any() and parameter.ndim > 1:  # a way for pictures, closed when new
                parameter.normal_(std=0.1)
            elif parameter.ndim > 1 and "lm_head" not in path:
                parameter.mul_(4)
    return model.eval()


def _made(name: str, config: Any) -> Any:
    torch.manual_seed(0)
    return _loud(getattr(transformers, name)(config))


def _templated(mark: str) -> str:
    return TEMPLATE.replace("IMAGE", mark)


def shieldstral() -> tuple[Any, Any]:
    config = _config(
        "Mistral3Config",
        text_config=_config("MistralConfig", **_text(), head_dim=8, sliding_window=None),
        vision_config=_config("PixtralVisionConfig", **_vision(), rope_parameters=_rope()),
        image_token_index=_id("[IMG]"),
        spatial_merge_size=2,
        tie_word_embeddings=False,
    )
    images = transformers.PixtralImageProcessor(size={"longest_edge": 32}, patch_size=8)
    processor = transformers.PixtralProcessor(
        images,
        tokenizer(image_token="[IMG]"),
        patch_size=8,
        spatial_merge_size=2,
        chat_template=_templated("[IMG]"),
    )
    return _made("Mistral3ForConditionalGeneration", config), processor


def singguard() -> tuple[Any, Any]:
    text = _text(
        head_dim=16, rope_parameters=_rope(mrope_section=[3, 3, 2], mrope_interleaved=True)
    )
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 4,
        "patch_size": 8,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": 32,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0, 1],
    }
    config = _config(
        "Qwen3VLConfig",
        text_config=text,
        vision_config=vision,
        image_token_id=_id("<|image_pad|>"),
        video_token_id=_id("<|video_pad|>"),
        vision_start_token_id=_id("<|vision_start|>"),
        vision_end_token_id=_id("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    sizes = {"shortest_edge": 32 * 32, "longest_edge": 48 * 48}
    images = transformers.Qwen2VLImageProcessor(patch_size=8, size=sizes)
    videos = transformers.Qwen3VLVideoProcessor(patch_size=8)
    marks = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    template = _templated("<|vision_start|><|image_pad|><|vision_end|>")
    make: Any = transformers.Qwen3VLProcessor
    processor = make(images, tokenizer(**marks), videos, chat_template=template)
    return _made("Qwen3VLForConditionalGeneration", config), processor


def _gemma(kind: str) -> Any:
    text = _config(
        "Gemma3TextConfig",
        **_text(num_hidden_layers=4),
        head_dim=8,
        sliding_window=24,
        layer_types=["sliding_attention", "full_attention"] * 2,
    )
    return _config(
        kind,
        text_config=text,
        vision_config=_config("SiglipVisionConfig", **_vision()),
        mm_tokens_per_image=4,
        image_token_index=_id("<image>"),
        boi_token_index=_id("<boi>"),
        eoi_token_index=_id("<eoi>"),
        tie_word_embeddings=False,
    )


def _gemma_processor(kind: str) -> Any:
    images = transformers.Gemma3ImageProcessor(size={"height": 32, "width": 32})
    marks = {"image_token": "<image>", "boi_token": "<boi>", "eoi_token": "<eoi>"}
    make: Any = getattr(transformers, kind)
    return make(images, tokenizer(**marks), _templated("<boi>"), image_seq_length=4)


def nemotron() -> tuple[Any, Any]:
    model = _made("Gemma3ForConditionalGeneration", _gemma("Gemma3Config"))
    return model, _gemma_processor("Gemma3Processor")


def shieldgemma2() -> tuple[Any, Any]:
    words = tokenizer()
    config = _gemma("ShieldGemma2Config")
    config.yes_token_index, config.no_token_index = (
        words(word, add_special_tokens=False)["input_ids"][0] for word in ("Yes", "No")
    )
    model = _made("ShieldGemma2ForImageClassification", config)
    return model, _gemma_processor("ShieldGemma2Processor")


def qwen3guard() -> tuple[Any, Any]:
    words = tokenizer()
    words.chat_template = TEMPLATE
    return _made("Qwen3ForCausalLM", _config("Qwen3Config", **_text(), head_dim=8)), words


def llama_guard_4() -> tuple[Any, Any]:
    text = _config(
        "Llama4TextConfig",
        **_text(num_hidden_layers=4),
        head_dim=8,
        intermediate_size_mlp=64,
        num_local_experts=2,
        attention_chunk_size=24,
        no_rope_layers=[1, 0, 1, 0],
        layer_types=["chunked_attention", "full_attention"] * 2,
        rope_parameters=_rope(),
    )
    vision = _config(
        "Llama4VisionConfig",
        **_vision(intermediate_size=128),
        vision_output_dim=32,
        projector_input_dim=32,
        projector_output_dim=32,
        rope_parameters=_rope(),
    )
    config = _config(
        "Llama4Config",
        text_config=text,
        vision_config=vision,
        image_token_index=_id("<|patch|>"),
        boi_token_index=_id("<|image_start|>"),
        eoi_token_index=_id("<|image_end|>"),
        tie_word_embeddings=False,
    )
    images = transformers.Llama4ImageProcessor(size={"height": 32, "width": 32}, max_patches=1)
    processor = transformers.Llama4Processor(
        images, tokenizer(), patch_size=8, chat_template=_templated("<|image|>")
    )
    return _made("Llama4ForConditionalGeneration", config), processor


def llavaguard() -> tuple[Any, Any]:
    pinpoints = [[32, 64], [64, 32], [64, 64]]
    config = _config(
        "LlavaOnevisionConfig",
        text_config=_config("Qwen2Config", **_text()),
        vision_config=_config("SiglipVisionConfig", **_vision(), vision_use_head=False),
        image_token_index=_id("<image>"),
        video_token_index=_id("<video>"),
        image_grid_pinpoints=pinpoints,
        tie_word_embeddings=False,
    )
    images = transformers.LlavaOnevisionImageProcessor(
        size={"height": 32, "width": 32}, image_grid_pinpoints=pinpoints
    )
    make: Any = transformers.LlavaOnevisionProcessor
    processor = make(
        images,
        tokenizer(image_token="<image>", video_token="<video>"),
        transformers.LlavaOnevisionVideoProcessor(size={"height": 32, "width": 32}),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=_templated("<image>"),
    )
    return _made("LlavaOnevisionForConditionalGeneration", config), processor


FAMILIES = {
    family.make.__name__: family
    for family in (
        Family(formats.SHIELDSTRAL, "Shieldstral-1.0-3B", shieldstral),
        Family(formats.SINGGUARD, "Sing-Guard-2b", singguard),
        Family(formats.NEMOTRON, "Nemotron-3.5-Content-Safety", nemotron),
        Family(formats.QWEN3GUARD, "Qwen3Guard-Gen-0.6B", qwen3guard),
        Family(formats.SHIELDGEMMA2, "shieldgemma-2-4b-it", shieldgemma2),
        Family(formats.LLAMA_GUARD_4, "Llama-Guard-4-12B", llama_guard_4),
        Family(
            replace(formats.LLAVAGUARD, policy='Nothing like {"rating": str}.'),
            "LlavaGuard-v1.2-0.5B-OV-hf",
            llavaguard,
        ),
    )
}
