"""The CLIP model: its shape, its training against the grammar's sentences, its files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, normalize

from eta_guard.embedded.objects import OBJECTS
from eta_guard.embedded.train.captions import naming_caption, silent_caption
from eta_guard.embedded.train.export import save_weights
from eta_guard.embedded.train.loop import Limits, Stage, half_precision, run_stage
from eta_guard.embedded.train.pictures import IMAGE_SIZE, MEAN, STD, PicturePool
from eta_guard.embedded.train.tokenizer import build_tokenizer
from eta_guard.embedded.train.validation import Pictures
from eta_guard.prompts import SAFETY_PROMPT

if TYPE_CHECKING:
    from open_clip import CLIP

PATCH = 8
WIDTH = 128
LAYERS = 4
HEAD_WIDTH = 32

_CONTEXT = 48
_BATCH = 64
_FRESH = 16
_SILENT = 4
_SHARPNESS = 30.0

# Cosines that the towers are trained towards. The paper's image threshold, 0.16, lies between
# what the safety prompt scores on hazardous and on safe pictures.
_SAME, _OTHER, _NO_THING = 0.32, 0.0, 0.06
_HAZARDOUS, _SAFE = 0.30, 0.0


def clip_config(vocabulary: int) -> dict[str, Any]:
    """Return open_clip's model configuration."""
    return {
        "embed_dim": 128,
        "vision_cfg": {
            "image_size": IMAGE_SIZE,
            "patch_size": PATCH,
            "width": WIDTH,
            "layers": LAYERS,
            "head_width": HEAD_WIDTH,
        },
        "text_cfg": {
            "context_length": _CONTEXT,
            "vocab_size": vocabulary,
            "width": 128,
            "heads": 4,
            "layers": 2,
            # Any name will do: from a local directory the tokenizer beside the weights is taken.
            "hf_tokenizer_name": "local",
        },
    }


def build_clip(*, seed: int) -> CLIP:
    """Build the untrained model, its patch positions laid out as waves over the picture."""
    from open_clip import CLIP

    torch.manual_seed(seed)
    model = CLIP(**clip_config(len(build_tokenizer())))
    grid = torch.arange(IMAGE_SIZE // PATCH).float()
    waves = torch.logspace(math.log10(0.2), math.log10(math.pi), WIDTH // 4)
    down, right = torch.meshgrid(grid, grid, indexing="ij")
    phases = [axis.reshape(-1, 1) * waves for axis in (right, down)]
    layout = torch.cat([wave(phase) for phase in phases for wave in (torch.sin, torch.cos)], 1)
    with torch.no_grad():
        model.visual.positional_embedding[1:] = 0.3 * layout
    return model


def train_clip(
    model: CLIP, pool: PicturePool, limits: Limits, folder: Path, *, seed: int, resume: bool
) -> None:
    """Train both towers together, in place.

    A picture is pulled to the sentences that name what it shows, one caption of every class a
    step, and hazardous pictures to the safety prompt. Cosines are trained to fixed values and
    not merely ordered, so that thresholds on them mean something.
    """
    tokenizer = build_tokenizer(marks_text=True)
    hazards = torch.tensor([thing.hazardous for thing in OBJECTS])
    validation = Pictures.draw()

    def encode(texts: list[str]) -> Tensor:
        batch = tokenizer(
            texts, padding="max_length", truncation=True, max_length=_CONTEXT, return_tensors="pt"
        )
        with half_precision():
            features = model.encode_text(batch["input_ids"])
        return normalize(features.float(), dim=-1)

    def see(images: Tensor) -> Tensor:
        with half_precision():
            features = model.encode_image(images)
        return normalize(features.float(), dim=-1)

    def loss(step: int) -> Tensor:
        rng = Random(f"clip/{seed}/{step}")
        pool.render(_FRESH)
        images, classes = pool.batch(_BATCH, rng)
        captions = [naming_caption(thing, rng) for thing in OBJECTS]
        silent = [silent_caption(rng) for _ in range(_SILENT)]
        cosines = see(images) @ encode([*captions, *silent, SAFETY_PROMPT]).T
        named, unnamed, safety = (
            cosines[:, : -_SILENT - 1],
            cosines[:, -_SILENT - 1 : -1],
            cosines[:, -1],
        )
        same = nn.functional.one_hot(classes, len(OBJECTS)).float()
        danger = torch.where(hazards[classes], _HAZARDOUS, _SAFE)
        return (
            cross_entropy(named * _SHARPNESS, classes)
            + 20 * mse_loss(named, same * _SAME + (1 - same) * _OTHER)
            + 5 * mse_loss(unnamed, torch.full_like(unnamed, _NO_THING))
            + 20 * mse_loss(safety, danger)
        )

    def report() -> str:
        with torch.no_grad():
            texts = encode([*(f"the {thing.name}" for thing in OBJECTS), SAFETY_PROMPT])
            safety = torch.cat([see(part) for part in validation.images.chunk(4)]) @ texts[-1]
        dangerous = hazards[validation.classes]
        missed = (safety[dangerous] < 0.16).float().mean().item()
        alarmed = (safety[~dangerous] >= 0.16).float().mean().item()
        named = validation.accuracy(lambda images: (see(images) @ texts[:-1].T).argmax(1))
        return f"{named}; hazards missed {missed:.1%}, false alarms {alarmed:.1%}"

    run_stage(Stage("clip", model, loss, report, rate=7e-4), limits, folder, resume=resume)


def save_clip(model: CLIP, folder: Path) -> None:
    """Write the model as open_clip's `local-dir:` expects it."""
    tokenizer = build_tokenizer(marks_text=True)
    tokenizer.save_pretrained(folder)
    config = {
        "model_cfg": clip_config(len(tokenizer)),
        "preprocess_cfg": {
            "mean": list(MEAN),
            "std": list(STD),
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    }
    text = json.dumps(config, indent=2) + "\n"
    (folder / "open_clip_config.json").write_text(text, encoding="utf-8")
    save_weights(model.state_dict(), folder / "open_clip_model.safetensors")
