from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from eta_guard import EngineError, Finding, GuardPolicy, Region, Verdict
from eta_guard.cli.words import what_happened
from eta_guard.decisions import Decision
from tests.cli.conftest import Models, Run
from tests.fakes import DRAFT, FakeImages, FakeResponses, candidate, scoring


def test_json_is_all_that_stands_on_stdout(run: Run, models: Models, unsafe: Path) -> None:
    result = run("ask", unsafe, "What is this?", "--json")

    assert (result.code, result.err) == (0, "")
    assert set(result.json) == {"answer", "verdict", "usage"}
    assert result.json["answer"].startswith("As an AI assistant")
    verdict = Verdict.model_validate(result.json["verdict"])
    assert (verdict.decision, verdict.draft) == ("aligned", DRAFT)
    assert result.json["usage"]["total_tokens"] >= 0


def test_the_way_of_an_unsafe_request(run: Run, models: Models, unsafe: Path) -> None:
    models.images.alike = lambda text: 0.25
    models.responses.score = scoring(
        draft=-0.5, final=0.7, candidates=lambda text: 0.9 if text.endswith("candidate 3.") else 0.2
    )

    result = run("ask", unsafe, "What is this?")

    assert (result.code, result.err) == (0, "")
    assert "The image is ✗ unsafe: score 0.800 ≥ threshold 0.16" in result.words
    assert DRAFT in result.words
    assert "The plain answer is ✗ unsafe: score -0.500 ≤ threshold 0.06" in result.words
    assert "The repaired answer is ✓ safe: score 0.700 > threshold 0.06" in result.words
    for sentence in (1, 2, 3):
        assert f"Sentence {sentence}" in result.out
    assert "1 0.200 – 0.200 sentence 1 of candidate 0." in result.words
    assert "▶ 4 pick 0.900 – 0.900 sentence 1 of candidate 3." in result.words
    assert "▶ 4 pick 0.900 0.250 1.025 sentence 2 of candidate 3." in result.words
    assert "sentence 3 of candidate 3. (ends)" in result.words
    assert "↻ aligned" in result.words
    route = "pre_evaluate → generate → post_evaluate → prefix_align → best_of_n ×3 → post_evaluate"
    assert f"{route} → respond" in result.words


def test_the_way_of_a_safe_image(run: Run, models: Models, safe: Path) -> None:
    result = run("ask", safe, "What is this?")

    assert "The image is ✓ safe: score 0.000 < threshold 0.16" in result.words
    assert "goes out unchanged" in result.words
    assert "✓ passed" in result.words
    assert "pre_evaluate → generate → respond" in result.words
    assert models.responses.scored == []


