"""The reward model: its shape, its training on rated answers, its files."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from eta_guard.embedded.train.export import save_model
from eta_guard.embedded.train.loop import Limits, Stage, half_precision, run_stage
from eta_guard.embedded.train.ratings import Rated, rated_answer
from eta_guard.embedded.train.tokenizer import END, PAD, ROLES, START, build_tokenizer, mark_ids
from eta_guard.prompts import POST_PROMPT, SEARCH_PROMPT

if TYPE_CHECKING:
    from transformers import LlamaForSequenceClassification

_BATCH = 64
_THRESHOLD = 0.06
_SCALE = 100.0


def build_reward(*, seed: int) -> LlamaForSequenceClassification:
    """Build the untrained model."""
    from transformers import LlamaConfig, LlamaForSequenceClassification

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
    )
    config.num_labels = 1
    return LlamaForSequenceClassification(config)  # type: ignore[no-untyped-call]


def train_reward(
    model: LlamaForSequenceClassification,
    limits: Limits,
    folder: Path,
    *,
    seed: int,
    resume: bool,
) -> None:
    """Train the model to give rated answers their scores, in place.

    Both of the paper's prompts are trained on, with whole and with partial answers, and with
    and without the mark that ends a turn.
    """
    tokenizer = build_tokenizer()

    def scores(rated: list[Rated], rng: Random) -> Tensor:
        texts = [_as_chat(one.answer, rng) for one in rated]
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        with half_precision():
            logits = model(**batch).logits
        given: Tensor = logits[:, 0].float()
        return given

    def loss(step: int) -> Tensor:
        rng = Random(f"reward/{seed}/{step}")
        rated = [rated_answer(rng) for _ in range(_BATCH)]
        wanted = torch.tensor([one.score for one in rated])
        return _SCALE * mse_loss(scores(rated, rng), wanted)

    @torch.no_grad()
    def report() -> str:
        rng = Random("reward/validation")
        rated = [rated_answer(rng) for _ in range(400)]
        wanted = torch.tensor([one.score for one in rated])
        given = torch.cat([scores(rated[i : i + 100], rng) for i in range(0, 400, 100)])
        right = ((given > _THRESHOLD) == (wanted > _THRESHOLD)).float().mean().item()
        return f"error {(given - wanted).abs().mean():.3f}, {right:.1%} on the right side"

    run_stage(Stage("reward", model, loss, report, rate=1e-3), limits, folder, resume=resume)


def _as_chat(answer: str, rng: Random) -> str:
    """Put an answer behind one of the prompts, as the chat template does."""
    _, user, assistant = ROLES
    prompt = rng.choice((POST_PROMPT, SEARCH_PROMPT))
    end = END if rng.random() < 0.9 else ""
    return f"{START}{user}{prompt}{END}{assistant}{answer}{end}"


def save_reward(model: LlamaForSequenceClassification, folder: Path) -> None:
    """Write the model as transformers' auto classes expect it."""
    build_tokenizer().save_pretrained(folder)
    save_model(model, folder)
