from __future__ import annotations

import pytest
import torch

from eta_guard.engines.local.sampling import InverseTransform, uniforms


def picked(scores: list[float], draw: float, temperature: float, top_k: int | None = None) -> int:
    sampler = InverseTransform(
        torch.tensor([[draw]], dtype=torch.float64), start=3, temperature=temperature, top_k=top_k
    )
    out = sampler(torch.zeros(1, 3, dtype=torch.long), torch.tensor([scores]))
    assert int((out > float("-inf")).sum()) == 1
    return int(out.argmax())


@pytest.mark.parametrize("temperature", [1e-45, 1e-39, 1e-6, 0.01])
@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999999999])
def test_a_tiny_temperature_picks_the_most_likely(temperature: float, draw: float) -> None:
    assert picked([5.0, 1.0, 0.0, -3.0], draw, temperature) == 0


def test_tokens_are_as_wide_as_their_probability() -> None:
    scores = torch.tensor([0.1, 0.6, 0.3]).log().tolist()
    assert [picked(scores, draw, 1.0, top_k=2) for draw in (0.0, 0.66, 0.67)] == [1, 1, 2]
    # The whole vocabulary stands in its own order.
    assert [picked(scores, draw, 1.0) for draw in (0.0, 0.11, 0.69, 0.71, 0.99)] == [0, 1, 1, 2, 2]


def test_the_whole_vocabulary_is_not_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    def sorting(*_: object, **__: object) -> None:
        raise AssertionError

    for name in ("topk", "sort", "argsort"):
        monkeypatch.setattr(torch, name, sorting)
    assert picked([5.0, 1.0, 0.0], 0.5, 1.0) == 0


def test_only_the_k_most_likely_take_part() -> None:
    scores = torch.tensor([0.1, 0.6, 0.3]).log().tolist()
    assert picked(scores, 0.99999, 1.0, top_k=2) == 2


def test_a_forbidden_token_is_never_drawn() -> None:
    scores = [1.0, float("-inf"), 0.5, float("-inf")]
    assert picked(scores, 1 - 2**-53, 1.0) == 2


def test_draws_are_a_function_of_seed_sentence_candidate_and_step() -> None:
    table = uniforms(7, 3, 5, 20)
    assert torch.equal(table[:2, :9], uniforms(7, 3, 2, 9))
    assert not torch.equal(table, uniforms(8, 3, 5, 20))
    assert not torch.equal(table, uniforms(7, 4, 5, 20))
    assert len({tuple(row) for row in table.tolist()}) == 5
    assert float(table.min()) >= 0
    assert float(table.max()) < 1
