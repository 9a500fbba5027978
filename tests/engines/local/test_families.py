"""Families whose caches, masks or positions differ are answered exactly."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
import torch

from eta_guard.counts import counting
from eta_guard.engines.local.batch_reader import BatchReader
from eta_guard.engines.local.engine import LocalEngine
from eta_guard.engines.local.sampling import uniforms
from eta_guard.engines.local.tree_reader import TreeReader
from eta_guard.errors import EngineError, UnsupportedModelError
from eta_guard.protocols import Generation, Sampling
from tests.engines.local.families import (
    BOS,
    FAMILIES,
    QUESTION,
    WORDS,
    Family,
    Inputs,
    Processor,
    paligemma,
    why_not,
)

PREFIX = "As an AI assistant"
SAMPLING = Sampling(top_k=5, temperature=1.5, max_sentence_tokens=10)

pytestmark = pytest.mark.slow
every_family = pytest.mark.parametrize("name", list(FAMILIES))


@cache
def made(name: str) -> tuple[Family, str | None]:
    """A family, and why it cannot be run, if it cannot."""
    found = FAMILIES[name]()
    return found, why_not(found)


def family(name: str) -> Family:
    found, reason = made(name)
    if reason:
        pytest.skip(reason)
    return found


def engine_of(name: str) -> LocalEngine:
    return LocalEngine(family(name).model, Processor(), fingerprint=name)


def opened(name: str, **settings: Any) -> Any:
    return engine_of(name).begin(dict(family(name).inputs), Generation(**settings))


def extended(inputs: Inputs, ids: list[int]) -> Inputs:
    """The inputs with more ids after them, as ``generate`` would have made them longer."""
    length = inputs["input_ids"].shape[1]
    longer = dict(inputs)
    for name, value in inputs.items():
        if value.ndim < 2 or value.shape[1] != length:
            continue
        if name == "input_ids":
            more = torch.tensor([ids], dtype=value.dtype)
        elif name in ("attention_mask", "cross_attention_mask"):
            more = value[:, -1:].expand(-1, len(ids), *value.shape[2:])
        else:
            more = torch.zeros_like(value[:, :1]).expand(-1, len(ids), *value.shape[2:])
        longer[name] = torch.cat([value, more], dim=1)
    return longer


def logits(name: str, inputs: Inputs) -> torch.Tensor:
    """Of the last position, without a cache."""
    with torch.inference_mode():
        out = family(name).model(**inputs, use_cache=False)
    last: torch.Tensor = out.logits[0, -1].float()
    return last


def redrawn(name: str, ids: list[int], draws: torch.Tensor) -> list[int]:
    """Draws a candidate again: no cache, no batch, one plain step after another."""
    drawn: list[int] = []
    for draw in draws.tolist():
        top = torch.topk(logits(name, extended(family(name).inputs, ids + drawn)), 5)
        edges = torch.softmax(top.values / 1.5, -1).double().cumsum(-1)
        drawn.append(int(top.indices[int((edges <= draw).sum().clamp(max=4))]))
    return drawn


@every_family
def test_the_picture_matters(name: str) -> None:
    inputs = family(name).inputs
    other = {**inputs, "pixel_values": inputs["pixel_values"].flip(-1)}
    one, two = logits(name, inputs), logits(name, other)
    assert one.isfinite().all()
    assert (one - two).abs().max() > 0.01 * one[one > -1e3].std()


@every_family
def test_the_plain_answer_is_what_the_model_generates(name: str) -> None:
    session = opened(name, max_tokens=30)
    inputs = family(name).inputs
    out = family(name).model.generate(**inputs, max_new_tokens=30, do_sample=False)
    ids = out[0, inputs["input_ids"].shape[1] :]
    assert session.answer().text == WORDS.decode(ids, skip_special_tokens=True).strip()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
@every_family
def test_plain_answers_in_half_precision_are_the_models_own_on_either_route(
    name: str, dtype: torch.dtype
) -> None:
    """Token for token: in half precision even another split into forwards makes other tokens."""
    found = family(name)
    model = copy.deepcopy(found.model).to(dtype)
    engine = LocalEngine(model, Processor(), fingerprint=name)
    routes = [BatchReader, TreeReader] if engine._shares_a_row else [BatchReader]
    for turn in range(4):
        inputs = {
            key: value.to(dtype) if value.is_floating_point() else value.clone()
            for key, value in found.inputs.items()
        }
        inputs["input_ids"][0, -6:] = inputs["input_ids"][0, -6:].roll(turn)
        out = model.generate(**inputs, max_new_tokens=24, do_sample=False)
        drawn = out[0, inputs["input_ids"].shape[1] :]
        expected = WORDS.decode(drawn, skip_special_tokens=True).strip()
        for reader in routes:
            engine._shares_a_row = reader is TreeReader
            session = engine.begin(dict(inputs), Generation(max_tokens=24))
            assert isinstance(session._reader, reader)
            assert session.answer().text == expected, (turn, reader)


@every_family
def test_candidates_are_those_of_an_uncached_computation(name: str) -> None:
    session = opened(name, max_tokens=60)
    session.answer()
    session.prefill(PREFIX)
    ids: list[int] = WORDS(PREFIX, add_special_tokens=False)["input_ids"]
    for sentence in (1, 2):
        candidates = session.propose(3, SAMPLING)
        draws = uniforms(0, sentence, 3, 10)
        kept = [list(candidate.token_ids) for candidate in candidates]
        assert all(kept)
        assert kept == [redrawn(name, ids, draws[row, : len(kept[row])]) for row in range(3)]
        ids += kept[sentence]
        session.accept(sentence)


@every_family
def test_the_end_is_that_of_a_model_that_reads_all_anew(name: str) -> None:
    session = opened(name, max_tokens=40)
    session.prefill(PREFIX)
    accepted = list(session.propose(3, SAMPLING)[2].token_ids)
    session.accept(2)
    prefix: list[int] = WORDS(PREFIX, add_special_tokens=False)["input_ids"]
    before = prefix + accepted
    inputs = extended(family(name).inputs, before)
    out = family(name).model.generate(**inputs, max_new_tokens=40 - len(before), do_sample=False)
    ids = out[0, family(name).inputs["input_ids"].shape[1] :]
    assert session.finish().text == WORDS.decode(ids, skip_special_tokens=True).strip()


@every_family
def test_the_picture_is_encoded_once(name: str) -> None:
    engine = engine_of(name)
    with counting() as tally:
        session = engine.begin(dict(family(name).inputs), Generation(max_tokens=40))
        session.answer()
        session.prefill(PREFIX)
        for _ in range(2):
            session.propose(3, SAMPLING)
            session.accept(0)
    assert tally["vlm_image_encodes"] == 1


@every_family
def test_a_text_in_between_is_answered_and_changes_nothing(name: str) -> None:
    """Positions and pictures of one request are not those of the next."""
    texts = Inputs(input_ids=torch.tensor([[BOS, *QUESTION]]))
    texts["attention_mask"] = torch.ones_like(texts["input_ids"])
    family(name)  # or it is skipped
    fresh = FAMILIES[name]().model
    out = fresh.generate(**texts, max_new_tokens=20, do_sample=False)
    plain = WORDS.decode(out[0, 1 + len(QUESTION) :], skip_special_tokens=True).strip()
    engine, inputs = engine_of(name), dict(family(name).inputs)
    alone, shared = (engine.begin(inputs, Generation(max_tokens=40)) for _ in range(2))
    for session in (alone, shared):
        session.prefill(PREFIX)
        session.propose(3, SAMPLING)
        session.accept(1)
    expected = alone.propose(3, SAMPLING)
    assert engine.begin(texts, Generation(max_tokens=20)).answer().text == plain
    assert shared.propose(3, SAMPLING) == expected


def test_who_shares_a_row_is_found_by_trying() -> None:
    """Windows, recurrent states, chunks and cross-attention cannot be shared in one row."""
    runs = {name for name in FAMILIES if not made(name)[1]}
    general = {name for name in runs if isinstance(opened(name)._reader, BatchReader)}
    windows = {"gemma3", "gemma3_within_its_window"}
    assert general == {*windows, "mllama", "qwen3_5", "llama4"} & runs
    assert len(runs) >= len(FAMILIES) - 1


def test_a_prefix_language_model_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="prefix language model"):
        LocalEngine(paligemma().model, Processor())


def test_a_prompt_that_ends_with_a_picture_is_refused() -> None:
    """After it the positions of a text begin anew, elsewhere than one further on."""
    inputs = dict(family("qwen2_5_vl").inputs)
    after = 1 + len(QUESTION)
    for name in ("input_ids", "attention_mask", "mm_token_type_ids"):
        inputs[name] = inputs[name][:, :-after]
    engine = LocalEngine(family("qwen2_5_vl").model, Processor())
    with pytest.raises(EngineError, match="ends with a picture"):
        engine.begin(inputs, Generation()).answer()
