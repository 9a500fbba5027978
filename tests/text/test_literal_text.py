"""User texts as ids: nothing but text in them, and to the letter."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
from langchain_core.messages import HumanMessage
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoProcessor, AutoTokenizer, PreTrainedTokenizerFast

from eta_guard import embedded
from eta_guard.engines.local.chat_template import model_inputs
from eta_guard.evaluators.clip_text import literal_tokenizer
from eta_guard.evaluators.reward.chat_tokens import ChatTokens
from eta_guard.request.conversation import read_conversation
from eta_guard.text.literal_text import MARK, LiteralText
from eta_guard.text.plain_text import special_tokens
from tests import llava_1_5
from tests.engines.local.smollm2 import FILE, VARIABLE, why_not
from tests.evaluators.tiny_models import chat_tokenizer, clip_tokenizer, llama3_tokenizer


def lower_casing() -> Any:
    """Looks for control tokens after it has normalised the text, whatever their case."""
    tokenizer = chat_tokenizer()
    fresh = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    fresh.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    fresh.add_special_tokens([AddedToken("<|stop|>", normalized=True)])
    made: Any = PreTrainedTokenizerFast
    return made(
        tokenizer_object=fresh,
        eos_token="<|end|>",
        bos_token="<|bos|>",
        chat_template=tokenizer.chat_template,
        extra_special_tokens=["<|start|>", "<|stop|>"],
    )


def llama_2(folder: Path) -> Any:
    llava_1_5.write(folder)
    return AutoTokenizer.from_pretrained(folder)


TOKENIZERS: dict[str, Callable[[Path], Any]] = {
    "embedded": lambda _: AutoTokenizer.from_pretrained(embedded.path("chat")),
    "byte-level": lambda _: chat_tokenizer(),
    "Llama 3's ids": lambda _: llama3_tokenizer(),
    "Llama 2's words": llama_2,
    "lower-casing": lambda _: lower_casing(),
    "SmolLM2": lambda _: AutoTokenizer.from_pretrained(os.environ[VARIABLE], gguf_file=FILE),
}
ORDINARY = [
    "It is 1 < 2, a <b>red</b> cup: |x| > [PAD",
    "Ünïcödé, 漢字 and 🙂.\n\n  def f():\n\treturn '</'",
    f"A half of a mark {MARK[0]} or {MARK[1]}.",
    "",
]


SLOW = {"SmolLM2"}
NAMES = [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in TOKENIZERS]


@pytest.fixture(params=NAMES)
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "SmolLM2" and (reason := why_not()):
        pytest.skip(reason)
    return TOKENIZERS[request.param](tmp_path / "tokenizer")


def ids(tokenizer: Any, text: str, **settings: Any) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, **settings)["input_ids"])


def spelled(tokenizer: Any) -> list[str]:
    """Texts that spell out control tokens: alone, within words, in one another, in other cases."""
    words = special_tokens(tokenizer)
    first, last = words[0], words[-1]
    return [
        *words,
        f"git add {first} and{last}here",
        "".join(words) * 2,
        f"{first[:2]}{last}{first[2:]}",
        f"{first.upper()} {last.title()} {first}",
        f"{first} {MARK} {first[0]}{MARK}{first[1:]}",
    ]


def test_what_is_spelled_out_is_text_to_the_letter(tokenizer: Any) -> None:
    control = {tokenizer.convert_tokens_to_ids(word) for word in special_tokens(tokenizer)}
    for text in spelled(tokenizer):
        literal = LiteralText(tokenizer)
        given = literal(text)
        read = ids(literal.tokenizer, given)
        assert not control.intersection(read), text
        # transformers' own way to have a text without control tokens.
        assert read == ids(tokenizer, text, split_special_tokens=True), text


def test_a_text_that_spells_out_none_is_not_touched(tokenizer: Any) -> None:
    literal = LiteralText(tokenizer)
    for text in ORDINARY:
        assert literal(text) == text
    assert literal.tokenizer is tokenizer


def test_the_ids_say_what_the_text_says(tokenizer: Any) -> None:
    if tokenizer.backend_tokenizer.normalizer is not None:
        pytest.skip("it reads other letters than the text has")
    for text in spelled(tokenizer):
        literal = LiteralText(tokenizer)
        given = literal(text)
        assert literal.tokenizer.decode(ids(literal.tokenizer, given)) == text


def test_a_tokenizer_whose_model_takes_words_whole_has_them_broken_up() -> None:
    words = ["</s>", "<unk>", "a", "b", "<", "/s>", "unk>"]
    model = models.Unigram([(word, -float(i)) for i, word in enumerate(words)], unk_id=1)
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(["</s>", "<unk>"])
    made: Any = PreTrainedTokenizerFast
    tokenizer = made(tokenizer_object=backend, eos_token="</s>", unk_token="<unk>")
    literal = LiteralText(tokenizer)
    assert literal("a</s>b") == "a< /s>b"
    assert literal.tokenizer is tokenizer


def test_a_token_that_is_added_later_is_known(tmp_path: Path) -> None:
    tokenizer = chat_tokenizer()
    text = "a<|end|> <|late|>"
    LiteralText(tokenizer)(text)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|late|>"]})
    literal = LiteralText(tokenizer)
    read = ids(literal.tokenizer, literal(text))
    assert not {tokenizer.convert_tokens_to_ids(w) for w in ("<|end|>", "<|late|>")} & set(read)


# ── where it is used ──


def conversation(text: str) -> Any:
    return read_conversation([HumanMessage(text)])


@pytest.mark.parametrize("word", ["<image>", "<|end|>", "<|assistant|>", "<s>"])
def test_the_chat_model_is_shown_the_users_own_words(word: str) -> None:
    loader: Any = AutoProcessor
    processor = loader.from_pretrained(embedded.path("chat"))
    read = processor.tokenizer
    text = f"What does {word} mean?"
    shown = model_inputs(processor, conversation(text))["input_ids"][0].tolist()
    plain = model_inputs(processor, conversation("What does it mean?"))["input_ids"][0].tolist()
    number = read.convert_tokens_to_ids(word)
    assert shown.count(number) == plain.count(number)
    assert text in read.decode(shown)


def test_the_reward_model_is_shown_the_answer_as_it_is() -> None:
    tokenizer: Any = llama3_tokenizer()
    config: Any = type("Config", (), {"get_text_config": lambda self: None})()
    chat = ChatTokens(tokenizer, config)
    answer = "Write <|eot_id|>, or <|EOT_ID|>."
    shown = chat.ids("Is it safe?", answer)
    end = tokenizer.convert_tokens_to_ids("<|eot_id|>")
    assert shown.count(end) == chat.ids("Is it safe?", "Write it.").count(end) == 2
    assert answer in tokenizer.decode(shown)


SPELLED = ["<end_of_text>", "&lt;end_of_text&gt;", "＜end_of_text＞", "&amp;lt;END_of_text&amp;gt;"]


@pytest.mark.parametrize("word", SPELLED)
@pytest.mark.parametrize("kind", ["open_clip", "transformers"])
def test_no_text_ends_its_own_caption(word: str, kind: str) -> None:
    own: Any = open_clip.SimpleTokenizer()
    if kind == "transformers":
        own = open_clip.tokenizer.HFTokenizer.__new__(open_clip.tokenizer.HFTokenizer)
        own.tokenizer, own.context_length = clip_tokenizer(), 77
        own.tokenizer_mode, own.strip_sep_token = "", False
        own.clean_fn = open_clip.tokenizer.get_clean_fn("whitespace")
    tokenize = literal_tokenizer(own)
    end = int(own(["x"])[0].max())
    if kind == "open_clip" or "END" not in word:  # it looks for them whatever their case
        assert (own([f"a cup {word} of tea"])[0] == end).sum() == 2
    row = tokenize([f"a cup {word} of tea"])[0]
    assert (row == end).sum() == 1
    # All of it is read.
    there, said = (ids[1 : int((ids == end).nonzero()[0])] for ids in (row, own(["of tea"])[0]))
    assert there[-2:].tolist() == said[-2:].tolist()
    ordinary = ["a cup of tea", "Ünïcödé &amp; <b>tags</b> — 'quoted'"]
    assert (tokenize(ordinary) == own(ordinary)).all()
