"""In which direction of CLIP's embeddings hidden hazards lie: a linear probe.

Alain and Bengio, "Understanding intermediate layers using linear classifier probes" (2016); the
CLIP paper measures its own embeddings so (Radford et al., 2021, section 3.2). What a turned hazard
shows is not where the safety prompt lies, but it is not where ordinary safe pictures lie either.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

PENALTY = 3e-4
"""On the squared length of the weights; a few hundred pictures leave as many weights free."""
SCALE = 10.0
"""Of the embeddings, which have length 1: the penalty would hold back all weights otherwise."""
_STEPS = 300
"""Of the solver, at most."""


def direction(hidden: Tensor, usual: Tensor) -> tuple[float, ...]:
    """The normal of the plane that logistic regression draws between two kinds of pictures.

    Args:
        hidden: Embeddings of hidden hazards [pictures, width], of unit length, at least one.
        usual: Of ordinary safe pictures, likewise. Both kinds weigh the same.

    Returns:
        [width], of unit length to four digits, toward the hidden ones.
    """
    pictures = SCALE * torch.cat([hidden, usual]).double()
    labels = torch.cat([torch.ones(len(hidden)), torch.zeros(len(usual))]).double()
    weights = torch.where(labels > 0, 0.5 / len(hidden), 0.5 / len(usual))
    normal = torch.zeros(pictures.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([normal, bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        each = nn.functional.binary_cross_entropy_with_logits(
            pictures @ normal + bias, labels, reduction="none"
        )
        found = (weights * each).sum() + PENALTY * normal.square().sum()
        found.backward()  # type: ignore[no-untyped-call]
        return found

    solver.step(loss)  # type: ignore[no-untyped-call]
    unit = nn.functional.normalize(normal.detach(), dim=0)
    return tuple(round(value, 4) for value in unit.tolist())
