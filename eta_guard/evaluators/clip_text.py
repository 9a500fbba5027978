"""Texts → token ids for CLIP's text tower, to the letter: none of them ends its own caption."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import regex
from torch import Tensor

from eta_guard.text.literal_text import LiteralText
from eta_guard.text.plain_text import PlainText

Tokenize = Callable[[list[str]], Tensor]


def literal_tokenizer(tokenizer: Tokenize) -> Tokenize:
    """Does as a tokenizer of open_clip, but reads no control token out of a text.

    Args:
        tokenizer: open_clip's own, or a ``transformers`` one in its wrapping. Any other is given
            texts in which words are broken up, as far as it tells what it takes for control.
    """
    if hasattr(tokenizer, "tokenizer"):
        return lambda texts: _of_wrapped(tokenizer, texts)
    decoder: dict[int, str] = getattr(tokenizer, "decoder", {})
    special = [decoder[i] for i in getattr(tokenizer, "all_special_ids", ()) if i in decoder]
    # open_clip's own splits a cleaned text by a pattern that begins with them.
    own, whole = "|".join(special) + "|", getattr(getattr(tokenizer, "pat", None), "pattern", "")
    if special and whole.startswith(own):
        literal: Any = copy.copy(tokenizer)
        literal.pat = regex.compile(whole.removeprefix(own), regex.IGNORECASE)
        return literal  # type: ignore[no-any-return]
    plain = PlainText(special)
    return lambda texts: tokenizer([plain(text) for text in texts])


def _of_wrapped(tokenizer: Any, texts: list[str]) -> Tensor:
    """Cleans first: that makes "&lt;", or a letter of full width, part of a control token."""
    clean: Callable[[str], str] = getattr(tokenizer, "clean_fn", str)
    literal, reading = LiteralText(tokenizer.tokenizer), copy.copy(tokenizer)
    reading.clean_fn = str
    given = [literal(clean(text)) for text in texts]
    reading.tokenizer = literal.tokenizer
    ids: Tensor = reading(given)
    return ids
