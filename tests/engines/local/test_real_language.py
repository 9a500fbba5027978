"""The engine on a real language model: real English, real tokenizer, real sentence ends."""

from __future__ import annotations

import copy
from itertools import product

import pytest
import torch

from eta_guard.engines.local.batch_reader import BatchReader
from eta_guard.engines.local.engine import LocalEngine
from eta_guard.engines.local.sampling import uniforms
from eta_guard.engines.local.tree_reader import TreeReader
from eta_guard.protocols import Generation, Sampling
from tests.engines.local.smollm2 import inputs_of, smollm2, why_not

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]
TASKS = (
    "Tell me about {}.",
    "Give me three short tips about {}.",
    "What time should I think of {}? Answer with a.m. or p.m.",
    "Write one line with emoji about {}.",
    "Schreibe einen Satz über {}.",
    "用中文写一句话：{}。",
    "How much does it cost, e.g. in U.S. dollars: {}?",
)
THINGS = ("a garden", "the sea", "old bread", "a red house", "music", "the number 3.14")
QUESTIONS = [task.format(thing) for task, thing in product(TASKS, THINGS)]
SAMPLING = Sampling(top_k=20, temperature=1.0, max_sentence_tokens=8)


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return LocalEngine(*smollm2(), fingerprint="smollm2")


@pytest.fixture(scope="module")
def half() -> LocalEngine:
    model, processor = smollm2()
    return LocalEngine(copy.deepcopy(model).to(torch.bfloat16), processor, fingerprint="half")


def raw(engine: LocalEngine, inputs: dict[str, torch.Tensor], tokens: int) -> list[int]:
    """What the library's own ``generate`` draws."""
    out = engine.model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
    ids: list[int] = out[0, inputs["input_ids"].shape[1] :].tolist()
    return ids


def test_plain_answers_are_the_models_own_and_are_told_without_broken_characters(
    engine: LocalEngine,
) -> None:
    assert len(QUESTIONS) >= 40
    words = engine.processor.tokenizer
    for number, question in enumerate(QUESTIONS):
        inputs = inputs_of(question, number if number % 2 else None)
        told: list[str] = []
        answer = engine.begin(dict(inputs), Generation(max_tokens=6)).answer(
            lambda text, told=told: bool(told.append(text))  # type: ignore[misc]
        )
        expected = words.decode(raw(engine, inputs, 6), skip_special_tokens=True)
        assert answer.text == expected.strip(), question
        assert not any("\ufffd" in text for text in told[:-1]), question


def uncached(engine: LocalEngine, inputs: dict[str, torch.Tensor], ids: list[int]) -> torch.Tensor:
    """Logits [ids, vocabulary] of each id given all before it, in one forward without a cache."""
    prompt = inputs["input_ids"].shape[1]
    whole = torch.cat([inputs["input_ids"], torch.tensor([ids])], dim=1)
    given = {**inputs, "input_ids": whole, "attention_mask": torch.ones_like(whole)}
    with torch.inference_mode():
        out = engine.model(**given, use_cache=False)
    logits: torch.Tensor = out.logits[0, prompt - 1 : -1].float()
    return logits


@pytest.mark.parametrize("number", range(2))
def test_a_search_is_that_of_an_uncached_computation(engine: LocalEngine, number: int) -> None:
    inputs = inputs_of(QUESTIONS[9 * number], number if number % 2 else None)
    session = engine.begin(dict(inputs), Generation(max_tokens=60, seed=number))
    session.prefill("As an AI assistant")
    before = engine.running.encode("As an AI assistant")
    for sentence in (1, 2):
        candidates = session.propose(3, SAMPLING)
        draws = uniforms(number, sentence, 3, SAMPLING.max_sentence_tokens)
        for row, candidate in enumerate(candidates):
            ids = list(candidate.token_ids)
            logits = uncached(engine, inputs, before + ids)[len(before) :]
            for step, (drawn, scores) in enumerate(zip(ids, logits, strict=True)):
                top = torch.topk(scores, SAMPLING.top_k)
                edges = torch.softmax(top.values, -1).double().cumsum(-1)
                place = int((edges / edges[-1] <= draws[row, step]).sum())
                assert drawn == int(top.indices[place]), (sentence, row, step)
            assert "\ufffd" not in candidate.text
        session.accept(sentence)
        before += list(candidates[sentence].token_ids)


def test_in_bfloat16_the_fast_route_is_taken_and_either_is_the_models_own(
    half: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert half._shares_a_row
    words = half.processor.tokenizer
    for number, question in enumerate(QUESTIONS[:: 3 * len(THINGS)]):  # slow on a CPU
        inputs = inputs_of(question, number if number % 2 else None)
        if "pixel_values" in inputs:
            inputs["pixel_values"] = inputs["pixel_values"].to(torch.bfloat16)
        expected = words.decode(raw(half, inputs, 6), skip_special_tokens=True)
        for reader in (TreeReader, BatchReader):
            monkeypatch.setattr(half, "_shares_a_row", reader is TreeReader)
            session = half.begin(dict(inputs), Generation(max_tokens=6))
            assert isinstance(session._reader, reader)
            assert session.answer().text == expected.strip(), (question, reader)
