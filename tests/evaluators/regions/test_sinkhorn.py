"""Held against exact transport by linear programming (SciPy), and against POT's Sinkhorn."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor

from eta_guard.evaluators.regions.sinkhorn import sinkhorn


def problem(
    rows: int, columns: int, seed: int = 0, batch: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    shape = () if batch is None else (batch,)
    cost = torch.rand(*shape, rows, columns, generator=random, dtype=torch.float64)
    masses = [torch.rand(*shape, n, generator=random).double() + 0.1 for n in (rows, columns)]
    left, right = (mass / mass.sum(dim=-1, keepdim=True) for mass in masses)
    return cost, left, right


def exact(cost: Tensor, rows: Tensor, columns: Tensor) -> float:
    """The least cost of a transport, by linear programming."""
    m, n = cost.shape
    sums = [np.kron(np.eye(m), np.ones(n)), np.kron(np.ones(m), np.eye(n))]
    found = linprog(
        cost.numpy().ravel(),
        A_eq=np.vstack(sums),
        b_eq=np.concatenate([rows.numpy(), columns.numpy()]),
    )
    return float(found.fun)


SHAPES = [(1, 1), (1, 5), (7, 1), (9, 5), (16, 16), (30, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_at_a_small_regularisation_it_is_the_cheapest_transport(shape: tuple[int, int]) -> None:
    cost, rows, columns = problem(*shape)
    plan = sinkhorn(cost, rows, columns, regularisation=1e-3, iterations=2000)
    assert float((plan * cost).sum()) == pytest.approx(exact(cost, rows, columns), abs=3e-3)
    # A plan that does not look at the cost is dearer: the comparison can fail.
    if min(shape) > 1:
        product = float((rows[:, None] * columns * cost).sum())
        assert product > exact(cost, rows, columns) + 0.05


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("regularisation", [0.05, 0.1, 1.0])
def test_it_is_pot_s_plan(shape: tuple[int, int], regularisation: float) -> None:
    cost, rows, columns = problem(*shape, seed=1)
    ours = sinkhorn(cost, rows, columns, regularisation=regularisation, iterations=400)
    theirs = ot.sinkhorn(
        rows.numpy(),
        columns.numpy(),
        cost.numpy(),
        regularisation,
        method="sinkhorn_log",
        numItermax=400,
        stopThr=1e-14,
        warn=False,
    )
    assert np.abs(ours.numpy() - theirs).max() < 1e-9


def test_the_mass_is_carried_from_rows_to_columns() -> None:
    cost, rows, columns = problem(9, 5, batch=4)
    plan = sinkhorn(cost, rows, columns)  # as by default
    assert plan.shape == cost.shape
    assert bool((plan >= 0).all())
    assert torch.allclose(plan.sum(dim=-1), rows, atol=1e-12)
    assert torch.allclose(plan.sum(dim=-2), columns, atol=1e-3)


def test_problems_of_a_batch_are_solved_apart() -> None:
    cost, rows, columns = problem(6, 4, batch=3)
    together = sinkhorn(cost, rows, columns)
    for number in range(3):
        alone = sinkhorn(cost[number], rows[number], columns[number])
        assert torch.allclose(together[number], alone, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_tiny_regularisation_is_no_overflow(dtype: torch.dtype) -> None:
    # exp(-2 / 1e-4) is 0 in any format: outside the log domain all of this is NaN.
    cost, rows, columns = problem(8, 3)
    plan = sinkhorn(cost.to(dtype) * 2, rows, columns, regularisation=1e-4, iterations=20)
    assert bool(plan.isfinite().all())
    assert torch.allclose(plan.sum(dim=-1), rows, atol=1e-6)


def test_a_column_without_mass_is_carried_none() -> None:
    cost, rows, columns = problem(5, 3)
    padded = sinkhorn(
        torch.cat([cost, torch.zeros(5, 2)], dim=-1), rows, torch.cat([columns, torch.zeros(2)])
    )
    assert torch.allclose(padded[:, :3], sinkhorn(cost, rows, columns))
    assert not padded[:, 3:].any()
