"""Decoding a tail gives what decoding all gives, with each kind of decoder."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from eta_guard.engines.local.growing_text import CONTEXT, GrowingText
from eta_guard.engines.local.stopping import RowEnds
from tests.engines.local.tiny import tokenizer as byte_level

Decode = Callable[[Sequence[int]], str]
fast: Any = PreTrainedTokenizerFast


def metaspace() -> Any:
    """As Llama's and Mistral's: a first word loses its space, and rare characters come in bytes."""
    words = ["<s>", "</s>", "▁", "▁a", "▁cat", "s", "▁你", "好", "!", "▁▁"]
    words += [f"<0x{byte:02X}>" for byte in range(256)]
    raw = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, [], byte_fallback=True))
    raw.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return fast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>")


def word_pieces() -> Any:
    words = ["[UNK]", "[SEP]", "a", "cat", "##s", "##ing", ".", ",", "'", "s"]
    raw = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    raw.decoder = decoders.WordPiece(cleanup=False)
    return fast(tokenizer_object=raw, eos_token="[SEP]", unk_token="[UNK]")


KINDS = {"byte level": byte_level, "metaspace": metaspace, "word pieces": word_pieces}


def decoding(name: str) -> tuple[Decode, int]:
    found = KINDS[name]()

    def decode(ids: Sequence[int]) -> str:
        text: str = found.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    return decode, len(found)


@pytest.mark.parametrize("name", list(KINDS))
def test_a_tail_decodes_to_what_all_decodes_to(name: str) -> None:
    decode, vocabulary = decoding(name)
    draw = random.Random(3)
    for turn in range(12):
        # Special tokens, whole characters in bytes and broken ones; with and without a text before.
        pool = (
            range(vocabulary)
            if turn % 3
            else [*range(4), *range(max(vocabulary - 30, 0), vocabulary)]
        )
        before = [draw.choice(pool) for _ in range((0, 1, 5, 50)[turn % 4])]
        if before:
            before.append(2)  # a text before ends with a whole character
        base = len(decode(before)) if before else 0
        growing, ids = GrowingText(decode, before), list[int]()
        for _ in range(80):
            ids.append(draw.choice(pool))
            assert growing.add(ids[-1]) == decode([*before, *ids])[base:], (turn, ids)


def test_emoji_and_scripts_of_several_bytes_come_out_whole() -> None:
    decode, _ = decoding("byte level")
    text = "ключ 🔑🏽 钥匙 चाबी " * 12
    ids = byte_level()(text, add_special_tokens=False)["input_ids"]
    growing = GrowingText(decode, [])
    told = [growing.add(token) for token in ids]
    assert told[-1] == text
    assert all(text.startswith(one.rstrip("\ufffd")) for one in told)


def test_only_a_tail_is_decoded_however_long_the_answer() -> None:
    decode, _ = decoding("byte level")
    asked: list[int] = []

    def counted(ids: Sequence[int]) -> str:
        asked.append(len(ids))
        return decode(ids)

    ends = RowEnds(
        counted,
        before=[],
        start=0,
        rows=1,
        end_tokens=frozenset([2]),
        stop=("never",),
        at_sentences=False,
    )
    ids = torch.full((1, 1000), 70)
    for step in range(1, 1001):
        ends(ids[:, :step], None)
    assert max(asked) <= 2 * CONTEXT
    assert len(asked) <= 1000 + 1000 // CONTEXT
