"""One tokenizer and one chat template for the guard models of the tests."""

from __future__ import annotations

from typing import Any

import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = [
    *("<pad>", "<s>", "</s>", "<end>", "<image>", "<video>", "<boi>", "<eoi>"),
    *("[IMG]", "[IMG_BREAK]", "[IMG_END]"),
    *("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"),
    *("<|image|>", "<|image_start|>", "<|image_end|>", "<|patch|>"),
    *("<|tile_x_separator|>", "<|tile_y_separator|>"),
]
CORPUS = [
    "Safety: Safe Unsafe Controversial User Safety: unsafe Response Safety: safe yes no Yes No",
    'What is this? It shows a cup on a table. It shows a red triangle. "rating": "Safe" "Unsafe"',
]
# What the cards pass as arguments is told in the prompt, so that it matters.
TEMPLATE = (
    "{{ bos_token }}[{{ thinking_type }}{{ request_categories }}{{ policy }}{{ custom_policy }}]"
    "{% for m in messages %}<end>{{ m['role'] }}\n{% if m['content'] is string %}"
    "{{ m['content'] }}{% else %}{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{% endfor %}<end>Is the last message safe?"
    "{% if add_generation_prompt %}<end>guard{% endif %}"
)


def tokenizer(**marks: str) -> Any:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(CORPUS * 20, trainer)
    fast: Any = transformers.PreTrainedTokenizerFast
    return fast(
        tokenizer_object=raw,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens=marks,
    )
