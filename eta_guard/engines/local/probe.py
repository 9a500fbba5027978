"""What a model can do, tried out on a few words: no list of names would stay true."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from eta_guard.engines.local.tree import Branch, Tree
from eta_guard.noise import is_noise, size

TEXTS = (
    "One and two, then three or four, but never five nor six.",
    "The picture shows a red house beside the river, and a dog.",
    "Mix flour with water; wait ten minutes, then bake it well.",
    "Where is the nearest station, and when does the train leave?",
)
"""Several, since on a single one a model's own noise may happen to be large."""

BEGINNING, BRANCH = 4, 8
"""Tokens: of the beginning that two branches share, and most of a branch. What a branch must not
see is then as long as what it may see, and would show."""

FURTHER = 64
"""Positions: far enough to be heard by a model that hears them at all."""

ReadPrompt = Callable[[dict[str, Tensor]], Tree]


@torch.no_grad()
def reads_ahead(model: Any, ids: Sequence[int]) -> bool:
    """Whether an earlier token sees a later one of the prompt, as in a prefix language model."""
    rows = [list(ids), [*ids[:-1], ids[0]], [ids[-1], *ids[1:]]]
    given: dict[str, Tensor] = {"input_ids": torch.tensor(rows, device=model.device)}
    given["attention_mask"] = torch.ones_like(given["input_ids"])
    if "token_type_ids" in inspect.signature(model.forward).parameters:
        # So a processor marks the prompt's text, where a model tells prompt and answer apart.
        given["token_type_ids"] = torch.zeros_like(given["input_ids"])
    text, other_end, other_beginning = model(**given, use_cache=False).logits.float()
    before, after = (text - other_end)[:-1], (text - other_beginning)[1:]
    return not is_noise(before, after, model.dtype)


@torch.no_grad()
def why_no_shared_row(
    model: Any, texts: Sequence[list[int]], read_prompt: ReadPrompt
) -> str | None:
    """Why branches of one row are not read as each would be by itself; None if they are.

    Args:
        model: Of the engine.
        texts: Ids of ``TEXTS``, six or more each.
        read_prompt: Reads a prompt into a tree.
    """
    noise, leaked, moved = [], [], []
    try:
        for ids in texts:
            length = min(BRANCH, (len(ids) - BEGINNING) // 2)
            prompt, rest = ids[:BEGINNING], ids[BEGINNING:]
            one, two = rest[:length], rest[length : 2 * length]
            packed = _packed(read_prompt, prompt, one, two)
            alone = torch.stack([_last_logits(model, prompt + text) for text in (one, two)])
            noise.append(packed - alone)
            # What noise is held against: the second branch if it saw the first, and both at other
            # positions.
            leaked.append(_last_logits(model, prompt + one + two) - alone[1])
            moved.append(_packed(read_prompt, prompt, one, two, further=FURTHER) - packed)
    # A model that cannot be run this way says so in any way: a TypeError for an argument, an
    # IndexError or a RuntimeError for the shape of a mask. A warning that has been made an error is
    # no such answer.
    except Warning:
        raise
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    difference, leak = torch.stack(noise), torch.stack(leaked)
    # Heard at all is enough: being elsewhere by a few places changes less than another's words do.
    if size(torch.stack(moved)) <= size(difference):
        return "it takes no heed of the positions that it is given"
    if not is_noise(difference, leak, model.dtype):
        return (
            f"logits differ by {size(difference):.2g} from those of a text by itself, where a"
            f" branch that saw another would differ by {size(leak):.2g}"
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
