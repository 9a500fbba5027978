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
    """Breaks up words that a text spells out, by a space after their first character.

    For words that delimit the parts of a prompt and are text themselves, and for tokenizers that
    ``LiteralText`` can do nothing with. Every other text is left as it is.

    Args:
        words: Delimiters, or a tokenizer's special tokens as text.
    """

    def __init__(self, words: Iterable[str]) -> None:
        # The longest first, so that of two that begin alike the whole one is broken up.
        self._pattern = either(words)

    def __call__(self, text: str) -> str:
        """The text, with none of the words in it."""
        if self._pattern is None:
            return text
        # Again until none is left: one may have stood inside the other.
        while self._pattern.search(text):
            text = self._pattern.sub(_break_up, text)
        return text


def either(words: Iterable[str]) -> re.Pattern[str] | None:
    """A pattern of some words without the space around them; None where there are none."""
    known = sorted({word.strip() for word in words} - {""}, key=len, reverse=True)
    # Some tokenizers match them after lower-casing.
    return re.compile("|".join(map(re.escape, known)), re.IGNORECASE) if known else None


def _break_up(match: re.Match[str]) -> str:
    word = match.group()
    return f"{word[0]} {word[1:]}" if len(word) > 1 else " "
