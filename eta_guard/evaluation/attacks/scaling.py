"""How Pillow scales, as matrices, and the size that the embedded models look at."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float64]

SEEN = 64
"""Pixels of the side that CLIP and the chat model of the embedded world are shown."""

BICUBIC = Image.Resampling.BICUBIC
"""By which both of their processors scale."""


@cache
def weights(large: int, small: int, resampling: Image.Resampling) -> Floats:
    """How Pillow scales one axis: ``small`` rows of ``large`` weights, each adding up to 1."""
    unit = Image.fromarray(np.eye(large, dtype=np.float32))
    return np.asarray(unit.resize((large, small), resampling), dtype=np.float64)
