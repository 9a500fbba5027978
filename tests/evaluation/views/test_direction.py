from __future__ import annotations

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from eta_guard.evaluation.views.direction import PENALTY, SCALE, direction

WIDTH = 16


def embeddings(seed: int, count: int, toward: int) -> Tensor:
    """Unit vectors of all directions, with a part along one axis."""
    drawn = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))
    drawn[:, toward] += 2
    return nn.functional.normalize(drawn, dim=-1)


def test_fresh_pictures_of_both_kinds_lie_on_their_sides() -> None:
    normal = torch.tensor(direction(embeddings(0, 300, toward=0), embeddings(1, 200, toward=1)))
    assert normal.norm().item() == pytest.approx(1, abs=1e-3)
    hidden, usual = embeddings(2, 500, toward=0) @ normal, embeddings(3, 500, toward=1) @ normal
    between = torch.cat([hidden, usual]).median()
    assert (hidden > between).float().mean() > 0.9
    assert (usual < between).float().mean() > 0.9


def test_it_is_the_plane_of_another_library() -> None:
    hidden, usual = embeddings(0, 300, toward=0), embeddings(1, 100, toward=1)
    # Ours is a mean over both kinds, half each; theirs a sum, with half the squares beside it.
    theirs = LogisticRegression(C=1 / (2 * PENALTY), tol=1e-10, max_iter=10_000)
    weights = [0.5 / 300] * 300 + [0.5 / 100] * 100
    rows = SCALE * torch.cat([hidden, usual]).double().numpy()
    theirs.fit(rows, [1] * 300 + [0] * 100, sample_weight=weights)
    (found,) = theirs.coef_
    length = math.hypot(*found)
    assert direction(hidden, usual) == pytest.approx(found / length, abs=1e-3)
