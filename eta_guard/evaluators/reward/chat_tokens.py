"""Token ids of the chat that a reward model scores: [user = prompt, assistant = answer]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from eta_guard import counts
from eta_guard.errors import EvaluationError, UnsupportedModelError
from eta_guard.text.literal_text import LiteralText
from eta_guard.text.windows import windows

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from eta_guard.evaluators.reward.model_files import FileTokenizer, ModelConfig


class ChatTokens:
    r"""Tokenises chats by the tokenizer's chat template, always the whole text at once.

    Tokens do not respect the end of a sentence (``.`` and ``.\n\n`` are different ones), so that
    nothing but the whole text gives the ids the model was trained on. Safe to share between
    threads.

    Args:
        tokenizer: With a chat template.
        config: The reward model's.

    Raises:
        UnsupportedModelError: The tokenizer has no chat template.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase | FileTokenizer,
        config: PretrainedConfig | ModelConfig,
    ) -> None:
        if not tokenizer.chat_template:
            raise UnsupportedModelError(
                "The reward model's tokenizer has no chat template.",
                hint="Set tokenizer.chat_template to the one the model was trained with.",
            )
        self._lock = Lock()
        self._literal = LiteralText(tokenizer)
        text_config: Any = config.get_text_config()
        self.pad_id: int | None = getattr(text_config, "pad_token_id", None)
        positions = getattr(text_config, "max_position_embeddings", None)
        self._longest = min(positions or tokenizer.model_max_length, tokenizer.model_max_length)

    def ids(self, prompt: str, answer: str) -> list[int]:
        """The ids up to the token at which the score is read.

        Special tokens spelled out in prompt or answer stay text. The score is read at the last
        token that is not the model's padding (transformers' ``…ForSequenceClassification``);
        where a model pads with its end token, that is the one before it.

        Raises:
            EvaluationError: The chat is longer than the model's context; cut, it would be
                another answer's score.
        """
        ids = self._ids(prompt, answer)
        if len(ids) > self._longest:
            raise EvaluationError(
                f"The chat to score is {len(ids)} tokens long; the reward model holds"
                f" {self._longest}.",
                hint="Take a reward model with a longer context.",
            )
        return ids

    def windows(self, prompt: str, answer: str) -> list[list[int]]:
        """The ids of the chat; of one that the model does not hold, with a part of the answer each.

        Returns:
            One row as ``ids`` has it, or one for each of the parts, which overlap by half.

        Raises:
            EvaluationError: The prompt alone leaves no room.
        """
        whole = self._ids(prompt, answer)
        if len(whole) <= self._longest:
            return [whole]
        parts = windows(answer, lambda part: len(self._ids(prompt, part)) <= self._longest)
        counts.add("reward_windows", len(parts))
        return [self._ids(prompt, part) for part in parts]

    def _ids(self, prompt: str, answer: str) -> list[int]:
        prompt, answer = self._literal(prompt), self._literal(answer)
        chat = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        reader = self._literal.reader(prompt + answer)
        with self._lock:
            encoded = reader.apply_chat_template(chat, tokenize=True, return_dict=True)
        ids: list[int] = list(encoded["input_ids"])
        while len(ids) > 1 and ids[-1] == self.pad_id:
            ids.pop()
        return ids

    def prompt_ids(self, prompt: str) -> tuple[list[int], int]:
        """The ids that every answer to ``prompt`` begins with, and how many follow an answer."""
        empty = self.ids(prompt, "")
        shared = common_prefix(empty, self.ids(prompt, "A"))
        return empty[:shared], len(empty) - shared


def common_prefix(left: list[int], right: list[int]) -> int:
    """How many ids two sequences begin with alike."""
    shortest = min(len(left), len(right))
    return next((i for i in range(shortest) if left[i] != right[i]), shortest)


def lowest(scores: Sequence[float]) -> float:
    """The worst reward; NaN where one of them is no number."""
    return min(scores) if all(map(math.isfinite, scores)) else math.nan
