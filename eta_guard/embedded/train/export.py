"""Writes weights as they ship: half precision, safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration, PreTrainedModel

_TOWER, _PUBLISHED_TOWER = "vision_tower.", "vision_tower.vision_model."


def save_weights(weights: Mapping[str, Tensor], file: Path) -> None:
    """Write tensors in float16, floating-point ones at least."""
    file.parent.mkdir(parents=True, exist_ok=True)
    halved = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in weights.items()
    }
    save_file(halved, file, metadata={"format": "pt"})


def save_model(model: PreTrainedModel, folder: Path) -> None:
    """Write configuration and weights of a transformers model; it is float16 afterwards."""
    nn.Module.to(model, torch.float16)
    model.save_pretrained(folder)


def save_llava(model: LlavaForConditionalGeneration, folder: Path) -> None:
    """Write a LLaVA model as `save_model` does, under the names that published ones carry."""
    save_model(model, folder)
    rename_as_published(folder / "model.safetensors")


def rename_as_published(file: Path) -> None:
    """Give a LLaVA model's tensors, in place, the names that published checkpoints carry.

    transformers 5 dropped a level of the vision tower: `save_pretrained` writes
    `vision_tower.embeddings…`, every published checkpoint has
    `vision_tower.vision_model.embeddings…`. transformers reads both, other programs (vLLM) the
    published ones alone. Tensors that have these names keep them.
    """
    weights = load_file(file)
    renamed = {_published(name): value for name, value in weights.items()}
    save_file(renamed, file, metadata={"format": "pt"})


def _published(name: str) -> str:
    if name.startswith(_PUBLISHED_TOWER) or not name.startswith(_TOWER):
        return name
    return _PUBLISHED_TOWER + name.removeprefix(_TOWER)
