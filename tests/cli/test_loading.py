from __future__ import annotations

import pytest
import torch

from eta_guard.cli.loading import load_models
from eta_guard.cli.options import ModelChoice
from tests.cli.conftest import Models


@pytest.mark.parametrize(
    ("choice", "threads"),
    [
        (ModelChoice(), [1]),
        (ModelChoice(clip="another"), []),
        (ModelChoice("paper"), []),
        (ModelChoice(response_evaluators=["guard:org/guard"]), []),
    ],
)
def test_only_the_small_models_are_given_one_thread(
    choice: ModelChoice, threads: list[int], models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    load_models(choice)
    assert asked == threads
    assert len(models.loaded) == 1
