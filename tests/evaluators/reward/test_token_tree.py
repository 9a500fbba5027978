from __future__ import annotations

import torch

from eta_guard.evaluators.reward.token_tree import TokenTree


def seen(tree: TokenTree) -> list[list[int]]:
    """For each new id, the places that it sees."""
    mask = tree.mask(torch.float32)[0, 0]
    assert mask.shape == (len(tree.ids), tree.kept + len(tree.ids))
    assert set(mask.flatten().tolist()) <= {0.0, torch.finfo(torch.float32).min}
    return [row.nonzero()[:, 0].tolist() for row in mask == 0]


def test_what_rows_share_is_laid_out_once() -> None:
    tree = TokenTree.of([[1, 2, 3], [1, 2, 4, 5], [1, 6]])
    assert tree.ids == [1, 2, 3, 4, 5, 6]
    assert tree.positions == [0, 1, 2, 2, 3, 1]
    assert tree.paths == [[0, 1, 2], [0, 1, 3, 4], [0, 5]]
    assert seen(tree) == [[0], [0, 1], [0, 1, 2], [0, 1, 3], [0, 1, 3, 4], [0, 5]]


def test_each_row_shares_with_what_is_kept_as_far_as_it_can() -> None:
    tree = TokenTree.of([[7, 8, 9, 1], [7, 8, 2]], kept=[7, 8, 9])
    assert tree.ids == [1, 2]
    assert tree.positions == [3, 2]
    assert tree.paths == [[0, 1, 2, 3], [0, 1, 4]]
    assert seen(tree) == [[0, 1, 2, 3], [0, 1, 4]]


def test_a_last_id_that_is_kept_is_new_all_the_same() -> None:
    tree = TokenTree.of([[7, 8], [7, 8, 9], [7, 8, 9]], kept=[7, 8])
    assert tree.ids == [8, 9]
    assert tree.paths == [[0, 2], [0, 1, 3], [0, 1, 3]]
    assert seen(tree) == [[0, 2], [0, 1, 3]]


def test_half_precision_hides_by_its_own_least_number() -> None:
    mask = TokenTree.of([[1, 2], [1, 3]]).mask(torch.bfloat16)
    assert mask.dtype == torch.bfloat16
    assert mask.min() == torch.finfo(torch.bfloat16).min
