"""Has a tokenizer read a text to the letter, also where it spells out control tokens.

A tokenizer turns ``<|eot_id|>`` inside a text into the control token: an answer could so end its
own turn and write the next one into the reward model's chat, or end CLIP's caption. The tokenizers
of ``transformers`` can split such words (``split_special_tokens``), but in a whole prompt alone,
where a chat template's own have to stay. So each is marked here, within its letters, before the
template is filled in, by two characters that Unicode keeps from ever meaning anything; and the
prompt is read by a copy of the tokenizer that drops them once control tokens have been looked for.
What it reads is the text.
"""

from __future__ import annotations

import copy
import json
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import compress
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from tokenizers import Tokenizer

from eta_guard.text.plain_text import PlainText, either, special_tokens

logger = logging.getLogger(__name__)

MARK = "\ufdd0\ufdd1"
"""Stands inside a word that is no control token; "noncharacters", which no text interchanges."""


class LiteralText:
    """Texts of one request to a tokenizer.

    Where the tokenizer cannot be copied (one in Python, or one whose model takes such a word for
    the token all by itself), words are broken up by a space, as ``PlainText`` does it.

    Args:
        tokenizer: Of ``transformers``, or a ``FileTokenizer``.
        more: Texts beside its special tokens that stand for something else than themselves.
    """

    def __init__(self, tokenizer: Any, more: Iterable[str] = ()) -> None:
        self._given = tokenizer
        self._words = _Words.of(tokenizer, more)
        self._marked = False

    def __call__(self, text: str) -> str:
        """The text, as ``tokenizer`` is to be given it."""
        found = self._words.marked(text, self._given)
        self._marked = self._marked or MARK in found
        return found

    @property
    def tokenizer(self) -> Any:
        """Reads what this has been called with: the one that was given, where nothing is marked."""
        return self._words.copied(self._given) if self._marked else self._given

    def reader(self, text: str) -> Any:
        """The tokenizer for a prompt made of what this, or another of its tokenizer, has given."""
        copied = self._words.copied(self._given) if MARK in text else None
        return copied or self._given


def with_tokenizer(processor: Any, tokenizer: Any) -> Any:
    """A processor of ``transformers`` that has another tokenizer, itself left as it is."""
    if tokenizer is processor.tokenizer:
        return processor
    changed = copy.copy(processor)
    changed.tokenizer = tokenizer
    return changed


@dataclass
class _Words:
    """What a tokenizer takes for something else than text, and its copy that drops marks."""

    words: tuple[str, ...]
    starts: re.Pattern[str]
    """Finds the first character of each, those inside another one too."""
    short: PlainText
    """A single character cannot be marked within."""
    breaking: PlainText
    _copied: list[Any] = field(default_factory=list, repr=False)

    @classmethod
    def of(cls, tokenizer: Any, more: Iterable[str]) -> _Words:
        """Kept as long as the tokenizer is; one that was given more tokens is looked at anew."""
        words = tuple(dict.fromkeys([*special_tokens(tokenizer), *more]))
        with _LOCK:
            known = _KNOWN.get(tokenizer)
            if known is None or known.words != words:
                known = _KNOWN[tokenizer] = cls._made(words)
            return known

    @classmethod
    def _made(cls, words: tuple[str, ...]) -> _Words:
        # Whoever writes the mark itself is read to the letter as well.
        long = either([*(word for word in words if len(word.strip()) > 1), MARK])
        starts = re.compile(rf"(?={long and long.pattern})(.)", re.IGNORECASE | re.DOTALL)
        short = PlainText(word for word in words if len(word.strip()) == 1)
        return cls(words, starts, short, PlainText(words))

    def marked(self, text: str, tokenizer: Any) -> str:
        """The text with a mark in each word; of a tokenizer that has no copy, broken up."""
        text = self.short(text)
        if not self.starts.search(text):
            return text
        if self.copied(tokenizer) is None:
            return self.breaking(text)
        return self.starts.sub(rf"\1{MARK}", text)

    def copied(self, tokenizer: Any) -> Any:
        """The tokenizer's copy, made when first needed; None where it would not do."""
        with _LOCK:
            if not self._copied:
                self._copied.append(_copy(tokenizer, self))
            return self._copied[0]


_KNOWN: WeakKeyDictionary[Any, _Words] = WeakKeyDictionary()
_LOCK = Lock()


def _copy(tokenizer: Any, known: _Words) -> Any:
    """The tokenizer, with marks dropped where texts are normalised: tried out on all the words."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        return None
    state = json.loads(backend.to_str())
    own = state["normalizer"]
    dropping = {"type": "Replace", "pattern": {"String": MARK}, "content": ""}
    state["normalizer"] = {"type": "Sequence", "normalizers": [dropping, *([own] if own else [])]}
    state["truncation"] = state["padding"] = None  # of the call before
    words = set(known.words)
    for token in state["added_tokens"]:
        if token["content"] in words:  # looked for before marks are dropped
            token["normalized"] = False
    reading, model = Tokenizer.from_str(json.dumps(state)), state["model"]
    unknown = model.get("unk_id", backend.token_to_id(model.get("unk_token") or ""))
    if not _reads_as_text(reading, backend, known, unknown):
        logger.warning(
            "%s takes control tokens in a text for such whatever is done: they are broken up by a"
            " space.",
            type(tokenizer).__name__,
        )
        return None
    copied = copy.copy(tokenizer)
    copied._tokenizer = reading
    return copied


def _reads_as_text(
    reading: Tokenizer, backend: Tokenizer, known: _Words, unknown: int | None
) -> bool:
    """Whether marked words are text to a copy, and all others what they were."""
    words = [word for word in known.words if len(word.strip()) > 1]
    # What a vocabulary does not hold is read as one of them.
    control = {backend.token_to_id(word) for word in words} - {unknown}
    marked = [known.starts.sub(rf"\1{MARK}", word) for word in words]
    framed = [f"{word}a b\n{word}" for word in words]

    def ids(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
        found = tokenizer.encode_batch(texts, add_special_tokens=False)
        return [list(compress(one.ids, one.attention_mask)) for one in found]  # without padding

    alike = ids(reading, framed) == ids(backend, framed)
    return alike and not any(control.intersection(row) for row in ids(reading, marked))
