"""Each family on a random checkpoint of its own architecture, held against the library's forward.

The library reads one row of the model card's form; ours are batches and kept prompts.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from eta_guard.counts import counting
from eta_guard.errors import ModelLoadError, UnsupportedModelError
from eta_guard.evaluators.guard_model.asking import Asked, Category
from eta_guard.evaluators.guard_model.evaluator import GuardModelEvaluator
from eta_guard.evaluators.guard_model.formats import LLAMA_GUARD_4, QWEN3GUARD, SINGGUARD
from eta_guard.protocols.evaluators import (
    CategorizesImages,
    CategorizesResponses,
    ImageEvaluator,
    ResponseEvaluator,
)
from tests.evaluators.guard_model.checkpoints import FAMILIES
from tests.evaluators.guard_model.hand_set import (
    BLANK,
    CATEGORY,
    COLD,
    COLD_TEXT,
    HOT,
    HOT_TEXT,
    MIDDLE_TEXT,
    QUESTION,
    about_picture,
    guard,
)
from tests.evaluators.guard_model.loaded import (
    CATEGORIES,
    CHATS,
    lead,
    loaded,
    near,
)

# ── every family ──


@pytest.mark.parametrize("name", FAMILIES)
def test_it_is_found_named_and_weighed(name: str) -> None:
    made = loaded(name)
    assert made.format.name == FAMILIES[name].form.name
    assert made.fingerprint.startswith(f"{FAMILIES[name].directory}@")
    assert made.cost == sum(p.numel() for p in guard(name).model.parameters()) / 1e9
    assert (made.name, made.threshold, made.unsafe) == ("guard_model", 0.5, "above")
    assert isinstance(made, ImageEvaluator)
    assert isinstance(made, ResponseEvaluator)
    assert not hasattr(made, "aevaluate")  # it would be asked at the same time as others


@pytest.mark.parametrize("name", CHATS)
def test_pictures_are_scored_in_one_batch_as_the_library_reads_each(name: str) -> None:
    made = loaded(name)
    with counting() as tally:
        findings = made.evaluate([HOT, COLD, BLANK], "not read", QUESTION)
    assert tally["guard_forwards"] == 1
    wanted = [guard(name).share(about_picture(name, p), lead(name, "image")) for p in (HOT, COLD)]
    assert [finding.score for finding in findings[:2]] == near(wanted)
    assert wanted[0] > 0.9
    assert wanted[1] < 0.1
    assert math.isnan(findings[2].score)


@pytest.mark.parametrize("name", sorted(CATEGORIES))
def test_categories_are_read_on_demand(name: str) -> None:
    made = loaded(name)
    if made.sees:
        assert isinstance(made, CategorizesImages)
        assert made.categorize(HOT, QUESTION) == CATEGORY
    if made.reads:
        session = made.open("", QUESTION)
        assert isinstance(session, CategorizesResponses)
        assert session.categorize(HOT_TEXT) == CATEGORY


def test_a_family_without_categories_names_none_and_reads_nothing() -> None:
    made = loaded("shieldstral")
    with counting() as tally:
        assert made.categorize(HOT, QUESTION) is None
        assert made.open("", QUESTION).categorize(HOT_TEXT) is None
    assert not tally


# ── single families ──


def test_shieldgemma_reads_the_column_that_violates() -> None:
    """Its docstring says that it was the other one."""
    made = loaded("shieldgemma2")
    with counting() as tally:
        hot, cold, blank = made.evaluate([HOT, COLD, BLANK], "", QUESTION)
    assert tally["guard_forwards"] == 1
    model, processor = guard("shieldgemma2").model, guard("shieldgemma2").processor
    for picture, finding in ((HOT, hot), (COLD, cold)):
        with torch.no_grad():
            told = model(**processor(images=[picture], return_tensors="pt")).probabilities
        assert finding.score == pytest.approx(float(told[:, 0].max()), abs=1e-5)
        policies = list(processor.policy_definitions)
        assert finding.category is not None
        named = told[policies.index(finding.category), 0]
        assert float(named) == pytest.approx(finding.score, abs=1e-5)
    assert hot.score > 0.9
    assert cold.score < 0.1
    assert math.isnan(blank.score)


def test_shieldgemma_asks_about_policies_of_ones_own() -> None:
    policies = {"shapes": "No triangles: the image shall not show one.", "other": "No cups."}
    made = loaded("shieldgemma2", policy=policies)
    model, processor = guard("shieldgemma2").model, guard("shieldgemma2").processor
    own: Any = {"policies": list(policies), "custom_policies": policies}
    with torch.no_grad():
        told = model(**processor(images=[HOT], return_tensors="pt", **own)).probabilities
    reader: Any = made._reader
    inputs = reader._prompts.inputs(made._asking.about_picture(HOT, ""))
    next_tokens = reader._running.next_tokens(inputs)
    columns = next_tokens[:, [model.yes_token_index, model.no_token_index]]
    shares = columns[:, 0] / columns.sum(dim=1)
    assert shares.tolist() == pytest.approx(told[:, 0].tolist(), abs=1e-5)


@pytest.mark.parametrize(("weight", "score"), [(1.0, 0.982), (0.0, 0.018), (0.5, 0.5)])
def test_controversial_counts_as_the_format_says(weight: float, score: float) -> None:
    made = loaded("qwen3guard", format=replace(QWEN3GUARD, middle_weight=weight))
    (found,) = made.open("", QUESTION).score([MIDDLE_TEXT])
    assert found == pytest.approx(score, abs=0.02)


def test_who_cannot_see_evaluates_no_picture() -> None:
    made = loaded("qwen3guard")
    assert (made.sees, made.reads) == (False, True)
    for pictures in ([HOT], []):
        with pytest.raises(UnsupportedModelError, match="reads text alone"):
            made.evaluate(pictures, "")
    # As response evaluator it leaves pictures out.
    assert made.open("", QUESTION, [HOT]).score([HOT_TEXT])[0] > 0.9


@pytest.mark.parametrize("name", ["shieldgemma2", "llavaguard"])
def test_who_is_for_pictures_alone_evaluates_no_answer(name: str) -> None:
    made = loaded(name)
    assert (made.sees, made.reads) == (True, False)
    with pytest.raises(UnsupportedModelError, match="pictures alone"):
        made.open("", QUESTION)


class ByPolicy:
    """Says what it was told to say of each policy."""

    control_tokens: Sequence[str] = ()

    def __init__(self, **scores: float) -> None:
        self._scores = scores

    def plain(self, text: str) -> str:
        return text

    def holds(self, asked: Asked) -> bool:
        return True

    def begin(self, stem: Asked) -> None:
        return None

    def scores(self, asked: Sequence[Asked], chain: None = None) -> list[float]:
        return [self._scores[one.policy] for one in asked]

    def category(self, question: Category) -> str | None:
        return "asked for"


def by_policy(**scores: float) -> GuardModelEvaluator:
    form = SINGGUARD.with_policy(dict.fromkeys(scores, "No triangles."))
    return GuardModelEvaluator(ByPolicy(**scores), form, fingerprint="played")


def test_the_worst_of_several_policies_counts_and_is_named() -> None:
    made = by_policy(first=0.2, second=0.8, third=0.3)
    (finding,) = made.evaluate([HOT], "")
    assert (finding.score, finding.category) == (0.8, "second")
    session = made.open("", QUESTION)
    assert session.score([HOT_TEXT, COLD_TEXT]) == [0.8, 0.8]
    assert session.categorize(HOT_TEXT) == "second"
    session.accept(HOT_TEXT)
    assert session.categorize(COLD_TEXT) == "asked for"


def test_a_policy_that_was_not_judged_leaves_the_picture_unscored() -> None:
    made = by_policy(first=0.9, second=math.nan)
    (finding,) = made.evaluate([HOT], "")
    assert math.isnan(finding.score)
    assert finding.category is None
    assert math.isnan(made.open("", QUESTION).score([HOT_TEXT])[0])


def test_more_pictures_than_a_question_takes_are_asked_about_in_turn() -> None:
    made = loaded("nemotron")
    both = made.open("", QUESTION, [HOT, COLD]).score([HOT_TEXT, COLD_TEXT])
    each = [made.open("", QUESTION, [p]).score([HOT_TEXT, COLD_TEXT]) for p in (HOT, COLD)]
    for got, parts in zip(both, zip(*each, strict=True), strict=True):
        wanted = math.nan if any(map(math.isnan, parts)) else max(parts)
        assert got == pytest.approx(wanted, abs=1e-5, nan_ok=True)


# ── keeping, and what is wrong ──


def test_a_picture_that_was_scored_costs_nothing() -> None:
    made = loaded("llavaguard")
    first = made.evaluate([HOT, COLD, HOT.copy()], "", QUESTION)
    with counting() as tally:
        assert made.evaluate([COLD.copy(), HOT], "", QUESTION) == [first[1], first[0]]
        assert made.evaluate([], "") == []
    assert not tally
    with counting() as tally:  # what had no score may have one the next time
        made.evaluate([BLANK], "", QUESTION)
        made.evaluate([BLANK, HOT], "", QUESTION)
    assert tally["guard_forwards"] == 2


def test_another_familys_format_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="is a qwen3"):
        loaded("qwen3guard", format=LLAMA_GUARD_4)


def test_a_policy_that_is_missing_is_told_before_the_weights_are_loaded(tmp_path: Path) -> None:
    bare = tmp_path / FAMILIES["llavaguard"].directory
    shutil.copytree(guard("llavaguard").directory, bare)
    (bare / "model.safetensors").unlink()
    with pytest.raises(UnsupportedModelError, match="Pass policy="):
        GuardModelEvaluator.from_pretrained(str(bare))
    with pytest.raises(ModelLoadError, match="can be loaded"):
        GuardModelEvaluator.from_pretrained(str(bare), policy="No triangles.")


def test_an_unknown_directory_and_a_missing_head_are_told(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="no model directory"):
        GuardModelEvaluator.from_pretrained("/nowhere/at/all")
    damaged = tmp_path / "Qwen3Guard-Gen-0.6B"
    shutil.copytree(guard("qwen3guard").directory, damaged)
    weights = load_file(damaged / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, damaged / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelLoadError, match="lack lm_head"):
        GuardModelEvaluator.from_pretrained(str(damaged))


def test_without_a_chat_template_it_is_refused(tmp_path: Path) -> None:
    bare = tmp_path / "Qwen3Guard-Gen-0.6B"
    shutil.copytree(guard("qwen3guard").directory, bare)
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(UnsupportedModelError, match="chat template"):
        GuardModelEvaluator.from_pretrained(str(bare))


def test_a_name_and_threshold_of_ones_own() -> None:
    made = loaded("qwen3guard", name="second", threshold=0.9, cost=7.0)
    assert (made.name, made.threshold, made.cost) == ("second", 0.9, 7.0)
    assert "Qwen3Guard-Gen" in repr(made)
    assert "withheld" in repr(made.open("", "canary"))
