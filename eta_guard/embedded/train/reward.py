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
    from transformers import LlamaForSequenceClassification, PreTrainedTokenizerFast

_BATCH = 32
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

    Both of the paper's prompts are trained on. Every token of a sentence is taught the score
    that the answer has at the sentence's end: what is wrong is then learnt where it stands.
    """
    tokenizer = build_tokenizer()

    def errors(rng: Random, count: int) -> tuple[Tensor, Tensor]:
        """Draw answers; return given and wanted scores, side by side."""
        prompt = rng.choice((POST_PROMPT, SEARCH_PROMPT))
        rated = [rated_answer(rng) for _ in range(count)]
        encoded = [_encode(tokenizer, prompt, one) for one in rated]
        longest = max(len(ids) for ids, _ in encoded)
        ids = torch.zeros((count, longest), dtype=torch.long)
        wanted = torch.full((count, longest), torch.nan)
        for row, (tokens, scores) in enumerate(encoded):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            wanted[row, list(scores)] = torch.tensor(list(scores.values()))
        scored = ~wanted.isnan()
        with half_precision():
            # Padding is on the right and the model causal, so it needs no mask.
            states = model.model(input_ids=ids, use_cache=False).last_hidden_state
            given = model.score(states[scored])[:, 0]
        return given.float(), wanted[scored]

    def loss(step: int) -> Tensor:
        given, wanted = errors(Random(f"reward/{seed}/{step}"), _BATCH)
        return _SCALE * mse_loss(given, wanted)

    @torch.no_grad()
    def report() -> str:
        given, wanted = errors(Random("reward/validation"), 6 * _BATCH)
        right = ((given > _THRESHOLD) == (wanted > _THRESHOLD)).float().mean().item()
        return f"error {(given - wanted).abs().mean():.3f}, {right:.1%} on the right side"

    run_stage(Stage("reward", model, loss, report, rate=1.5e-3), limits, folder, resume=resume)


def _encode(
    tokenizer: PreTrainedTokenizerFast, prompt: str, rated: Rated
) -> tuple[list[int], dict[int, float]]:
    """Encode prompt and answer as the chat template does, with scores by token position."""
    _, user, assistant = ROLES
    ids: list[int] = tokenizer(f"{START}{user}{prompt}{END}{assistant}")["input_ids"]
    scores: dict[int, float] = {}
    for number, (sentence, score) in enumerate(zip(rated.sentences, rated.scores, strict=True)):
        tokens = tokenizer(sentence if number == 0 else f" {sentence}")["input_ids"]
        scores |= dict.fromkeys(range(len(ids), len(ids) + len(tokens)), score)
        ids += tokens
    ids += tokenizer(END)["input_ids"]
    scores[len(ids) - 1] = rated.scores[-1]
    return ids, scores


def save_reward(model: LlamaForSequenceClassification, folder: Path) -> None:
    """Write the model as transformers' auto classes expect it."""
    build_tokenizer().save_pretrained(folder)
    save_model(model, folder)
