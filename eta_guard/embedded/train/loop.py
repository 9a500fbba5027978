"""The one training loop: a time or step limit, a decaying rate, checkpoints, a progress bar."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor, nn

_WARM_UP_STEPS = 60
_REPORT_SECONDS = 30.0


@dataclass(frozen=True)
class Limits:
    """When a stage ends: after its share of the time, or after `steps` where given."""

    seconds: float
    """Wall-clock time of the stage, counted over interruptions."""
    steps: int | None = None
    """Number of optimiser steps; it replaces the time limit."""


@dataclass(frozen=True)
class Stage:
    """One model's training."""

    name: str
    """Names the progress bar and the checkpoint."""
    model: nn.Module
    """What is trained and saved."""
    loss: Callable[[int], Tensor]
    """Draws the batch of a step and returns its loss; randomness follows from the step."""
    report: Callable[[], str]
    """Describes the state on the validation split, in a few words."""
    rate: float
    """Highest learning rate; it warms up, then decays by the elapsed share of the limit."""


def run_stage(stage: Stage, limits: Limits, folder: Path, *, resume: bool) -> None:
    """Train a stage to its end, or go on where an interrupted run left off.

    A checkpoint is written every half minute. Resumed, a finished stage only loads its weights.

    Args:
        stage: What to train.
        limits: When to end.
        folder: Where the checkpoint lies.
        resume: Whether to start from an existing checkpoint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / f"{stage.name}.pt"
    weights = [weight for weight in stage.model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=stage.rate, betas=(0.9, 0.98), weight_decay=0.02)
    step, spent = 0, 0.0
    if resume and checkpoint.is_file():
        saved = torch.load(checkpoint, weights_only=True)
        stage.model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        step, spent = saved["step"], saved["spent"]

    def save() -> None:
        state = {
            "model": stage.model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "step": step,
            "spent": spent,
        }
        # Replaced in one go: a run that is cut off here leaves the older checkpoint whole.
        torch.save(state, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)

    stage.model.train()
    reported = time.monotonic()
    with _bar(stage.name) as show:
        while (share := _share(step, spent, limits)) < 1:
            started = time.monotonic()
            for group in optimizer.param_groups:
                warm = min(1.0, (step + 1) / _WARM_UP_STEPS)
                group["lr"] = stage.rate * warm * (0.5 + 0.5 * math.cos(math.pi * share))
            optimizer.zero_grad(set_to_none=True)
            loss = stage.loss(step)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            step += 1
            spent += time.monotonic() - started
            news = None
            if time.monotonic() - reported > _REPORT_SECONDS:
                news = f"{stage.name}: step {step}, loss {loss.item():.4f}, {stage.report()}"
                stage.model.train()
                save()
                reported = time.monotonic()
            show(share, news)
        show(1.0, f"{stage.name}: step {step}, {spent / 60:.1f} min, {stage.report()}")
    save()
    stage.model.eval()


def load_checkpoint(model: nn.Module, file: Path) -> None:
    """Load a stage's weights from its checkpoint, in place.

    Raises:
        FileNotFoundError: The stage has not been trained in this folder.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no checkpoint {file}; train {file.stem!r} first")
    model.load_state_dict(torch.load(file, weights_only=True)["model"])
    model.eval()


def _share(step: int, spent: float, limits: Limits) -> float:
    return spent / limits.seconds if limits.steps is None else step / limits.steps


@contextlib.contextmanager
def _bar(name: str) -> Iterator[Callable[[float, str | None], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        task = progress.add_task(name, total=1.0)

        def show(share: float, news: str | None) -> None:
            progress.update(task, completed=share)
            if news:
                progress.console.print(news, highlight=False)

        yield show


def half_precision() -> torch.autocast:
    """Return the context in which forward passes run: bfloat16 where the processor has it."""
    fast = torch.cpu._is_avx512_bf16_supported()
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=fast)
