"""Carries a vision tower from open_clip's names over to those of transformers, exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from open_clip import CLIP
    from transformers import LlavaForConditionalGeneration


def copy_tower(clip: CLIP, chat: LlavaForConditionalGeneration) -> None:
    """Copy CLIP's vision tower into the chat model; both then compute the same."""
    ours = {name: value.detach() for name, value in clip.visual.state_dict().items()}
    named: dict[str, Tensor] = {
        "embeddings.class_embedding": ours["class_embedding"],
        "embeddings.patch_embedding.weight": ours["conv1.weight"],
        "embeddings.position_embedding.weight": ours["positional_embedding"],
    }
    for theirs, name in (("pre_layrnorm", "ln_pre"), ("post_layernorm", "ln_post")):
        for part in ("weight", "bias"):
            named[f"{theirs}.{part}"] = ours[f"{name}.{part}"]
    for layer in range(len(clip.visual.transformer.resblocks)):
        for part in ("weight", "bias"):
            block = f"transformer.resblocks.{layer}"
            target = f"encoder.layers.{layer}"
            joint = ours[f"{block}.attn.in_proj_{part}"].chunk(3)
            for name, value in zip(("q_proj", "k_proj", "v_proj"), joint, strict=True):
                named[f"{target}.self_attn.{name}.{part}"] = value
            for theirs, name in (
                ("self_attn.out_proj", "attn.out_proj"),
                ("layer_norm1", "ln_1"),
                ("layer_norm2", "ln_2"),
                ("mlp.fc1", "mlp.c_fc"),
                ("mlp.fc2", "mlp.c_proj"),
            ):
                named[f"{target}.{theirs}.{part}"] = ours[f"{block}.{name}.{part}"]
    tower = chat.model.vision_tower
    # Some releases of transformers wrap the encoder once more.
    wrapped = any(name.startswith("vision_model.") for name in tower.state_dict())
    prefix = "vision_model." if wrapped else ""
    tower.load_state_dict({f"{prefix}{name}": value for name, value in named.items()})
