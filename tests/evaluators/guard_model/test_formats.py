from __future__ import annotations

from dataclasses import replace

import pytest

from eta_guard.errors import UnsupportedModelError
from eta_guard.evaluators.guard_model.formats import (
    FORMATS,
    LLAVAGUARD,
    QWEN3GUARD,
    SHIELDGEMMA2,
    SHIELDSTRAL,
    find_format,
)

# Names and model types of the cards.
CARDS = {
    ("mistralai/Shieldstral-1.0-3B", "mistral3"): "Shieldstral",
    ("inclusionAI/Sing-Guard-2b", "qwen3_vl"): "SingGuard",
    ("inclusionAI/SingGuard-8b", "qwen3_vl"): "SingGuard",
    ("nvidia/Nemotron-3.5-Content-Safety", "gemma3"): "Nemotron-3.5-Content-Safety",
    ("Qwen/Qwen3Guard-Gen-0.6B", "qwen3"): "Qwen3Guard-Gen",
    ("google/shieldgemma-2-4b-it", "shieldgemma2"): "ShieldGemma 2",
    ("meta-llama/Llama-Guard-4-12B", "llama4"): "Llama Guard 4",
    ("AIML-TUDA/LlavaGuard-v1.2-7B-OV-hf", "llava_onevision"): "LlavaGuard",
}


@pytest.mark.parametrize(("card", "family"), CARDS.items())
def test_the_format_is_found_by_the_models_name_and_type(
    card: tuple[str, str], family: str
) -> None:
    assert find_format(*card).name == family
    assert find_format(f"/models/{card[0]}/", card[1]).name == family
    if find_format(*card).names:  # as a server tells it
        assert find_format(card[0]).name == family


def test_a_type_that_is_nobody_elses_needs_no_name() -> None:
    assert find_format("my-own", "shieldgemma2") is SHIELDGEMMA2


@pytest.mark.parametrize(
    ("name", "model_type"),
    [
        ("google/gemma-3-4b-it", "gemma3"),  # the guard's base
        ("Qwen/Qwen3-8B", "qwen3"),
        ("Qwen/Qwen3Guard-Stream-4B", "qwen3"),  # a token-level head
        ("someone/Shieldstral-of-llamas", "llama"),
        ("Shieldstral/my-model", "llama"),
        ("gpt-oss-safeguard-20b", None),
    ],
)
def test_other_models_are_not_taken_for_guards(name: str, model_type: str | None) -> None:
    with pytest.raises(UnsupportedModelError, match="Pass format=, one of Shieldstral"):
        find_format(name, model_type)


def test_every_row_can_be_asked_something_and_told_apart() -> None:
    for row in FORMATS:
        assert row.image or row.answer
        assert len({*row.safe, *row.unsafe, *row.middle}) >= 2
        assert row.model_types
    assert len({row.name for row in FORMATS}) == len(FORMATS)


def test_policies_have_names_if_there_are_several() -> None:
    assert SHIELDSTRAL.policies == {"": SHIELDSTRAL.policy}
    assert QWEN3GUARD.policies == {"": ""}
    named = SHIELDSTRAL.with_policy({"one": "No triangles.", "two": "No circles."})
    assert list(named.policies) == ["one", "two"]
    assert named.with_policy(None) is named
    assert replace(LLAVAGUARD, policy="x").policies == {"": "x"}
