"""Tiny image classifiers with random weights, saved as the hub keeps them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    ConvNextImageProcessor,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

LABELS = ["drawings", "hazard", "neutral", "weapon"]


def save_vit(directory: Path, *, seed: int = 0, labels: list[str] = LABELS, **more: Any) -> Path:
    """A ViT, whose processor squeezes the whole picture into a square."""
    torch.manual_seed(seed)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        initializer_range=0.5,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        **more,
    )
    _save(ViTForImageClassification(config), directory)
    processor: Any = ViTImageProcessor
    processor(size={"height": 32, "width": 32}).save_pretrained(directory)
    return directory


def save_convnext(directory: Path, *, seed: int = 0) -> Path:
    """A ConvNeXt, whose processor cuts the middle out of the picture."""
    torch.manual_seed(seed)
    config = ConvNextConfig(
        hidden_sizes=[8, 16],
        depths=[1, 1],
        num_stages=2,
        patch_size=4,
        image_size=32,
        initializer_range=0.5,
        id2label=dict(enumerate(LABELS)),
        label2id={label: i for i, label in enumerate(LABELS)},
    )
    _save(ConvNextForImageClassification(config), directory)
    processor: Any = ConvNextImageProcessor
    processor(size={"shortest_edge": 32}, crop_pct=0.875).save_pretrained(directory)
    return directory


def _save(model: Any, directory: Path) -> None:
    # Biases start at zero and a head that small is nearly even: scores should differ clearly.
    with torch.no_grad():
        model.classifier.weight.normal_(std=0.7)
        model.classifier.bias.normal_(std=0.2)
    model.save_pretrained(directory)
