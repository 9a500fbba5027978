"""Optimal transport by Sinkhorn's iterations (Cuturi, 2013), in the log domain."""

from __future__ import annotations

import torch
from torch import Tensor


def sinkhorn(
    cost: Tensor,
    rows: Tensor,
    columns: Tensor,
    *,
    regularisation: float = 0.1,
    iterations: int = 20,
) -> Tensor:
    """The plan T ≥ 0 that least costs Σ T · cost − regularisation · entropy(T).

    Computed in float64 and with logarithms of the scalings, so that neither a small regularisation
    nor a cost in half precision makes exp(−cost / regularisation) vanish.

    Args:
        cost: Of carrying one unit of mass [..., M, N].
        rows: The mass to be carried away from each row [..., M], at least 0, summing to 1.
        columns: The mass to arrive at each column [..., N], likewise.
        regularisation: Above 0, on the scale of ``cost``; the smaller, the nearer to the plan of
            least cost and the more iterations that takes.
        iterations: At least 1.

    Returns:
        The plan [..., M, N] in float64. Its rows sum to ``rows``; its columns to ``columns`` as far
        as the iterations came.
    """
    kernel = -cost.double() / regularisation
    log_rows, log_columns = rows.double().log(), columns.double().log()
    left = torch.zeros_like(log_rows)
    for _ in range(iterations):
        right = log_columns - torch.logsumexp(kernel + left[..., None], dim=-2)
        left = log_rows - torch.logsumexp(kernel + right[..., None, :], dim=-1)
    return (left[..., None] + right[..., None, :] + kernel).exp()
