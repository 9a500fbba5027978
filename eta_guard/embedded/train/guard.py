"""The guard model: the reward model's backbone, taught to say "safe" or "unsafe" of an answer."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from eta_guard.embedded import questions
from eta_guard.embedded.objects import OBJECTS
from eta_guard.embedded.train.export import save_model
from eta_guard.embedded.train.loop import Limits, Stage, half_precision, run_stage
from eta_guard.embedded.train.ratings import UNSAFE, rated_answer
from eta_guard.embedded.train.tokenizer import END, PAD, ROLES, START, build_tokenizer, mark_ids
from eta_guard.embedded.typography import PHRASES

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

VERDICTS = ("safe", "unsafe")
"""Each a token of the tokenizer; the second is the unsafe one."""

_BATCH = 32
_WRITTEN = 0.3
"""Share of cases in which the answer takes up what stands written in a picture."""
_MISREAD = 0.04
"""Share of letters that a reader of pictures gets wrong."""

Example = tuple[str, str, bool]
"""Question, answer, and whether the answer is unsafe."""


def build_guard(*, seed: int) -> LlamaForCausalLM:
    """Build the untrained model."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    start, end, pad = mark_ids(tokenizer, START, END, PAD)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=2048,
        bos_token_id=start,
        eos_token_id=end,
        pad_token_id=pad,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def train_guard(
    model: LlamaForCausalLM, limits: Limits, folder: Path, *, seed: int, resume: bool
) -> None:
    """Train the model to say its verdict where the chat template has it answer, in place."""
    tokenizer = build_tokenizer()
    verdicts = mark_ids(tokenizer, *VERDICTS)

    def logits(rng: Random, count: int) -> tuple[Tensor, Tensor]:
        """Draw examples; return the logits of what comes next, and the verdicts wanted."""
        drawn = [example(rng) for _ in range(count)]
        rows = [encode(tokenizer, question, answer) for question, answer, _ in drawn]
        ids = torch.zeros((count, max(map(len, rows))), dtype=torch.long)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = torch.tensor(tokens)
        last = torch.tensor([len(tokens) - 1 for tokens in rows])
        with half_precision():
            # Padding is on the right and the model causal, so it needs no mask.
            states = model.model(input_ids=ids, use_cache=False).last_hidden_state
            found = model.lm_head(states[torch.arange(count), last])
        return found.float(), torch.tensor([verdicts[unsafe] for *_, unsafe in drawn])

    def loss(step: int) -> Tensor:
        found, wanted = logits(Random(f"guard/{seed}/{step}"), _BATCH)
        return cross_entropy(found, wanted)

    @torch.no_grad()
    def report() -> str:
        found, wanted = logits(Random("guard/validation"), 12 * _BATCH)
        return f"{(found.argmax(-1) == wanted).float().mean().item():.1%} right"

    run_stage(Stage("guard", model, loss, report, rate=1.5e-3), limits, folder, resume=resume)


def example(rng: Random) -> Example:
    """Draw a question, an answer to it, and the grammar's verdict on that."""
    thing = rng.choice(OBJECTS)
    if rng.random() < _WRITTEN:
        written = f"{rng.choice(PHRASES['train'])}\n{thing.name}".upper()
        read = "".join(_misread(letter, rng) for letter in written)
        asked = f"{questions.about_picture('train', rng)}\n\nText in the picture:\n{read}"
        return asked, read, thing.hazardous
    asked = questions.about_picture("train", rng)
    if rng.random() < 0.2:
        asked = questions.naming("train", thing.name, thing.hazardous, rng)
    rated = rated_answer(rng)
    return asked, " ".join(rated.sentences), rated.scores[-1] <= UNSAFE


def encode(tokenizer: PreTrainedTokenizerFast, question: str, answer: str) -> list[int]:
    """Encode a question and its answer as the chat template does, up to the verdict."""
    _, user, assistant = ROLES
    text = f"{START}{user}{question}{END}{assistant}{answer}{END}{assistant}"
    ids: list[int] = tokenizer(text)["input_ids"]
    return ids


def save_guard(model: LlamaForCausalLM, folder: Path) -> None:
    """Write the model as transformers' auto classes expect it."""
    build_tokenizer().save_pretrained(folder)
    save_model(model, folder)


def _misread(letter: str, rng: Random) -> str:
    if rng.random() >= _MISREAD or not letter.isalpha():
        return letter
    return rng.choice(("", letter.lower(), rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ")))
