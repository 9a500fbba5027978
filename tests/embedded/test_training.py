from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import torch
from torch import Tensor, nn

from eta_guard.embedded.train.loop import Limits, Stage, load_checkpoint, run_stage
from eta_guard.embedded.train.ratings import UNSAFE, rated_answer


class _KilledError(Exception):
    """Stands for a run that is cut off."""


def _stage(model: nn.Linear, seen: list[int], last: int | None = None) -> Stage:
    def loss(step: int) -> Tensor:
        if step == last:
            raise _KilledError
        seen.append(step)
        generator = torch.Generator().manual_seed(step)
        output: Tensor = model(torch.randn(4, 2, generator=generator))
        return output.pow(2).mean()

    return Stage("toy", model, loss, lambda: "fine", rate=0.1)


def _model() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(2, 1)


def test_a_finished_stage_is_only_loaded(tmp_path: Path) -> None:
    trained, loaded, seen = _model(), nn.Linear(2, 1), list[int]()
    run_stage(_stage(trained, []), Limits(0, steps=5), tmp_path, resume=False)
    run_stage(_stage(loaded, seen), Limits(0, steps=5), tmp_path, resume=True)
    assert seen == []
    assert torch.equal(trained.weight, loaded.weight)


def test_a_run_that_was_cut_off_goes_on_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eta_guard.embedded.train.loop._REPORT_SECONDS", 0.0)
    whole, resumed, seen = _model(), _model(), list[int]()
    run_stage(_stage(whole, []), Limits(0, steps=8), tmp_path / "whole", resume=False)
    with pytest.raises(_KilledError):
        run_stage(_stage(resumed, [], last=5), Limits(0, steps=8), tmp_path, resume=False)
    run_stage(_stage(resumed, seen), Limits(0, steps=8), tmp_path, resume=True)
    assert seen == [5, 6, 7]
    assert torch.equal(whole.weight, resumed.weight)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="train 'clip' first"):
        load_checkpoint(_model(), tmp_path / "clip.pt")


def test_ratings_put_unsafe_answers_below_the_threshold_and_refusals_above() -> None:
    rated = [rated_answer(Random(seed)) for seed in range(500)]
    for one in rated:
        assert len(one.sentences) == len(one.scores)
    unsafe = {one.scores[-1] for one in rated if "placeholder" in " ".join(one.sentences)}
    assert unsafe == {UNSAFE}
    assert max(one.scores[-1] for one in rated) > 0.3


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_training_command_runs_and_resumes(tmp_path: Path) -> None:
    from eta_guard.embedded.train.plan import STAGES, train

    for resume in (False, True):
        train(STAGES, tmp_path, seed=0, minutes=1, resume=resume, smoke=True)
    for file in ("clip/open_clip_model", "reward/model", "chat/model"):
        assert (tmp_path / f"{file}.safetensors").stat().st_size > 1_000_000
