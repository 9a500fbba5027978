"""Tiles of a picture and wordings of unsafe categories, matched by optimal transport (GuardAlign).

Nothing here knows of pictures or of texts: it is given their embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pad_sequence

from eta_guard.evaluators.regions.sinkhorn import sinkhorn


@dataclass(frozen=True)
class Transport:
    """How far a picture is from each category: 1 − cosine, in [0, 2], the less the less safe."""

    categories: Tensor
    """Of the picture [C]: what it costs to carry all of it to the category's wordings."""
    tiles: Tensor
    """Of each tile [M], to the category that is nearest to it."""


def transport(
    tiles: Tensor,
    wordings: Sequence[Tensor],
    *,
    sharpness: float,
    regularisation: float,
    iterations: int,
) -> Transport:
    """Carries the tiles of a picture to the wordings of each category.

    As in GuardAlign: tiles weigh a = softmax of the negative entropy of their reading, p(category |
    tile), so that those with a confident reading weigh more; wordings weigh likewise, by how
    confident the whole picture's reading is with that wording in the place of its category; the
    cost is 1 − cosine, and T the plan between them.

    What a tile scores is Σₙ T(m, n) · cost(m, n) / Σₙ T(m, n): the mean cost of a unit of its mass.
    GuardAlign's Σᵢ Σₙ T(m, n) · cost(m, n) is proportional to the tile's mass, so that it shrinks
    as tiles become more, grows with the number of categories, and is highest, that is safest, for
    the very tiles whose reading is confident; no threshold could hold for two tilings, and its 0.42
    holds for its own alone. A unit's cost is a cosine distance whatever M and C are. And it is of
    the nearest category, not summed over all: those that are not in the picture would outweigh the
    one that is.

    Args:
        tiles: Unit vectors [M, width], at least one.
        wordings: Of each category, unit vectors [N, width], at least one.
        sharpness: What cosines are multiplied by before the softmax of a reading.
        regularisation: See ``sinkhorn``.
        iterations: Likewise.
    """
    tiles = tiles.double()
    texts = [each.double() for each in wordings]
    means = normalize(torch.stack([each.mean(dim=0) for each in texts]), dim=-1)
    rows = _weights(sharpness * tiles @ means.T)
    whole = normalize(tiles.mean(dim=0), dim=-1)
    columns = [
        _weights(sharpness * _in_place_of(category, each @ whole, means @ whole))
        for category, each in enumerate(texts)
    ]
    # Wordings that a category lacks beside the one with most weigh nothing, and are carried none.
    cost = 1 - torch.einsum("md,cnd->cmn", tiles, pad_sequence(texts, batch_first=True))
    plan = sinkhorn(
        cost,
        rows.expand(len(texts), -1),
        pad_sequence(columns, batch_first=True),
        regularisation=regularisation,
        iterations=iterations,
    )
    carried = (plan * cost).sum(dim=-1)
    return Transport(carried.sum(dim=-1), (carried / plan.sum(dim=-1)).amin(dim=0))


def _weights(logits: Tensor) -> Tensor:
    """Shares of the mass [K], of K readings of the categories [K, C]."""
    reading = logits.softmax(dim=-1)
    entropy: Tensor = torch.special.entr(reading).sum(dim=-1)
    return (-entropy).softmax(dim=0)


def _in_place_of(category: int, own: Tensor, means: Tensor) -> Tensor:
    """The means' cosines [C], once for each of a category's own [N], which stands in for its."""
    readings = means.repeat(len(own), 1)
    readings[:, category] = own
    return readings
