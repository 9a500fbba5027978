"""Tries out whether a model's scores can be had from new tokens only.

Nothing is looked up by name. Where numbers are compared, what must make no difference is held
against what must make one, so that a model in half precision, whose noise would hide a small
fault, is judged as sharply as one in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PretrainedConfig, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from eta_guard import counts
from eta_guard.evaluators.reward.cached_backbone import CachedBackbone
from eta_guard.evaluators.reward.chat_tokens import ChatTokens
from eta_guard.evaluators.reward.incremental_session import (
    IncrementalSession,
    PromptStarts,
    ReadOut,
)
from eta_guard.noise import is_noise

_PROMPT = "Is it safe?"
_ROUNDS = (["One two three. Four five.", "Six."], [" Six.", ".\n\nSeven", " One two."])


def incremental_starts(model: PreTrainedModel, chat: ChatTokens) -> PromptStarts | str:
    """What incremental sessions need, or why the model does not give the same scores that way."""
    head = _score_head(model)
    if head is None:
        return "it has no linear head named score or classifier"
    if not _keeps_all_positions(model.config):
        return "not every layer's cache keeps all positions"
    starts = PromptStarts(CachedBackbone(model.base_model), chat, lambda *_: _read_by(head))
    try:
        with counts.counting(), torch.inference_mode():  # what is tried out is nobody's cost
            if not _looks_back_only(model.base_model, chat):
                return "an earlier token sees a later one"
            if not reads_trees(model.base_model, chat):
                return "it does not heed a mask, or positions, that keep texts in one row apart"
            if differs := _differs(model, chat, head):
                return differs
    # A model that cannot be run this way says so in any way: TypeError for an argument that it
    # does not take, AttributeError for a cache that it does not fill, IndexError, ValueError. A
    # warning that has been made an error is no such answer.
    except Warning:
        raise
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return starts


def reads_trees(backbone: nn.Module, chat: ChatTokens) -> bool:
    """Whether a row's states are its own, wherever it lies among others.

    Not so where the mask or the positions that tell rows apart are not heeded (FlashAttention
    takes no mask; ALiBi goes by the place).
    """
    first, second, *row = _probe_ids(chat)
    runs = CachedBackbone(backbone)

    def last(other: int, begin: int) -> Tensor:
        """The last state of a row that follows one of ``other``s."""
        rows = [[*row[:2], other, other, other], [*row[:2], begin, *row[3:]]]
        return runs.run(rows).last_states[1]

    with counts.counting(), torch.inference_mode():
        state = last(first, row[2])
        leak, other = state - last(second, row[2]), state - last(first, second)
        places = torch.arange(len(row), device=state.device)[None]
        near, far = (_states(backbone, [row], position_ids=places * step) for step in (1, 2))
    return is_noise(leak, other, state.dtype) and not torch.equal(near, far)


def _looks_back_only(backbone: nn.Module, chat: ChatTokens) -> bool:
    """Whether another last token leaves the states before it as they are (causal attention)."""
    other, _, *row = _probe_ids(chat)
    states = _states(backbone, [row, [*row[:-1], other], [other, *row[1:]]])
    before, after = (states[0] - states[1])[:-1], (states[0] - states[2])[1:]
    return is_noise(before, after, states.dtype)


def _differs(model: Any, chat: ChatTokens, head: nn.Linear) -> str | None:
    """How scores from new tokens alone would differ from the model's own; None if they do not.

    States are compared, which are wide: a score is one number, and in half precision its noise may
    be a third of what sets two answers apart, whichever way it is computed.
    """
    read: list[Tensor] = []

    def keep_and_read(states: Tensor) -> Tensor:
        read.append(states)
        return _read_by(head)(states)

    starts = PromptStarts(CachedBackbone(model.base_model), chat, lambda *_: keep_and_read)
    session, accepted = IncrementalSession(starts, _PROMPT), ""
    whole, scores = [], []
    for candidates in _ROUNDS:
        session.score(candidates)
        for candidate in candidates:
            ids = chat.ids(_PROMPT, accepted + candidate)
            whole.append(_states(model.base_model, [ids])[0, -1])
            scores.append(model(input_ids=torch.tensor([ids], device=model.device)).logits[0, 0])
        session.accept(candidates[0])
        accepted += candidates[0]
    states = torch.stack(whole)
    if not is_noise(torch.cat(read) - states, states - states.mean(dim=0), model.dtype):
        return "states after its new tokens differ from those after whole texts"
    expected = torch.stack(scores)
    # Products of the same numbers, in two shapes: each result is rounded once.
    rounding = max(1e-4, 4 * torch.finfo(expected.dtype).eps) * expected.abs().max()
    if (expected - _read_by(head)(states)).abs().max() > rounding:
        return "its score is not what its linear head reads at the last token"
    return None


def _probe_ids(chat: ChatTokens) -> list[int]:
    """A few ids, all different."""
    return list(dict.fromkeys(chat.ids(_PROMPT, _ROUNDS[0][0])))[-8:]


def _states(backbone: Any, rows: list[list[int]], **options: Tensor) -> Tensor:
    ids = torch.tensor(rows, device=next(backbone.parameters()).device)
    states: Tensor = backbone(input_ids=ids, **options).last_hidden_state
    return states


def _score_head(model: PreTrainedModel) -> nn.Linear | None:
    heads = (getattr(model, name, None) for name in ("score", "classifier"))
    return next((head for head in heads if isinstance(head, nn.Linear)), None)


def _read_by(head: nn.Linear) -> ReadOut:
    def read(states: Tensor) -> Tensor:
        scores: Tensor = head(states)[:, 0]
        return scores

    return read


def _keeps_all_positions(config: PretrainedConfig) -> bool:
    """Whether every layer's cache can be cut anywhere: no sliding window, no recurrent state."""
    if config.is_encoder_decoder:
        return False
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)
