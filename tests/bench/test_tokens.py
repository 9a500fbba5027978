from __future__ import annotations

import pytest

from eta_guard import prompts
from eta_guard.bench.tokens import (
    LLAMA3_PLACES,
    OPENERS,
    WORDS,
    chat_tokenizer,
    reward_tokenizer,
    word_ids,
)
from eta_guard.text.sentences import first_boundary


def test_every_full_stop_is_seen_as_the_end_of_a_sentence() -> None:
    for word in WORDS:
        sentence = f"{word}{WORDS[0]}{word}."
        assert first_boundary(sentence + OPENERS[0]) == len(sentence)


def test_texts_come_back_as_they_were() -> None:
    for tokenizer in (chat_tokenizer(), reward_tokenizer(), reward_tokenizer(LLAMA3_PLACES)):
        text = f"{prompts.POST_PROMPT}\n\nZwölf!{WORDS[3]}{WORDS[4]}.{OPENERS[1]}"
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
        assert len({*word_ids(tokenizer, WORDS + OPENERS)}) == len(WORDS + OPENERS)


@pytest.mark.parametrize("token", LLAMA3_PLACES)
def test_llama_3s_tokens_stand_where_armorm_looks_for_them(token: str) -> None:
    tokenizer = reward_tokenizer(LLAMA3_PLACES)
    assert tokenizer(token, add_special_tokens=False)["input_ids"] == [LLAMA3_PLACES[token]]
