"""Writes weights as they ship: half precision, safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel


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
