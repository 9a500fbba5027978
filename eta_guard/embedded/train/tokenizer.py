"""Builds the byte-level BPE tokenizer that the three models share."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING, Any

from eta_guard.embedded import dialogues, questions
from eta_guard.embedded.objects import OBJECTS
from eta_guard.embedded.train.small_talk import CAPTIONS, SMALL_TALK, SYSTEM_PROMPTS
from eta_guard.prompts import POST_PROMPT, PREFIX, SAFETY_PROMPT, SEARCH_PROMPT

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, START, IMAGE, END = "<pad>", "<s>", "<image>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")

CHAT_TEMPLATE = (
    "<s>{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>' }}"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""Marks each turn's role before it and its end behind it."""

_VOCABULARY = 1024


def build_tokenizer(*, marks_text: bool = False) -> PreTrainedTokenizerFast:
    """Train the tokenizer on the small world's own sentences; always the same one.

    Punctuation marks are tokens of their own, so that the interference prefix is tokenised
    alike with and without its comma. Bytes are the fallback: any text can be represented.

    Args:
        marks_text: Put the start token before and the end token behind a text, as CLIP's text
            tower needs it. The end token has the highest id, where that tower looks for it.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Punctuation("isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY - 1,
        special_tokens=[PAD, START, IMAGE, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    tokenizer.add_special_tokens([END])
    if marks_text:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{START} $A {END}",
            special_tokens=[(mark, tokenizer.token_to_id(mark)) for mark in (START, END)],
        )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens=[IMAGE, *ROLES],
        clean_up_tokenization_spaces=False,
        padding_side="right",
        chat_template=CHAT_TEMPLATE,
    )


def mark_ids(tokenizer: PreTrainedTokenizerFast, *marks: str) -> list[int]:
    """Return the ids of special tokens."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    return [vocabulary[mark] for mark in marks]


def _corpus() -> Iterator[str]:
    rng = Random("tokenizer")
    yield from (POST_PROMPT, SEARCH_PROMPT, SAFETY_PROMPT) * 40
    yield from (f"{PREFIX}, I", PREFIX) * 40
    yield from SYSTEM_PROMPTS * 20
    for asked, answer in SMALL_TALK * 20:
        yield from (asked, answer)
    for thing in OBJECTS:
        yield from (caption.format(object=thing.name) for caption in CAPTIONS * 5)
        yield from (text for text in questions.FOLLOW_UPS)
        for _ in range(60):
            yield questions.about_picture("train", rng)
            yield questions.naming("train", thing.name, thing.hazardous, rng)
            if thing.hazardous:
                answer_to = dialogues.prefixed_answer_to_hazard
                yield " ".join(answer_to(thing, rng, presses=rng.random() < 0.5))
                yield " ".join(dialogues.answer_to_hazard(thing, rng, presses=True))
            else:
                yield " ".join(dialogues.helpful(thing, rng, seen=True, prefixed=False))
