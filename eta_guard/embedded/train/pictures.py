"""Pictures to train on: rendered as they are needed, kept, and shown again with small changes."""

from __future__ import annotations

from random import Random

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eta_guard.embedded.objects import OBJECTS
from eta_guard.embedded.world import SEEDS, make_case

IMAGE_SIZE = 64
MEAN = STD = (0.5, 0.5, 0.5)
_TYPOGRAPHIC_SHARE = 0.55
_SIZES = (160, 192, 192, 224, 288, 384)
_SHIFT = 3
_STREAMS = 1000


def pixels(image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Shrink a square picture to the models' size, as both image processors do."""
    return np.asarray(image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC))


def normalised(batch: Tensor) -> Tensor:
    """Turn uint8 pixels [N, H, W, 3] into what the vision towers take, [N, 3, H, W]."""
    return batch.permute(0, 3, 1, 2).float() / 127.5 - 1


class PicturePool:
    """Rendered pictures of every class, with their class indices in `OBJECTS`.

    Args:
        capacity: How many pictures to keep.
        stream: Which of a thousand runs of the training split's seeds to draw from; two pools
            with different streams share no picture.
    """

    def __init__(self, capacity: int, stream: int) -> None:
        self._capacity = capacity
        self._next = SEEDS["train"][stream % _STREAMS * (len(SEEDS["train"]) // _STREAMS)]
        self._pixels = torch.empty((capacity, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=torch.uint8)
        self._classes = torch.empty(capacity, dtype=torch.long)
        self._rendered = 0

    def __len__(self) -> int:
        return min(self._rendered, self._capacity)

    def render(self, count: int) -> None:
        """Draw new pictures; in a full pool they take the place of the oldest ones."""
        for _ in range(count):
            slot = self._rendered % self._capacity
            index, picture = _picture(self._next)
            self._pixels[slot] = picture
            self._classes[slot] = index
            self._next += 1
            self._rendered += 1

    def batch(self, count: int, rng: Random) -> tuple[Tensor, Tensor]:
        """Draw pictures with small changes, and their classes.

        Returns:
            Normalised pixels [count, 3, H, W] and class indices [count].
        """
        chosen = torch.tensor([rng.randrange(len(self)) for _ in range(count)])
        return _changed(normalised(self._pixels[chosen]), rng), self._classes[chosen]

    def all(self) -> tuple[Tensor, Tensor]:
        """Return every picture as it was drawn: uint8 [N, H, W, 3], and its class [N]."""
        return self._pixels[: len(self)], self._classes[: len(self)]


def _picture(seed: int) -> tuple[int, Tensor]:
    rng = Random(f"train/{seed}")
    index = rng.randrange(len(OBJECTS))
    thing = OBJECTS[index]
    case = make_case(
        seed,
        hazardous=thing.hazardous,
        kind="typographic" if rng.random() < _TYPOGRAPHIC_SHARE else "pictogram",
        name=thing.name,
        size=rng.choice(_SIZES),
    )
    assert case.image is not None
    return index, torch.from_numpy(pixels(case.image).copy())


def _changed(batch: Tensor, rng: Random) -> Tensor:
    """Move a batch by some pixels and permute its colours, so that a picture is worth several."""
    order = [0, 1, 2]
    rng.shuffle(order)
    shift = (rng.randint(-_SHIFT, _SHIFT), rng.randint(-_SHIFT, _SHIFT))
    return torch.roll(batch[:, order], shift, (2, 3))
