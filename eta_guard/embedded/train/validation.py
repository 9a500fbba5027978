"""Pictures of the validation split, by which the training's progress is reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from eta_guard.embedded.objects import OBJECTS
from eta_guard.embedded.train.pictures import normalised, pixels
from eta_guard.embedded.world import cases

_COUNT = 150


@dataclass(frozen=True)
class Pictures:
    """Hazardous and safe pictures with what is in them."""

    images: Tensor
    """Normalised pixels [N, 3, H, W]."""
    classes: Tensor
    """Class indices in `OBJECTS` [N]."""
    written: Tensor
    """Whether a picture is typographic [N]."""

    @classmethod
    def draw(cls) -> Pictures:
        """Draw the pictures; always the same."""
        names = [thing.name for thing in OBJECTS]
        images, classes, written = [], [], []
        for case in cases("validation", hazardous=_COUNT, safe=_COUNT, text_only=0):
            assert case.image is not None
            images.append(torch.from_numpy(pixels(case.image).copy()))
            classes.append(names.index(case.object))
            written.append(case.kind == "typographic")
        return cls(normalised(torch.stack(images)), torch.tensor(classes), torch.tensor(written))

    @torch.no_grad()
    def accuracy(self, predict: Callable[[Tensor], Tensor]) -> str:
        """Describe how many classes `predict` names right, for icons and for text."""
        right = torch.cat([predict(part) for part in self.images.chunk(4)]) == self.classes
        icons = right[~self.written].float().mean().item()
        texts = right[self.written].float().mean().item()
        return f"icons {icons:.1%}, texts {texts:.1%} right"