def test_the_regions_are_drawn_on_the_picture(
    run: Run, models: Models, unsafe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(images: Any, prompt: str, question: str = "") -> list[Finding]:
        return [Finding(0.8, "thing", (Region(0.0, 0.5, 0.5, 1.0, 0.82),)) for _ in images]

    monkeypatch.setattr(models.images, "evaluate", evaluate)
    result = run("ask", unsafe, "What is this?", "--out", tmp_path / "drawn.png")
    assert "at 0–50 % of the width, 50–100 % of the height" in result.words
    assert "with 1 region drawn." in result.words
    with Image.open(unsafe) as plain, Image.open(tmp_path / "drawn.png") as drawn:
        box = ImageChops.difference(plain.convert("RGB"), drawn).getbbox()
        assert box is not None
        assert (box[0], box[3]) == (0, plain.height)  # the lower left quarter
        assert box[2] <= plain.width / 2 < plain.width
        assert box[1] >= plain.height / 2 - 1


def test_of_a_safe_picture_no_region_is_drawn(
    run: Run, models: Models, safe: Path, tmp_path: Path
) -> None:
    result = run("ask", safe, "What is this?", "--out", tmp_path / "drawn.png", "--json")
    assert (result.code, set(result.json)) == (0, {"answer", "verdict", "usage"})
    with Image.open(safe) as plain, Image.open(tmp_path / "drawn.png") as drawn:
        assert plain.convert("RGB").tobytes() == drawn.tobytes()


@pytest.mark.parametrize("name", ["nowhere/drawn.png", "drawn.nothing"])
def test_a_picture_that_cannot_be_written_is_told(
    run: Run, models: Models, unsafe: Path, tmp_path: Path, name: str
) -> None:
    result = run("ask", unsafe, "What is this?", "--out", tmp_path / name)
    assert result.code == 2
    assert "cannot be written" in result.err
    assert "↻ aligned" in result.words  # what was asked for is shown all the same


def test_a_refusal_says_why(run: Run, models: Models, unsafe: Path) -> None:
    models.responses.score = scoring(draft=-1.0, final=-1.0)

    result = run("ask", unsafe, "What is this?")

    assert "⊘ refused" in result.words
    assert "the repaired answer is still unsafe" in result.words


def test_what_is_returned_unrepaired_is_not_called_safe(
    run: Run, models: Models, unsafe: Path
) -> None:
    models.responses.score = scoring(draft=-1.0, final=-1.0)

    result = run("ask", unsafe, "What is this?", "--set", "on_unrepaired=return")

    assert "It is still not safe, and goes out because the policy says so." in result.words


def test_a_failing_evaluator_is_a_line_and_no_traceback(
    run: Run, models: Models, unsafe: Path
) -> None:
    models.images = FakeImages(failure=RuntimeError("two\nlines"))

    result = run("ask", unsafe, "What is this?")

    assert result.code == 0
    assert result.err.startswith("warning: The image evaluator clip failed with RuntimeError.")
    assert "Traceback" not in result.err
    assert "? unscored: no score (RuntimeError)" in result.words
    assert "not known to be safe" in result.words


def test_search_off(run: Run, models: Models, unsafe: Path) -> None:
    result = run("ask", unsafe, "What is this?", "--set", "search=false")

    assert "and the model continues it." in result.words
    assert "best_of_n" not in result.out


def test_the_way_of_a_picture_that_is_covered(run: Run, models: Models, unsafe: Path) -> None:
    models.engine.continuation = "What is left."
    result = run("ask", unsafe, "What is this?", "--set", "aligner=mask")

    assert "pre_evaluate → generate → post_evaluate → mask_align → post_evaluate" in result.words
    assert "Covered of image 1: all of it, since clip does not say where" in result.words
    assert "The answer to what is left is ✓ safe: score 1.000" in result.words
    assert "does not see what is unsafe in the picture." in result.words
    assert result.words.count("What is left.") == 2  # where it was drawn, and as the reply


def test_a_covered_picture_whose_answer_is_unsafe_is_searched_for(
    run: Run, models: Models, unsafe: Path
) -> None:
    models.engine.continuation = "What is left."
    reward = models.responses.score
    models.responses.score = lambda prompt, text: (
        -1.0 if text == "What is left." else reward(prompt, text)
    )
    result = run("ask", unsafe, "What is this?", "--set", "aligner=mask+eta")

    assert "The answer to what is left is ✗ unsafe: score -1.000" in result.words
    assert "The repaired answer is ✓ safe: score 1.000" in result.words
    assert "the answer to the covered picture is not safe either, and a new" in result.words
    assert "grows by 3 sentences" in result.words
    hidden = run(
        *("ask", unsafe, "What is this?", "--set", "aligner=mask+eta"),
        *("--set", "record_rejected=false"),
    )
    assert "What is left." not in hidden.words


def test_observe(run: Run, models: Models, unsafe: Path) -> None:
    result = run("ask", unsafe, "What is this?", "--set", "mode=observe")

    assert "○ observed" in result.words


def test_a_stopped_draft_is_said_to_be_one(run: Run, models: Models, unsafe: Path) -> None:
    models.engine.draft = "First a canary. Then all else."
    models.responses.score = lambda prompt, text: 1.0 if text.startswith("As an AI") else -1.0

    result = run("ask", unsafe, "What is this?", "--set", "draft_stop_margin=0.1")

    assert "unsafe: score -1.000 ≤ threshold 0.06, stopped after sentence 1" in result.words
    assert "First a canary. Then" in result.words
    assert "all else" not in result.words


def test_what_is_withheld_can_be_left_out(run: Run, models: Models, unsafe: Path) -> None:
    result = run("ask", unsafe, "What is this?", "--set", "record_rejected=false")

    assert DRAFT not in result.words
    assert "The plain answer is not recorded." in result.words
    assert "▶ 1 pick" in result.words
    assert "(not recorded)" in result.words


def test_options_reach_policy_and_models(
    run: Run, models: Models, unsafe: Path, tmp_path: Path
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("candidates: 3\nimage_threshold: 0.5\nseed: 4\n")

    result = run(
        *("ask", unsafe, "What is this?", "--json", "--policy", file, "--seed", "9"),
        *("--set", "candidates=2", "--set", "prefix=As an AI:", "--assembly", "paper"),
        *("--model", "m", "--clip", "c", "--reward", "r", "--device", "cpu", "--dtype", "float16"),
    )

    verdict = Verdict.model_validate(result.json["verdict"])
    assert verdict.image is not None
    assert verdict.image.threshold == 0.5
    assert len(verdict.rounds[0].candidates) == 2
    assert result.json["answer"].startswith("As an AI: sentence 1")
    assert models.engine.opened[0][1].seed == 9
    (loaded,) = models.loaded
    assert str(loaded.pop("dtype")) == "torch.float16"
    assert loaded.pop("policy").image_threshold == 0.5
    asked = {"chat_model": "m", "clip": "c", "reward": "r", "device": "cpu"}
    none = {"image_evaluators": (), "response_evaluators": ()}
    assert loaded == {"assembly": "paper", **asked, **none}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("alpha=0.5", 0.5),
        ("alpha=1e-3", 1e-3),
        ("search=no", False),
        ("prefix=", ""),
        ("prefix='No'", "No"),
        ("refusal_message=No: never", "No: never"),
        ("refusal_message=[oops", "[oops"),
        ("overridable=[seed, alpha]", frozenset({"seed", "alpha"})),
        ("thresholds={ocr: 0.5, clip: 0.2}", {"ocr": 0.5, "clip": 0.2}),
    ],
)
def test_values_are_yaml_scalars(text: str, value: object) -> None:
    from eta_guard.cli.options import read_policy

    assert getattr(read_policy(None, [text], None), text.partition("=")[0]) == value


