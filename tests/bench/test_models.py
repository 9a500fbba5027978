from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from eta_guard.bench.models import build_models, chat_model, clip_model, reward_model
from eta_guard.bench.pictures import request
from eta_guard.bench.sizes import SIZES, find_size
from eta_guard.engines.local.chat_template import model_inputs
from eta_guard.errors import InputError
from eta_guard.evaluators.reward.armorm import ArmoRMModel
from eta_guard.policy import GuardPolicy
from eta_guard.request.conversation import read_conversation


def test_7b_has_the_shapes_of_the_papers_models() -> None:
    size, bf16 = SIZES["7b"], torch.bfloat16
    with torch.device("meta"):
        chat, processor = chat_model(size, bf16)
        reward, clip = reward_model(size, bf16), clip_model(size, bf16)
    assert isinstance(reward, ArmoRMModel)
    assert billions(chat) == pytest.approx(7.06, abs=0.01)
    assert billions(reward) == pytest.approx(7.51, abs=0.01)
    assert billions(clip) == pytest.approx(0.428, abs=0.001)
    assert {p.dtype for p in chat.parameters()} == {bf16}
    assert {p.dtype for p in reward.gating.parameters()} == {torch.float32}

    inputs = model_inputs(processor, read_conversation([request(0, 336)]))
    assert (inputs["input_ids"] == chat.config.image_token_id).sum() == 576
    with torch.device("meta"):
        out = chat(inputs_embeds=torch.zeros(1, 600, 4096, dtype=bf16))
        pixels = torch.zeros(1, 3, 336, 336, dtype=bf16)
    assert out.logits.shape == (1, 600, 32064)
    assert clip.encode_image(pixels).shape == (1, 768)
    assert chat.get_image_features(pixels).pooler_output[0].shape == (576, 4096)


def test_armorm_scores_alike_over_the_whole_text_and_incrementally() -> None:
    small = SIZES["small"]
    shape = replace(small, armorm=True, reward=small.reward | {"vocab_size": 128257})
    models = build_models(shape, torch.device("cpu"), torch.float32)
    prompt = GuardPolicy().search_prompt
    ids = models.reward.chat.ids(prompt, "As an AI assistant.")
    (score,) = models.reward.evaluator.open(prompt).score(["As an AI assistant."])
    with torch.inference_mode():
        assert models.reward.whole(ids) == pytest.approx(score, abs=1e-6)


def test_a_size_that_is_not_there_is_an_error() -> None:
    with pytest.raises(InputError, match="small, mid, 7b"):
        find_size("13b")


def billions(model: Any) -> float:
    return float(sum(p.numel() for p in model.parameters()) / 1e9)
