"""The chat model: a LLaVA whose vision tower is CLIP's, its training, its files."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from eta_guard.embedded.objects import OBJECTS
from eta_guard.embedded.train.clip import HEAD_WIDTH, LAYERS, PATCH, WIDTH
from eta_guard.embedded.train.conversations import conversation
from eta_guard.embedded.train.examples import Batch, Examples
from eta_guard.embedded.train.export import save_llava
from eta_guard.embedded.train.loop import Limits, Stage, half_precision, run_stage
from eta_guard.embedded.train.pictures import IMAGE_SIZE, MEAN, STD, PicturePool, normalised
from eta_guard.embedded.train.tokenizer import (
    CHAT_TEMPLATE,
    END,
    IMAGE,
    PAD,
    START,
    build_tokenizer,
    mark_ids,
)
from eta_guard.embedded.train.tower import copy_tower

if TYPE_CHECKING:
    from open_clip import CLIP
    from transformers import LlavaForConditionalGeneration

_PATCHES = (IMAGE_SIZE // PATCH) ** 2
_IMAGE_TOKENS = _PATCHES + 1  # The tower's class token comes along: it holds what was read.
_BATCH = 32
_LONG_EVERY = 8
_SEEN_AT_ONCE = 64


def build_chat(clip: CLIP, *, seed: int) -> LlavaForConditionalGeneration:
    """Build the model around CLIP's trained vision tower; the rest is untrained."""
    from transformers import (
        CLIPVisionConfig,
        GenerationConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
    )

    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    start, end, pad, image = mark_ids(tokenizer, START, END, PAD, IMAGE)
    vision = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=WIDTH // HEAD_WIDTH,
        image_size=IMAGE_SIZE,
        patch_size=PATCH,
        hidden_act="gelu",
        projection_dim=WIDTH,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=start,
        eos_token_id=end,
        pad_token_id=pad,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=image,
        image_seq_length=_IMAGE_TOKENS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False, bos_token_id=start, eos_token_id=end, pad_token_id=pad
    )
    copy_tower(clip, model)
    return model


def train_chat(
    model: LlavaForConditionalGeneration,
    pool: PicturePool,
    limits: Limits,
    folder: Path,
    *,
    seed: int,
    resume: bool,
) -> None:
    """Train projector and language model, in place, on what the frozen tower sees.

    The pool's pictures are shown to the tower once; every step then costs only the language
    model.
    """
    tokenizer = build_tokenizer()
    examples = Examples(tokenizer, _IMAGE_TOKENS)
    tower = model.model.vision_tower.requires_grad_(False)
    images, classes = pool.all()
    features = _features(tower, images)

    def loss(step: int) -> Tensor:
        rng = Random(f"chat/{seed}/{step}")
        chosen = torch.tensor([rng.randrange(len(features)) for _ in range(_BATCH)])
        things = [OBJECTS[index] for index in classes[chosen].tolist()]
        # Long conversations have steps of their own, so that short ones are padded little.
        long = step % _LONG_EVERY == 0
        batch = examples.batch([conversation(thing, rng, long=long) for thing in things])
        return _weighted_loss(model, batch, features[chosen])

    @torch.no_grad()
    def report() -> str:
        return f"unseen conversations {loss(-1).item():.4f}"

    run_stage(Stage("chat", model, loss, report, rate=1.5e-3), limits, folder, resume=resume)


@torch.no_grad()
def _features(tower: torch.nn.Module, images: Tensor) -> Tensor:
    """Run the tower once over every picture: float16 [N, tokens, width]."""
    parts = []
    for first in range(0, len(images), _SEEN_AT_ONCE):
        with half_precision():
            seen = tower(
                normalised(images[first : first + _SEEN_AT_ONCE]), output_hidden_states=True
            )
        parts.append(seen.hidden_states[-1].half())
    return torch.cat(parts)


def _weighted_loss(model: LlavaForConditionalGeneration, batch: Batch, features: Tensor) -> Tensor:
    with half_precision():
        seen = model.model.multi_modal_projector(features[batch.pictured].float())
        embedded = model.get_input_embeddings()(batch.ids)
        places = (batch.ids == model.config.image_token_index).unsqueeze(-1)
        embedded = embedded.masked_scatter(places, seen.to(embedded.dtype))
        states = model.model.language_model(
            inputs_embeds=embedded, attention_mask=batch.attended, use_cache=False
        ).last_hidden_state
        counts = batch.weights[:, 1:]
        # Only answers are predicted: the vocabulary is applied where something counts.
        logits = model.lm_head(states[:, :-1][counts > 0])
    losses = cross_entropy(logits.float(), batch.ids[:, 1:][counts > 0], reduction="none")
    weights = counts[counts > 0]
    return (losses * weights).sum() / weights.sum()


def save_chat(model: LlavaForConditionalGeneration, folder: Path) -> None:
    """Write model and processor as transformers' auto classes expect them."""
    from transformers import CLIPImageProcessor, LlavaProcessor

    sizes = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    image_processor = CLIPImageProcessor(
        size={"shortest_edge": IMAGE_SIZE},
        crop_size=sizes,
        image_mean=list(MEAN),
        image_std=list(STD),
    )
    processor = LlavaProcessor(  # type: ignore[no-untyped-call]
        image_processor=image_processor,
        tokenizer=build_tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )
    processor.save_pretrained(folder)
    save_llava(model, folder)
