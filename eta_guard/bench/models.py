"""Random models of given shapes: nothing is loaded, and what they say means nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import open_clip
import torch
from open_clip.transform import image_transform
from torch import Tensor
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForSequenceClassification,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from eta_guard.bench.sizes import Size
from eta_guard.bench.tokens import (
    LLAMA3_PLACES,
    LLAVA_TEMPLATE,
    chat_tokenizer,
    reward_tokenizer,
)
from eta_guard.evaluators.clip import ClipImageEvaluator
from eta_guard.evaluators.reward.armorm import ArmoRM, ArmoRMModel
from eta_guard.evaluators.reward.chat_tokens import ChatTokens
from eta_guard.evaluators.reward.evaluator import RewardResponseEvaluator


@dataclass(frozen=True)
class Reward:
    """A reward model, as the guard runs it and as its own forward over a whole text."""

    evaluator: RewardResponseEvaluator | ArmoRM
    chat: ChatTokens
    whole: Callable[[list[int]], float]
    """Score of the ids of a chat."""


@dataclass(frozen=True)
class Clip:
    """An open_clip model, as the guard runs it and bare."""

    evaluator: ClipImageEvaluator
    model: Any
    preprocess: Any
    tokenizer: Any


@dataclass(frozen=True)
class Models:
    """The three models of one size."""

    chat: Any
    processor: Any
    reward: Reward
    clip: Clip
    device: torch.device
    dtype: torch.dtype
    side: int
    """Of the square pictures that the models are shown, in pixels."""


def build_models(size: Size, device: torch.device, dtype: torch.dtype) -> Models:
    """Makes the models with random weights on the device; the same ones each time."""
    torch.manual_seed(0)
    with device:
        chat, processor = chat_model(size, dtype)
        reward = reward_model(size, dtype)
        clip = clip_model(size, dtype)
    return Models(
        chat,
        processor,
        _armorm(reward) if size.armorm else _classifier(reward),
        _clip(clip, size),
        device,
        dtype,
        side=int(size.vision["image_size"]),
    )


def chat_model(size: Size, dtype: torch.dtype) -> tuple[Any, Any]:
    """A LLaVA on the current default device, and its processor."""
    tokenizer, side = chat_tokenizer(), size.vision["image_size"]
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**size.vision),
        text_config=LlamaConfig(**size.text, **_special_ids(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(side // size.vision["patch_size"]) ** 2,
        vision_feature_layer=-2,
    )
    make_processor: Any = LlavaProcessor
    processor = make_processor(
        CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side}),
        tokenizer,
        patch_size=size.vision["patch_size"],
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_TEMPLATE,
    )
    return _made(LlavaForConditionalGeneration, config, dtype), processor


def reward_model(size: Size, dtype: torch.dtype) -> Any:
    """An ArmoRM, its heads in float32, or a one-label classifier; on the default device."""
    if not size.armorm:
        ids = _special_ids(reward_tokenizer())
        config = LlamaConfig(**size.reward, **ids)
        config.num_labels = 1
        return _made(LlamaForSequenceClassification, config, dtype)
    heads: dict[str, Any] = {
        "num_objectives": 19,
        "gating_temperature": 10,
        "gating_hidden_dim": 1024,
        "gating_n_hidden": 3,
    }
    ids = _special_ids(reward_tokenizer(LLAMA3_PLACES))
    model = _made(ArmoRMModel, LlamaConfig(**size.reward, **heads, **ids), dtype)
    for name, parameter in model.named_parameters():
        if not name.startswith("model."):
            parameter.data = parameter.data.float()
    return model


def clip_model(size: Size, dtype: torch.dtype) -> Any:
    """A CLIP on the current default device."""
    return open_clip.CLIP(**size.clip).to(dtype).eval()


def _clip(model: Any, size: Size) -> Clip:
    """With open_clip's own tokenizer and transform."""
    preprocess = image_transform(size.clip["vision_cfg"]["image_size"], is_train=False)
    tokenizer = open_clip.get_tokenizer("ViT-L-14-336")
    evaluator = ClipImageEvaluator(model, preprocess, tokenizer, fingerprint="random-clip")
    return Clip(evaluator, model, preprocess, tokenizer)


def _armorm(model: ArmoRMModel) -> Reward:
    tokenizer = reward_tokenizer(LLAMA3_PLACES)

    def whole(ids: list[int]) -> float:
        # As the published model does: the gate is computed anew from each chat.
        states = model.model(_row(ids, model.device), use_cache=False).last_hidden_state[0]
        return float(model.read_out(ids, states)(states[-1]))

    evaluator = ArmoRM(model, tokenizer, fingerprint="random-armorm")
    return Reward(evaluator, ChatTokens(tokenizer, model.config), whole)


def _classifier(model: Any) -> Reward:
    tokenizer = reward_tokenizer()

    def whole(ids: list[int]) -> float:
        return float(model(_row(ids, model.device), use_cache=False).logits[0, 0])

    evaluator = RewardResponseEvaluator(model, tokenizer, fingerprint="random-reward")
    return Reward(evaluator, ChatTokens(tokenizer, model.config), whole)


def _made(model_class: Any, config: Any, dtype: torch.dtype) -> Any:
    return model_class._from_config(config, dtype=dtype).eval()


def _row(ids: list[int], device: torch.device) -> Tensor:
    return torch.tensor([ids], device=device)


def _special_ids(tokenizer: Any) -> dict[str, Any]:
    names = ("pad_token_id", "bos_token_id", "eos_token_id")
    return {name: getattr(tokenizer, name) for name in names}