def test_no_line_is_wider_than_a_narrow_terminal(
    run: Run, models: Models, unsafe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    models.images.alike = lambda text: 0.25

    result = run("ask", unsafe, "What is this thing that I found in the drawer of my kitchen? " * 3)

    assert max(map(len, result.out.splitlines())) <= 60
    assert "▶ 1 pick utility 1.125 (reward 1.000, similarity 0.250)" in result.words


@pytest.mark.parametrize("variables", [{}, {"FORCE_COLOR": "1", "NO_COLOR": "1"}])
def test_no_colour_where_none_is_wanted(
    run: Run,
    models: Models,
    unsafe: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    result = run("ask", unsafe, "What is this?")

    assert not re.search(r"\x1b\[[0-9;]*[349][0-9]", result.out)  # bold and dim are no colours
    assert variables or "\x1b" not in result.out


def test_a_terminal_with_colours_shows_the_picture(
    run: Run, models: Models, unsafe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"FORCE_COLOR": "1", "COLORTERM": "truecolor", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)

    result = run("ask", unsafe, "What is this?")

    assert "▀" in result.out


def test_an_answer_cannot_steer_the_terminal(run: Run, models: Models, safe: Path) -> None:
    models.engine.draft = "\x1b[2Jgone [red]markup[/red] \x07"

    result = run("ask", safe, "What is this?")

    assert "\x1b" not in result.out
    assert "�[2Jgone [red]markup[/red] �" in result.words


def test_json_is_ascii_and_keeps_the_text(run: Run, models: Models, safe: Path) -> None:
    models.engine.draft = "Ein Größenvergleich: 猫 \x1b"

    result = run("ask", safe, "What is this?", "--json")

    assert result.out.isascii()
    assert result.json["answer"] == "Ein Größenvergleich: 猫 \x1b"


def test_a_score_that_rounds_onto_its_threshold_is_shown_in_full(
    run: Run, models: Models, unsafe: Path
) -> None:
    models.responses = FakeResponses(scoring(draft=0.06, final=0.0600004))

    result = run("ask", unsafe, "What is this?")

    assert "The plain answer is ✗ unsafe: score 0.060 ≤ threshold 0.06" in result.words
    assert "score 0.0600004 > threshold 0.06" in result.words


def test_a_pick_by_a_hair_is_seen_to_be_one(run: Run, models: Models, unsafe: Path) -> None:
    models.responses.score = scoring(
        candidates=lambda text: 0.31416 if text.endswith("candidate 2.") else 0.31411
    )

    result = run("ask", unsafe, "What is this?")

    assert "1 0.3141 – 0.3141 sentence" in result.words
    assert "▶ 3 pick 0.3142 – 0.3142 sentence" in result.words


def test_a_round_without_a_pick(run: Run, models: Models, unsafe: Path) -> None:
    models.responses.score = scoring(candidates=lambda text: float("nan"))

    result = run("ask", unsafe, "What is this?")

    assert "1 – – –" in result.words
    assert "pick" not in result.out
    assert "no candidate could be scored" in result.words


def test_a_candidate_that_ends_at_once(run: Run, models: Models, unsafe: Path) -> None:
    models.engine.sentences = lambda number, n: [
        candidate(" Said.", ends=True),
        candidate("", ends=True),
    ]

    result = run("ask", unsafe, "What is this?", "--set", "candidates=2")

    assert "2 1.000 – 1.000 (stop here)" in result.words


def test_an_engine_that_fails_is_one_line(run: Run, models: Models, safe: Path) -> None:
    models.engine.draft = EngineError("The engine is out of memory.", hint="Free some.")

    result = run("ask", safe, "What is this?")

    assert (result.code, result.out) == (2, "")
    assert result.err == "error: The engine is out of memory. Free some.\n"


def test_further_evaluators_are_asked_and_told_of(run: Run, models: Models, unsafe: Path) -> None:
    further = ("--image-evaluator", "typographic", "--response-evaluator", "guard:org/guard")
    shared = ("ask", unsafe, "What is this?", "--set", "short_circuit=false")
    result = run(*shared, *further, "--json")
    assert (result.code, result.err) == (0, "")
    verdict = Verdict.model_validate(result.json["verdict"])
    assert verdict.image is not None
    assert [found.evaluator for found in verdict.image.findings] == ["clip", "typographic"]
    assert verdict.response is not None
    assert [found.evaluator for found in verdict.response.findings] == ["reward", "guard_model"]
    asked = models.loaded[0]
    assert list(asked["response_evaluators"]) == ["guard:org/guard"]
    assert asked["policy"].short_circuit is False
    assert "The image is ✗ unsafe, by clip" in run(*shared, *further).words


@pytest.mark.parametrize("decision", ["passed", "aligned", "observed"])
def test_an_answer_that_ends_early_says_why(decision: Decision) -> None:
    early = Verdict(decision=decision, route=(), reason="cut short by the timeout of 5 s")
    told = what_happened(early, GuardPolicy())
    assert told.endswith("It ends early: cut short by the timeout of 5 s.")
    assert "early" not in what_happened(early.model_copy(update={"reason": None}), GuardPolicy())
