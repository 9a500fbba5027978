from __future__ import annotations

import math

import numpy as np
import ot
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from eta_guard.evaluators.regions.transport import Transport, transport


def units(count: int, seed: int, width: int = 16) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, width, generator=random), dim=-1)


TEXTS = [units(4, seed=1), units(2, seed=2), units(4, seed=3)]


def matched(tiles: Tensor, texts: list[Tensor] = TEXTS, sharpness: float = 20.0) -> Transport:
    return transport(tiles, texts, sharpness=sharpness, regularisation=0.1, iterations=100)


def entropies(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares = shares / shares.sum(axis=-1, keepdims=True)
    return np.asarray(-(shares * np.log(shares)).sum(axis=-1))


def softmax(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(values) / np.exp(values).sum())


def test_it_is_guardalign_s_transport_with_pot_s_plan() -> None:
    """Its formulas once more, in NumPy, over the plan of the library POT."""
    tiles, sharpness = units(6, seed=0), 20.0
    found = matched(tiles, sharpness=sharpness)
    x, texts = tiles.double().numpy(), [each.double().numpy() for each in TEXTS]
    means = np.stack([each.mean(axis=0) for each in texts])
    means /= np.linalg.norm(means, axis=-1, keepdims=True)
    whole = x.mean(axis=0) / np.linalg.norm(x.mean(axis=0))
    a = softmax(-entropies(sharpness * x @ means.T))
    of_tiles = []
    for place, z in enumerate(texts):
        readings = np.tile(means @ whole, (len(z), 1))
        readings[:, place] = z @ whole
        b = softmax(-entropies(sharpness * readings))
        cost = 1 - x @ z.T
        plan = ot.sinkhorn(a, b, cost, 0.1, method="sinkhorn_log", numItermax=2000, stopThr=1e-14)
        d = (plan * cost).sum(axis=-1)  # GuardAlign's, of one category
        assert float(found.categories[place]) == pytest.approx(d.sum(), abs=1e-7)
        of_tiles.append(d / a)
    assert found.tiles.numpy() == pytest.approx(np.min(of_tiles, axis=0), abs=1e-6)


def test_scores_are_cosine_distances_however_many_tiles_there_are() -> None:
    tile = TEXTS[1][:1]
    for count in (1, 4, 100):
        found = matched(tile.repeat(count, 1), [tile, -tile])
        assert found.categories.tolist() == pytest.approx([0, 2], abs=1e-6)
        assert found.tiles.tolist() == pytest.approx([0] * count, abs=1e-6)


def test_a_picture_is_the_mean_of_its_tiles_so_one_of_them_is_no_safer() -> None:
    for seed in range(5):
        found = matched(units(9, seed=seed))
        assert float(found.tiles.min()) <= float(found.categories.min()) + 1e-9


def test_a_confident_tile_weighs_more() -> None:
    # One tile shows the category, the others nothing: their cosines with all texts are 0.
    texts = [torch.eye(4)[:1], torch.eye(4)[1:2]]
    nothing, hazard = torch.eye(4)[3:], torch.eye(4)[:1]
    found = matched(torch.cat([hazard, nothing, nothing, nothing]), texts)
    # Weights e^0 of the first and e^(-ln 2) of the rest: 1 / (1 + 3 / 2) of the mass costs 0.
    assert float(found.categories[0]) == pytest.approx(1 - 0.4, abs=1e-6)


def test_the_nearest_category_is_found_beside_many_that_are_absent() -> None:
    texts = [units(3, seed=seed) for seed in range(30)]
    found = matched(texts[17].repeat(2, 1), texts)
    assert int(found.categories.argmin()) == 17


def test_one_category_with_one_wording_is_the_cosine_distance() -> None:
    tiles, text = units(5, seed=4), units(1, seed=5)
    found = matched(tiles, [text])
    assert found.tiles.numpy() == pytest.approx((1 - tiles @ text.T)[:, 0].numpy(), abs=1e-6)
    assert float(found.categories[0]) == pytest.approx(float((1 - tiles @ text.T).mean()), abs=1e-6)


def test_what_is_not_finite_stays_so() -> None:
    tiles = units(3, seed=0)
    tiles[1] = math.nan
    found = matched(tiles)
    assert not bool(found.categories.isfinite().any())
