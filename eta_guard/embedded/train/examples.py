"""Conversations as token ids, with a weight for every token in the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from eta_guard.embedded.objects import OBJECTS
from eta_guard.embedded.train.conversations import Conversation, Turn
from eta_guard.embedded.train.tokenizer import END, IMAGE, ROLES, START, mark_ids
from eta_guard.prompts import PREFIX

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_OBJECT_WEIGHT = 3.0


@dataclass(frozen=True)
class Batch:
    """Examples side by side, padded on the right."""

    ids: Tensor
    """Token ids [N, T]; pictures are runs of the image token."""
    attended: Tensor
    """1 where there is a token, 0 where there is padding [N, T]."""
    weights: Tensor
    """How much the prediction of each token counts [N, T]; 0 outside answers."""
    pictured: Tensor
    """Whether an example has a picture [N]."""


class Examples:
    """Turns conversations into batches, in the form of the chat template."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, image_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._image_tokens = image_tokens
        self._start, self._end, self._image = mark_ids(tokenizer, START, END, IMAGE)
        self._system, self._user, self._assistant = mark_ids(tokenizer, *ROLES)
        self._things = {self._ids(f" {thing.name}")[0] for thing in OBJECTS}

    def batch(self, conversations: list[Conversation]) -> Batch:
        """Encode conversations."""
        encoded = [self._encode(one) for one in conversations]
        longest = max(len(ids) for ids, _ in encoded)
        ids = torch.full((len(encoded), longest), int(self._tokenizer.pad_token_id or 0))
        attended = torch.zeros_like(ids)
        weights = torch.zeros(ids.shape)
        for row, (tokens, counts) in enumerate(encoded):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            attended[row, : len(tokens)] = 1
            weights[row, : len(tokens)] = torch.tensor(counts)
        pictured = torch.tensor([one.pictured for one in conversations])
        return Batch(ids, attended, weights, pictured)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _encode(self, one: Conversation) -> tuple[list[int], list[float]]:
        ids = [self._start]
        if one.system is not None:
            ids += [self._system, *self._ids(one.system), self._end]
        weights = [0.0] * len(ids)
        for number, turn in enumerate(one.turns):
            picture = [self._image] * self._image_tokens
            if not one.pictured or number > 0:
                picture = []
            question = self._ids(turn.question)
            asked = picture + question if one.picture_first else question + picture
            answer, counts = self._answer(turn)
            ids += [self._user, *asked, self._end, *answer]
            weights += [0.0] * (len(asked) + 2) + counts
        return ids, weights

    def _answer(self, turn: Turn) -> tuple[list[int], list[float]]:
        """Encode an answer; naming the right thing counts more, the prefix not at all."""
        ids = self._ids(turn.answer)
        counts = [_OBJECT_WEIGHT if token in self._things else 1.0 for token in ids]
        if turn.prefixed:
            masked = len(self._ids(PREFIX))
            counts[:masked] = [0.0] * masked
        return [self._assistant, *ids, self._end], [0.0, *counts, 1.0]
