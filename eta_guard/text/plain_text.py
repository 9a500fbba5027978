"""Keeps text that a person or a model wrote from being read as control tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any


def special_tokens(tokenizer: Any) -> list[str]:
    """The texts that a ``transformers`` tokenizer reads as control tokens."""
    added = tokenizer.added_tokens_decoder.values()
    return [*(token.content for token in added if token.special), *tokenizer.all_special_tokens]


class PlainText:
    """Breaks up the special tokens that a text spells out, by a space after their first character.

    A tokenizer turns ``<|eot_id|>`` inside a text into the control token: an answer could so end
    its own turn and write the next one into the reward model's chat, or end CLIP's caption. Every
    other text is left as it is, so that ordinary answers are tokenised just as they always were.

    Args:
        special_tokens: The tokenizer's special tokens as text.
    """

    def __init__(self, special_tokens: Iterable[str]) -> None:
        # The longest first, so that of two that begin alike the whole one is broken up.
        words = sorted({word.strip() for word in special_tokens} - {""}, key=len, reverse=True)
        # Some tokenizers match them after lower-casing.
        self._pattern = (
            re.compile("|".join(map(re.escape, words)), re.IGNORECASE) if words else None
        )

    def __call__(self, text: str) -> str:
        """The text, without a special token in it."""
        if self._pattern is None:
            return text
        # Again until none is left: one may have stood inside the other.
        while self._pattern.search(text):
            text = self._pattern.sub(_break_up, text)
        return text


def _break_up(match: re.Match[str]) -> str:
    word = match.group()
    return f"{word[0]} {word[1:]}" if len(word) > 1 else " "
