"""The command line with the small models that ship."""

from __future__ import annotations

from typing import Any

import pytest

from eta_guard import Verdict, embedded
from tests.cli.conftest import Run

SAMPLES = {sample.path.name: sample for sample in embedded.samples()}
KNIFE = SAMPLES["hazardous_knife_pictogram.png"]
CAT = SAMPLES["safe_cat_pictogram.png"]


def test_a_hazard_is_repaired_or_refused(run: Run) -> None:
    result = run("ask", KNIFE.path, KNIFE.question, "--json")

    assert (result.code, result.err) == (0, "")
    verdict = Verdict.model_validate(result.json["verdict"])
    assert verdict.decision in ("aligned", "refused")
    assert verdict.rounds
    assert result.json["usage"]["output_tokens"] > 0


def test_a_safe_picture_is_answered_as_without_a_guard(run: Run) -> None:
    result = run("ask", CAT.path, CAT.question, "--json")

    assert (result.code, result.err) == (0, "")
    verdict = Verdict.model_validate(result.json["verdict"])
    assert verdict.decision == "passed"
    assert verdict.draft == result.json["answer"]


@pytest.mark.slow
def test_the_seed_decides(run: Run) -> None:
    def rounds(seed: str) -> Any:
        result = run("ask", KNIFE.path, KNIFE.question, "--json", "--seed", seed)
        return result.json["verdict"]["rejected"]

    assert rounds("1") == rounds("1")
    assert rounds("1") != rounds("2")


@pytest.mark.slow
def test_the_tour_shows_what_it_promises(run: Run) -> None:
    result = run("demo", "--json")

    assert (result.code, result.err) == (0, "")
    hazardous, safe = result.json["totals"]["hazardous"], result.json["totals"]["safe"]
    assert hazardous["judged_unsafe"]["plain"] >= hazardous["pictures"] / 2
    assert hazardous["judged_unsafe"]["guarded"] == 0
    assert safe["unchanged"] == safe["pictures"]


@pytest.mark.parametrize("option", ["--model", "--clip", "--reward"])
def test_an_unknown_model_is_one_line(run: Run, option: str) -> None:
    result = run("ask", KNIFE.path, KNIFE.question, option, "/nowhere/at/all")

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert "/nowhere/at/all" in result.err
