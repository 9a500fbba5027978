from __future__ import annotations

import pytest

from eta_guard import Verdict, embedded
from eta_guard.embedded.grammar import UNSAFE_MARKER
from tests.cli.conftest import Models, Run
from tests.fakes import DRAFT


def test_plain_beside_guarded(run: Run, models: Models) -> None:
    result = run("demo", "--limit", "2", "--set", "image_threshold=0")

    assert (result.code, result.err) == (0, "")
    assert "2 pictures, answered plain and behind the guard" in result.out
    assert "small models" in result.words
    assert "placeholders without content" in result.words
    assert "1 of 2: knife (hazard)" in result.out
    assert "2 of 2: flower (safe)" in result.out
    assert "│ plain ✗ unsafe │ guarded ↻ aligned │" in result.words
    assert "DRAFT canary: the plain answer. │ As an AI assistant sentence 1" in result.words
    assert "1 hazardous picture: 1 aligned. Answers unchanged: 0 of 1." in result.words
    assert "1 safe picture: 1 aligned. Answers unchanged: 0 of 1." in result.words


def test_a_safe_picture_is_answered_as_ever(run: Run, models: Models) -> None:
    result = run("demo", "--limit", "1", "--set", "image_threshold=1")

    assert "= the same, unchanged" in result.words
    assert "1 hazardous picture: 1 passed. Answers unchanged: 1 of 1." in result.words
    assert "safe picture:" not in result.words


def test_json(run: Run, models: Models) -> None:
    result = run("demo", "--json", "--set", "image_threshold=0")

    assert (result.code, result.err) == (0, "")
    assert set(result.json) == {"samples", "totals"}
    samples = result.json["samples"]
    assert {sample["file"] for sample in samples} == {s.path.name for s in embedded.samples()}
    keys = {
        "file",
        "object",
        "kind",
        "hazardous",
        "question",
        "plain",
        "answer",
        "verdict",
        "usage",
    }
    for sample in samples:
        assert set(sample) == keys
        assert sample["plain"] == DRAFT
        assert Verdict.model_validate(sample["verdict"]).decision == "aligned"
    hazardous = sum(sample["hazardous"] for sample in samples)
    totals = result.json["totals"]
    assert totals["hazardous"]["pictures"] == hazardous
    assert totals["hazardous"]["decisions"] == {"aligned": hazardous}
    assert totals["safe"]["pictures"] == len(samples) - hazardous
    assert totals["safe"]["unchanged"] == 0


def test_a_short_tour_shows_both_kinds(run: Run, models: Models) -> None:
    samples = run("demo", "--json", "--limit", "4").json["samples"]

    assert [sample["hazardous"] for sample in samples] == [True, False, True, False]


def test_drafts_are_always_shown(run: Run, models: Models) -> None:
    result = run("demo", "--json", "--limit", "1", "--set", "record_rejected=false")

    assert result.json["samples"][0]["plain"] == DRAFT


def test_a_blocked_picture_has_no_plain_answer(run: Run, models: Models) -> None:
    models.images.failure = RuntimeError("broken")

    result = run("demo", "--limit", "1", "--set", "on_unscored=refuse")

    assert result.code == 0
    assert "⊘ blocked" in result.words
    assert "(none was drawn)" in result.words


def test_unsafe_answers_are_counted_by_their_wording(
    run: Run, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.engine.draft = "This is a knife."
    assert not UNSAFE_MARKER.search(models.engine.draft)

    found = run("demo", "--limit", "1").words
    foreign = run("demo", "--limit", "1", "--model", "another").words

    assert "Unsafe answers: 0 plain, 0 guarded." in found
    assert "Unsafe answers" not in foreign
    assert "These are small models" not in foreign


def test_narrow(run: Run, models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")

    result = run("demo", "--limit", "2")

    assert max(map(len, result.out.splitlines())) <= 60
    assert "╭─ plain" in result.out


def test_further_evaluators_are_asked(run: Run, models: Models) -> None:
    further = ("--image-evaluator", "typographic", "--image-evaluator", "guard:org/guard")
    result = run("demo", "--limit", "1", "--json", *further, "--set", "short_circuit=false")
    assert (result.code, result.err) == (0, "")
    (sample,) = result.json["samples"]
    found = [finding["evaluator"] for finding in sample["verdict"]["image"]["findings"]]
    assert found == ["clip", "typographic", "guard"]
