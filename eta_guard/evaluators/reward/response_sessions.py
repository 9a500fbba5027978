"""Sessions that score a growing answer, and the one that reads the whole text each time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from eta_guard import counts
from eta_guard.evaluators.reward.chat_tokens import ChatTokens, lowest


class AnswerSession(ABC):
    """A ``ResponseSession``: the accepted text, and how texts become rows of ids."""

    def __init__(self, chat: ChatTokens, prompt: str) -> None:
        self._chat = chat
        self._prompt = prompt
        self._accepted = ""

    def score(self, continuations: Sequence[str]) -> list[float]:
        """Scores ``accepted text + continuation`` for each, in one batch.

        Candidates that read alike are scored once, and so tie exactly. A text that is longer than
        the model's context is scored in windows that overlap, each by itself; the lowest counts.

        Raises:
            EvaluationError: The prompt leaves no room in the model's context.
        """
        texts = [self._accepted + continuation for continuation in continuations]
        rows = {text: self._chat.windows(self._prompt, text) for text in dict.fromkeys(texts)}
        whole = {text: several[0] for text, several in rows.items() if len(several) == 1}
        found: dict[str, float] = {}
        with torch.inference_mode():
            if whole:
                scores = self._score_rows(whole).float().tolist()
                found = dict(zip(whole, scores, strict=True))
            for text in rows.keys() - whole.keys():
                found[text] = lowest([self._score_window(ids) for ids in rows[text]])
        return [found[text] for text in texts]

    def accept(self, text: str) -> None:
        """Appends ``text`` to the accepted text; costs no forward."""
        self._accepted += text

    @abstractmethod
    def _score_rows(self, rows: dict[str, list[int]]) -> Tensor: ...

    @abstractmethod
    def _score_window(self, ids: list[int]) -> float:
        """Scores a row by itself; many in one forward would fill the memory."""
        ...


class WholeTextSession(AnswerSession):
    """Runs the model's own forward over the whole text each time: exact for every architecture."""

    def __init__(self, chat: ChatTokens, prompt: str, model: PreTrainedModel) -> None:
        super().__init__(chat, prompt)
        self._model: Any = model

    def _score_rows(self, rows: dict[str, list[int]]) -> Tensor:
        counts.add("whole_text_scores", len(rows))
        pad_id = self._chat.pad_id
        # Without a padding id the model would read the score of a short row at its padding.
        alone = pad_id is None or pad_id < 0
        batches = [[ids] for ids in rows.values()] if alone else [list(rows.values())]
        return torch.cat([self._forward(batch, pad_id or 0) for batch in batches])

    def _score_window(self, ids: list[int]) -> float:
        return float(self._forward([ids], 0))

    def _forward(self, rows: list[list[int]], pad_id: int) -> Tensor:
        ids, mask = pad_right(rows, pad_id)
        counts.add("reward_forwards")
        counts.add("reward_positions", ids.numel())
        device = self._model.device
        output = self._model(input_ids=ids.to(device), attention_mask=mask.to(device))
        logits: Tensor = output.logits
        return logits[:, 0]


def pad_right(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Ids [rows, longest] and their attention mask."""
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad_id] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask
