"""What a model can do, tried out on a few words: no list of names would stay true."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from eta_guard.engines.local.tree import Branch, Tree

WORDS = "One and two, then three or four, but never five nor six."

FURTHER = 64
"""Positions: far enough to be heard by a model that hears them at all."""

ReadPrompt = Callable[[dict[str, Tensor]], Tree]


@torch.no_grad()
def reads_ahead(model: Any, ids: Sequence[int]) -> bool:
    """Whether an earlier token sees a later one of the prompt, as in a prefix language model."""
    other = [*ids[:-1], ids[0]]
    given: dict[str, Tensor] = {"input_ids": torch.tensor([list(ids), other], device=model.device)}
    given["attention_mask"] = torch.ones_like(given["input_ids"])
    if "token_type_ids" in inspect.signature(model.forward).parameters:
        # So a processor marks the prompt's text, where a model tells prompt and answer apart.
        given["token_type_ids"] = torch.zeros_like(given["input_ids"])
    before = model(**given, use_cache=False).logits[:, :-1].float()
    return not _close(before[0], before[1], _tolerance(model.dtype))


@torch.no_grad()
def why_no_shared_row(model: Any, ids: Sequence[int], read_prompt: ReadPrompt) -> str | None:
    """Why branches of one row are not read as each would be by itself; None if they are.

    Args:
        model: Of the engine.
        ids: A text of eight tokens or more.
        read_prompt: Reads a prompt into a tree.
    """
    prompt, one, two = list(ids[:-4]), list(ids[-4:-2]), list(ids[-2:])
    try:
        packed = _packed(read_prompt, prompt, one, two)
        moved = _packed(read_prompt, prompt, one, two, further=FURTHER)
    # A model that cannot be run this way says so in any way: a TypeError for an argument, an
    # IndexError or a RuntimeError for the shape of a mask. A warning that has been made an error is
    # no such answer.
    except Warning:
        raise
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    alone = torch.stack([_last_logits(model, prompt + text) for text in (one, two)])
    # What the second would be if it saw the first, and what both are at other positions: noise must
    # be far smaller than such faults, which half precision could hide.
    leaked = _last_logits(model, prompt + one + two)
    faults = ((leaked - alone[1]).abs().max(), (moved - packed).abs().max())
    noise = (packed - alone).abs().max()
    if noise >= min(faults) / 4 or not _close(packed, alone, _tolerance(model.dtype)):
        return (
            f"logits differ by {noise:.2g} from those of a text by itself, where a branch that saw"
            f" another, or stood elsewhere, would differ by {min(faults):.2g}"
        )
    return None


def _packed(
    read_prompt: ReadPrompt, prompt: list[int], *texts: list[int], further: int = 0
) -> Tensor:
    """Logits [texts, vocabulary] after texts of equal length that share a row."""
    row = torch.tensor([prompt])
    tree = read_prompt({"input_ids": row, "attention_mask": torch.ones_like(row)})
    tree.leave_out(further)
    branches: list[Branch] = [tree.prompt.fork() for _ in texts]
    for step in zip(*texts, strict=True):
        tree.extend(branches, step)
    return torch.stack([branch.logits for branch in branches if branch.logits is not None])


def _last_logits(model: Any, ids: list[int]) -> Tensor:
    out = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False)
    logits: Tensor = out.logits[0, -1].float()
    return logits


def _close(one: Tensor, two: Tensor, tolerance: float) -> bool:
    # Of the median: a few tokens that are never said may lie far below all others.
    return bool((one - two).abs().max() <= tolerance * two.abs().median())


def _tolerance(dtype: torch.dtype) -> float:
    # In half precision two orders of summation already differ by some percent.
    return 1e-3 if dtype in (torch.float32, torch.float64) else 5e-1
