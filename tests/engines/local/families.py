"""Tiny random checkpoints of families whose caches, masks or positions differ, without a network.

Inputs are made by hand as each family's processor would make them for one picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers

from tests.engines.local.tiny import tokenizer

WORDS = tokenizer()
PAD, BOS, EOS, IMAGE = range(4)
VIDEO, VISION_START, VISION_END = range(len(WORDS), len(WORDS) + 3)
QUESTION = list(range(40, 60))
Inputs = dict[str, torch.Tensor]


class Processor:
    """As much of a processor as an engine asks for once the inputs are made."""

    tokenizer = WORDS
    chat_template = "{{ messages }}"


@dataclass(frozen=True)
class Family:
    """A model in eval mode, and one prompt with a picture."""

    model: Any
    inputs: Inputs


def why_not(family: Family) -> str | None:
    """Why the installed transformers cannot run a family by itself; None where it can.

    Release 5.24 looks for ``image_outputs`` where Llama 4's language model returns none.
    """
    try:
        with torch.no_grad():
            family.model(**family.inputs)
    except AttributeError as error:
        return f"transformers {transformers.__version__} cannot run it: {error}"
    return None


def _config(name: str, **settings: Any) -> Any:
    return getattr(transformers, name)(**settings)


def _text(**settings: Any) -> dict[str, Any]:
    return {
        "vocab_size": VISION_END + 1,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
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


def _model(name: str, config: Any) -> Any:
    """Random weights, large enough for the picture and every token to matter."""
    torch.manual_seed(0)
    model = getattr(transformers, name)(config).eval()
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            if "gate" in path and parameter.ndim == 1:  # of cross attention; closed when new
                parameter.fill_(1.0)
            elif not parameter.any() and parameter.ndim > 1:  # a way for pictures, closed when new
                parameter.normal_(std=0.1)
            elif parameter.ndim > 1:
                parameter.mul_(4)
    # No checkpoint says a picture's token; a random one would, or end at once.
    unsaid = torch.zeros(VISION_END + 1)
    unsaid[[PAD, BOS, EOS, IMAGE, VIDEO, VISION_START, VISION_END]] = -1e4
    model.get_output_embeddings().bias = torch.nn.Parameter(unsaid)
    model.generation_config.eos_token_id = EOS
    model.generation_config.pad_token_id = PAD
    return model


def _inputs(before: list[int], pictures: int, after: list[int], **others: torch.Tensor) -> Inputs:
    ids = torch.tensor([[BOS, *before, *[IMAGE] * pictures, *after, *QUESTION]])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **others}


def _pixels(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def gemma3() -> Family:
    """Bidirectional over the picture; every other layer sees 16 positions of the 45."""
    return _gemma3(window=16)


def gemma3_within_its_window() -> Family:
    """All that is read fits into the window."""
    return _gemma3(window=256)


def _gemma3(window: int) -> Family:
    text = _config(
        "Gemma3TextConfig",
        **_text(num_hidden_layers=4),
        head_dim=8,
        sliding_window=window,
        layer_types=["sliding_attention", "full_attention"] * 2,
    )
    config = _config(
        "Gemma3Config",
        text_config=text,
        vision_config=_config("SiglipVisionConfig", **_vision()),
        mm_tokens_per_image=4,
        image_token_index=IMAGE,
        eos_token_id=EOS,
    )
    inputs = _inputs(QUESTION, 4, [], pixel_values=_pixels(1, 3, 32, 32))
    inputs["token_type_ids"] = (inputs["input_ids"] == IMAGE).long()
    return Family(_model("Gemma3ForConditionalGeneration", config), inputs)


def mllama() -> Family:
    """Cross attention to two tiles of four; the two others are padding."""
    ratios = [[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]]
    text = _config(
        "MllamaTextConfig",
        **_text(num_hidden_layers=4),
        cross_attention_layers=[1, 3],
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )
    vision = _config(
        "MllamaVisionConfig",
        **_vision(),
        num_global_layers=1,
        attention_heads=4,
        max_num_tiles=4,
        vision_output_dim=64,
        intermediate_layers_indices=[0],
        supported_aspect_ratios=ratios,
    )
    config = _config(
        "MllamaConfig", text_config=text, vision_config=vision, image_token_index=IMAGE
    )
    pixels = _pixels(1, 1, 4, 3, 32, 32)
    pixels[:, :, 2:] = 0
    inputs = _inputs(
        [],
        1,
        [],
        pixel_values=pixels,
        aspect_ratio_ids=torch.tensor([[1 + ratios.index([1, 2])]]),
        aspect_ratio_mask=torch.tensor([[[1, 1, 0, 0]]]),
    )
    tiles = torch.zeros(1, inputs["input_ids"].shape[1], 1, 4, dtype=torch.long)
    tiles[:, 1:, :, :2] = 1
    inputs["cross_attention_mask"] = tiles
    return Family(_model("MllamaForConditionalGeneration", config), inputs)


def _qwen(name: str, text: dict[str, Any], vision: dict[str, Any]) -> Family:
    config = _config(
        f"{name}Config",
        text_config=_text(**text),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 4,
            "patch_size": 8,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 32,
            **vision,
        },
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        vision_start_token_id=VISION_START,
        vision_end_token_id=VISION_END,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    rows, columns = 4, 6
    inputs = _inputs(
        [VISION_START],
        rows * columns // 4,
        [VISION_END],
        pixel_values=_pixels(rows * columns, 3 * 2 * 8 * 8),
        image_grid_thw=torch.tensor([[1, rows, columns]]),
    )
    inputs["mm_token_type_ids"] = (inputs["input_ids"] == IMAGE).int()
    return Family(_model(f"{name}ForConditionalGeneration", config), inputs)


def _rope(**settings: Any) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 10000.0, **settings}


def qwen2_vl() -> Family:
    return _qwen(
        "Qwen2VL",
        {"rope_parameters": _rope(mrope_section=[1, 1, 2])},
        {"embed_dim": 32, "mlp_ratio": 2},
    )


def qwen2_5_vl() -> Family:
    """Positions of three axes, whose offset the model keeps."""
    return _qwen(
        "Qwen2_5_VL",
        {"rope_parameters": _rope(mrope_section=[1, 1, 2])},
        {"window_size": 32, "fullatt_block_indexes": [1]},
    )


def qwen3_vl() -> Family:
    """Positions of three axes interleaved; the picture enters two layers of the text too."""
    return _qwen(
        "Qwen3VL",
        {
            "head_dim": 16,
            "rope_parameters": _rope(mrope_section=[3, 3, 2], mrope_interleaved=True),
        },
        {"num_position_embeddings": 16, "deepstack_visual_indexes": [0, 1]},
    )


def qwen3_5() -> Family:
    """Linear attention, whose state cannot be cut, in every other layer."""
    rope = _rope(mrope_section=[1, 1, 0], mrope_interleaved=True, partial_rotary_factor=0.25)
    text = {
        "num_hidden_layers": 4,
        "head_dim": 16,
        "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "layer_types": ["linear_attention", "full_attention"] * 2,
        "rope_parameters": rope,
    }
    return _qwen("Qwen3_5", text, {"num_position_embeddings": 16})


def _tiled(name: str, config: Any) -> Family:
    """Five tiles, with the padding around the picture cut off and a mark after each row."""
    model = _model(name, config)
    pixels, sizes = _pixels(1, 5, 3, 32, 32), torch.tensor([[40, 60]])
    with torch.no_grad():
        found = model.get_image_features(pixel_values=pixels, image_sizes=sizes)
    pictures = sum(len(features) for features in found.pooler_output)
    return Family(model, _inputs([], pictures, [], pixel_values=pixels, image_sizes=sizes))


def llava_next() -> Family:
    config = _config(
        "LlavaNextConfig",
        text_config=_config("LlamaConfig", **_text()),
        vision_config=_config("CLIPVisionConfig", **_vision()),
        image_token_index=IMAGE,
        image_grid_pinpoints=[[32, 64], [64, 32], [64, 64]],
        vision_feature_layer=-1,
    )
    return _tiled("LlavaNextForConditionalGeneration", config)


def llava_onevision() -> Family:
    config = _config(
        "LlavaOnevisionConfig",
        text_config=_config("Qwen2Config", **_text()),
        vision_config=_config("SiglipVisionConfig", **_vision(), vision_use_head=False),
        image_token_index=IMAGE,
        video_token_index=VIDEO,
        image_grid_pinpoints=[[32, 64], [64, 32], [64, 64]],
    )
    return _tiled("LlavaOnevisionForConditionalGeneration", config)


def _idefics(name: str) -> Family:
    """Three tiles, the last of them half padding."""
    config = _config(
        f"{name}Config",
        text_config=_config("LlamaConfig", **_text()),
        vision_config=_vision(),
        image_token_id=IMAGE,
        scale_factor=2,
        pad_token_id=PAD,
    )
    seen = torch.ones(1, 3, 32, 32, dtype=torch.bool)
    seen[:, 2, 16:] = False
    inputs = _inputs([], 3 * 4, [], pixel_values=_pixels(1, 3, 3, 32, 32))
    inputs["pixel_attention_mask"] = seen
    return Family(_model(f"{name}ForConditionalGeneration", config), inputs)


def idefics3() -> Family:
    return _idefics("Idefics3")


def smolvlm() -> Family:
    return _idefics("SmolVLM")


def internvl() -> Family:
    config = _config(
        "InternVLConfig",
        text_config=_config("Qwen2Config", **_text()),
        vision_config=_vision(),
        image_token_id=IMAGE,
        image_seq_length=4,
    )
    inputs = _inputs([], 2 * 4, [], pixel_values=_pixels(2, 3, 32, 32))
    return Family(_model("InternVLForConditionalGeneration", config), inputs)


def mistral3() -> Family:
    config = _config(
        "Mistral3Config",
        text_config=_config("MistralConfig", **_text(), head_dim=8, sliding_window=None),
        vision_config=_config("PixtralVisionConfig", **_vision(), rope_parameters=_rope()),
        image_token_index=IMAGE,
    )
    sizes = torch.tensor([[32, 24]])
    inputs = _inputs([], 2, [], pixel_values=_pixels(1, 3, 32, 24), image_sizes=sizes)
    return Family(_model("Mistral3ForConditionalGeneration", config), inputs)


def llama4() -> Family:
    """Every other layer sees only its chunk of 16 positions."""
    text = _config(
        "Llama4TextConfig",
        **_text(num_hidden_layers=4),
        head_dim=8,
        intermediate_size_mlp=64,
        num_local_experts=2,
        attention_chunk_size=16,
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
        image_token_index=IMAGE,
        boi_token_index=VISION_START,
        eoi_token_index=VISION_END,
    )
    inputs = _inputs([], 4, QUESTION, pixel_values=_pixels(1, 3, 32, 32))
    return Family(_model("Llama4ForConditionalGeneration", config), inputs)


def paligemma() -> Family:
    """Reads its prompt in both directions."""
    config = _config(
        "PaliGemmaConfig",
        text_config=_config("GemmaConfig", **_text(), head_dim=8),
        vision_config=_config("SiglipVisionConfig", **_vision(), vision_use_head=False),
        image_token_index=IMAGE,
        projection_dim=32,
        hidden_size=32,
    )
    inputs = _inputs([], 16, [], pixel_values=_pixels(1, 3, 32, 32))
    inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])
    return Family(_model("PaliGemmaForConditionalGeneration", config), inputs)


def llava() -> Family:
    config = _config(
        "LlavaConfig",
        text_config=_config("LlamaConfig", **_text()),
        vision_config=_config("CLIPVisionConfig", **_vision()),
        image_token_index=IMAGE,
        image_seq_length=16,
        vision_feature_layer=-1,
    )
    inputs = _inputs([], 16, [], pixel_values=_pixels(1, 3, 32, 32))
    return Family(_model("LlavaForConditionalGeneration", config), inputs)


FAMILIES: dict[str, Callable[[], Family]] = {
    build.__name__: build
    for build in (
        gemma3,
        gemma3_within_its_window,
        mllama,
        qwen2_vl,
        qwen2_5_vl,
        qwen3_vl,
        qwen3_5,
        llava,
        llava_next,
        llava_onevision,
        idefics3,
        smolvlm,
        internvl,
        mistral3,
        llama4,
    )
}
