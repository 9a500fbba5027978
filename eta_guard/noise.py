"""Tells the noise of arithmetic from a fault, in any precision.

No fixed tolerance does: what two orders of summation make of the same numbers in half precision
grows with a model's depth, and may be more than a real fault changes elsewhere. So what must make
no difference is held against what must make one, on the same model, as root mean squares over wide
vectors and several texts: a single number, or the largest of many, is a matter of luck.
"""

from __future__ import annotations

import torch
from torch import Tensor

TIMES_SMALLER = {torch.float32: 1000, torch.float64: 1000}
"""How much smaller noise has to be."""
IN_HALF_PRECISION = 10
"""Likewise. A 32-layer model in bfloat16 reaches about 25, one that is read wrongly about 1."""


def is_noise(difference: Tensor, real: Tensor, dtype: torch.dtype) -> bool:
    """Whether a difference is only noise beside a real one.

    Args:
        difference: Between two ways of computing the same, any shape.
        real: Between computations of what is not the same, any shape; on the same scale.
        dtype: In which the model computes.
    """
    times = TIMES_SMALLER.get(dtype, IN_HALF_PRECISION)
    return bool(size(difference) * times < size(real))


def size(numbers: Tensor) -> Tensor:
    """Root mean square."""
    return numbers.double().square().mean().sqrt()
