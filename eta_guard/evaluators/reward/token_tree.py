"""Rows of token ids that begin alike, laid out as one row in which nothing stands twice.

It knows neither model nor cache: a place is a number, and who sees which place is a matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenTree:
    """What is new in some rows, after ids that are kept already."""

    kept: int
    """How many ids are kept; they have the first places, the new ones those after them."""
    ids: list[int] = field(repr=False)
    """The new ids, each beginning that rows share but once."""
    positions: list[int] = field(repr=False)
    """Where in its row each new id stands."""
    paths: list[list[int]] = field(repr=False)
    """For each row the places of its ids."""

    @classmethod
    def of(cls, rows: Sequence[list[int]], kept: Sequence[int] = ()) -> TokenTree:
        """Lays out rows of at least one id.

        A row's last id is new even where it is kept, since its hidden state is wanted.
        """
        tree = cls(len(kept), [], [], [])
        places = {(place - 1, token): place for place, token in enumerate(kept)}
        for row in rows:
            path: list[int] = []
            for token in row:
                step = (path[-1] if path else -1, token)
                if step not in places:
                    places[step] = tree._add(token, len(path))
                path.append(places[step])
            if path[-1] < tree.kept:
                path[-1] = tree._add(row[-1], len(row) - 1)
            tree.paths.append(path)
        return tree

    def _add(self, token: int, position: int) -> int:
        self.ids.append(token)
        self.positions.append(position)
        return self.kept + len(self.ids) - 1

    def mask(self, dtype: torch.dtype) -> Tensor:
        """What is added to the attention scores, [1, 1, new ids, all places].

        An id sees its own row up to itself. Added, not boolean: that is what every attention
        implementation of transformers that takes a mask of four dimensions understands.
        """
        size = len(self.ids)
        mask = torch.full((size, self.kept + size), torch.finfo(dtype).min, dtype=dtype)
        for row in self.paths:
            path = torch.tensor(row)
            new = path[path >= self.kept]
            hidden = torch.full((len(new), len(row)), torch.finfo(dtype).min, dtype=dtype)
            mask[new[:, None] - self.kept, path] = hidden.triu(len(row) - len(new) + 1)
        return mask[None, None]
