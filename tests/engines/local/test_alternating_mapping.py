from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import cosine_similarity

from eta_guard.counts import counting
from eta_guard.engines.local.alternating_mapping import image_token, nearest_tokens
from eta_guard.engines.local.engine import LocalEngine
from eta_guard.errors import UnsupportedModelError
from eta_guard.protocols import Generation, Sampling
from tests.engines.local.families import BOS, FAMILIES, QUESTION, WORDS, Family, Processor, why_not
from tests.engines.local.families import llava as llava_family
from tests.engines.local.test_engine import session
from tests.engines.local.tiny import llava

SAMPLING = Sampling(top_k=5, temperature=1.5, max_sentence_tokens=8)


def mapped_engine(family: Family) -> LocalEngine:
    return LocalEngine(family.model, Processor(), fingerprint="tiny", alternating_mapping=True)


def by_hand(family: Family) -> torch.Tensor:
    """The embeddings of the prompt, each of the picture's in place of its nearest token's."""
    model, ids = family.model, family.inputs["input_ids"]
    seen: list[torch.Tensor] = []
    hook = model.get_decoder().register_forward_pre_hook(
        lambda _, __, given: seen.append(given["inputs_embeds"]), with_kwargs=True
    )
    with torch.no_grad():
        model(**family.inputs)
    hook.remove()
    embed, embeddings = model.get_input_embeddings(), seen[0].clone()
    token = model.config.image_token_id
    texts = [row for row in range(len(embed.weight)) if row != token]
    for place in (ids[0] == token).nonzero().flatten():
        cosines = cosine_similarity(embeddings[0, place][None], embed.weight[texts])
        with torch.no_grad():
            embeddings[0, place] = embed(torch.tensor(texts[int(cosines.argmax())]))
    return embeddings


def generated(family: Family, embeddings: torch.Tensor, tokens: int) -> str:
    """What the model says after these embeddings, its own steps one after another."""
    drawn: list[int] = []
    for _ in range(tokens):
        with torch.no_grad():
            logits = family.model(inputs_embeds=embeddings, use_cache=False).logits[0, -1]
            drawn.append(int(logits.argmax()))
            token = family.model.get_input_embeddings()(torch.tensor([[drawn[-1]]]))
        embeddings = torch.cat([embeddings, token], dim=1)
    text: str = WORDS.decode(drawn, skip_special_tokens=True)
    return text.strip()


def test_the_first_logits_are_those_of_embeddings_mapped_by_hand() -> None:
    family = llava_family()
    tree = mapped_engine(family).running.read_prompt(dict(family.inputs))
    with torch.no_grad():
        expected = family.model(inputs_embeds=by_hand(family)).logits[0, -1]
        unmapped = family.model(**family.inputs).logits[0, -1]
    assert tree.prompt.logits is not None
    assert torch.allclose(tree.prompt.logits, expected, atol=1e-4)
    assert not torch.allclose(expected, unmapped, atol=1e-2)


# llama4 sees chunks, and so goes by the general route.
@pytest.mark.parametrize("name", ["llava", "internvl", "llama4"])
def test_the_answer_goes_on_from_what_was_mapped(name: str) -> None:
    family = FAMILIES[name]()
    if reason := why_not(family):
        pytest.skip(reason)
    opened = mapped_engine(family).begin(dict(family.inputs), Generation(max_tokens=8))
    assert opened.answer().text == generated(family, by_hand(family), 8)


def test_it_is_off_by_default_and_the_fingerprint_tells() -> None:
    model, processor = llava()
    plain = LocalEngine(model, processor, fingerprint="tiny")
    mapped = LocalEngine(model, processor, fingerprint="tiny", alternating_mapping=True)
    assert (plain.fingerprint, mapped.fingerprint) == ("tiny", "tiny+alternating-mapping")
    before = session(plain).answer().text
    assert session(mapped).answer().text != before
    assert session(plain).answer().text == before


def test_it_costs_no_work_of_the_model() -> None:
    model, processor = llava()
    tallies: list[Any] = []
    for on in (False, True):
        with counting() as tally:
            opened = session(LocalEngine(model, processor, alternating_mapping=on))
            opened.prefill("As an AI assistant")
            opened.propose(2, SAMPLING)
        tallies.append({name: tally[name] for name in ("vlm_image_encodes", "input_tokens")})
        assert tally["vlm_image_encodes"] == 1
    assert tallies[0] == tallies[1]


def test_a_text_is_read_as_ever() -> None:
    family = llava_family()
    inputs = {"input_ids": torch.tensor([[BOS, *QUESTION]])}
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    plain = LocalEngine(family.model, Processor()).running.read_prompt(dict(inputs))
    mapped = mapped_engine(family).running.read_prompt(dict(inputs))
    assert torch.equal(plain.prompt.logits, mapped.prompt.logits)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mllama", "qwen3_vl"])
def test_a_picture_that_enters_elsewhere_too_is_refused(name: str) -> None:
    """By cross-attention, or once more in deeper layers: mapped it would be by half."""
    family = FAMILIES[name]()
    opened = mapped_engine(family).begin(dict(family.inputs), Generation(max_tokens=4))
    with pytest.raises(UnsupportedModelError, match="Alternating mapping"):
        opened.answer()
    # What was put on the model for it is gone again.
    unmapped = LocalEngine(family.model, Processor())
    assert unmapped.begin(dict(family.inputs), Generation(max_tokens=4)).answer().text


def test_a_model_without_a_token_for_pictures_is_refused() -> None:
    class Model:
        config = object()

    with pytest.raises(UnsupportedModelError, match="alternating_mapping"):
        image_token(Model())


def test_the_highest_cosine_wins_whatever_the_lengths_and_never_the_pictures_own() -> None:
    vocabulary = torch.tensor([[0.0, 0.0], [9.0, 9.0], [0.1, 0.0], [0.0, 5.0], [1.0, 0.05]])
    pictures = torch.tensor([[2.0, 0.1], [0.0, 0.3]])
    assert nearest_tokens(pictures, vocabulary, image_token=0).tolist() == [4, 3]
    assert nearest_tokens(pictures, vocabulary, image_token=4).tolist() == [2, 3]


def test_a_large_vocabulary_is_searched_by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = torch.Generator().manual_seed(0)
    vocabulary, pictures = (torch.randn(n, 6, generator=noise) for n in (50, 20))
    whole = nearest_tokens(pictures, vocabulary, image_token=7)
    monkeypatch.setattr("eta_guard.engines.local.alternating_mapping.BLOCK", 9)
    assert torch.equal(nearest_tokens(pictures, vocabulary, image_token=7), whole)


@pytest.mark.slow
def test_every_other_family_is_mapped() -> None:
    refused = set()
    for name, build in FAMILIES.items():
        family = build()
        if why_not(family):
            continue
        opened = mapped_engine(family).begin(dict(family.inputs), Generation(max_tokens=2))
        try:
            opened.answer()
        except UnsupportedModelError:
            refused.add(name)
    assert refused == {"mllama", "qwen3_vl"}
