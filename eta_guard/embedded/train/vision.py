"""First stage: a vision tower learns to tell icons apart and to read the key words."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from eta_guard.embedded.objects import OBJECTS
from eta_guard.embedded.train.loop import Limits, Stage, half_precision, run_stage
from eta_guard.embedded.train.pictures import PicturePool
from eta_guard.embedded.train.validation import Pictures

if TYPE_CHECKING:
    from open_clip import CLIP

_BATCH = 64
_FRESH = 20
_FEATURES = 128


class _Reader(nn.Module):
    """The vision tower under a linear read-out of the class."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower
        self.classes = nn.Linear(_FEATURES, len(OBJECTS))

    def forward(self, images: Tensor) -> Tensor:
        """Return class logits [N, classes]."""
        with half_precision():
            features = self.tower(images)
        logits: Tensor = self.classes(features.float())
        return logits


def train_vision(
    clip: CLIP, pool: PicturePool, limits: Limits, folder: Path, *, seed: int, resume: bool
) -> None:
    """Train the vision tower of a CLIP model as a classifier, in place."""
    torch.manual_seed(seed)
    reader = _Reader(clip.visual)
    validation = Pictures.draw()

    def loss(step: int) -> Tensor:
        pool.render(_FRESH)
        images, classes = pool.batch(_BATCH, Random(f"vision/{seed}/{step}"))
        return cross_entropy(reader(images), classes, label_smoothing=0.05)

    def report() -> str:
        return validation.accuracy(lambda images: reader(images).argmax(1))

    run_stage(Stage("vision", reader, loss, report, rate=1e-3), limits, folder, resume=resume)
