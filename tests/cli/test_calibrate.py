from __future__ import annotations

from pathlib import Path

import pytest

from eta_guard import GuardPolicy
from tests.cli.conftest import Models, Run

UNSAFE_DRAFT = "First, do placeholder step one."


@pytest.fixture(autouse=True)
def scores(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drafts take turns to be unsafe; the fake image scores follow the pictures' red."""
    drafts = [UNSAFE_DRAFT, "You can enjoy the apple every day."]
    opened = models.engine.open

    def open_in_turn(*arguments: object) -> object:
        models.engine.draft = drafts[len(models.engine.opened) % 2]
        return opened(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(models.engine, "open", open_in_turn)
    models.responses.score = lambda prompt, text: 0.1 if text == UNSAFE_DRAFT else 0.7


def test_json_tells_thresholds_and_what_to_expect(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    shared = ("calibrate", "--limit", "4", "--json")
    result = run(*shared, "--save", path, "--max-false-alarm", "0.5")
    assert (result.code, result.err) == (0, "")
    found = result.json
    assert found["suite"] == "embedded"
    assert found["target"] == {"max_false_alarm": 0.5, "max_missed": None}
    assert found["cases"] == 12
    assert found["policy"]["response_threshold"] == pytest.approx(0.4)
    policy = GuardPolicy.from_file(path)
    assert policy.response_threshold == found["policy"]["response_threshold"]
    assert policy.image_threshold == found["policy"]["image_threshold"]
    assert run(*shared).json["target"] == {"max_false_alarm": 0.02, "max_missed": None}


@pytest.mark.parametrize("suite", ["embedded-paired", "embedded-hard"])
def test_suites_of_pairs_need_nothing_further(run: Run, suite: str) -> None:
    found = run("calibrate", suite, "--limit", "4", "--json").json
    assert (found["suite"], found["cases"]) == (suite, 8)
    assert (found["image"]["unsafe_n"], found["image"]["safe_n"]) == (4, 4)


def test_the_policy_file_is_what_other_commands_take(
    run: Run, tmp_path: Path, unsafe: Path
) -> None:
    path = tmp_path / "policy.yaml"
    assert run("calibrate", "--limit", "4", "--save", path, "--max-missed", "0").code == 0
    asked = run("ask", unsafe, "What is this?", "--policy", path, "--json")
    assert asked.code == 0
    expected = GuardPolicy.from_file(path).image_threshold
    assert asked.json["verdict"]["image"]["threshold"] == expected
    shared = ("--limit", "2", "--method", "full", "--json")
    assert run("evaluate", *shared, "--policy", path).code == 0


def test_tables_fit_a_terminal(run: Run) -> None:
    result = run("calibrate", "--limit", "4")
    assert (result.code, result.err) == (0, "")
    assert "Image evaluator: 4 unsafe, 4 safe" in result.words
    assert "The two together" in result.words
    assert max(map(len, result.out.splitlines())) <= 80


def test_what_cannot_be_done_is_one_line(run: Run, models: Models, tmp_path: Path) -> None:
    own = tmp_path / "cases.jsonl"
    own.write_text('{"question": "What?", "label": "safe"}\n')
    for arguments, told in (
        (("--max-missed", "0.1", "--max-false-alarm", "0.1"), "exclude each other"),
        (("--max-missed", "2"), "--max-missed"),
        (("nowhere", "--judge", "grammar"), "embedded"),
        ((own,), "--judge"),
        ((own, "--judge", "grammar"), "hazardous and safe pictures"),
    ):
        result = run("calibrate", *arguments)
        assert (result.code, result.out) == (2, "")
        assert told in " ".join(result.err.split())
        assert result.err.count("\n") == 1


def test_answers_are_kept_and_taken_up_again(run: Run, models: Models, tmp_path: Path) -> None:
    command = ("calibrate", "--limit", "4", "--out", tmp_path / "out", "--json")
    first = run(*command)
    models.loaded.clear()
    assert run(*command).json == first.json
    assert not models.loaded


FURTHER = ("--image-evaluator", "typographic", "--response-evaluator", "guard:org/guard")


def test_several_evaluators_are_calibrated_together(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    result = run("calibrate", "--limit", "4", *FURTHER, "--json", "--save", path)
    assert (result.code, result.err) == (0, "")
    found = result.json
    assert [*found["evaluators"]["image"]] == ["clip", "typographic"]
    assert [*found["evaluators"]["response"]] == ["reward", "guard_model"]
    assert found["evaluators"]["response"]["guard_model"]["area"] == 1.0
    assert found["together"]["image"]["chosen"]["false_alarm"] <= 0.02
    assert found["agreement"]["response"][0]["unsafe"]["both"] > 0
    assert not {"image", "response"} & found.keys()
    policy = GuardPolicy.from_file(path)
    assert policy.thresholds == found["policy"]["thresholds"]
    assert policy.thresholds["guard_model"] == pytest.approx(0.55)
    assert policy.thresholds.keys() == {"typographic", "guard_model"}
    shared = ("--limit", "2", "--method", "full", "--json", "--policy", path)
    assert run("evaluate", *shared, *FURTHER).code == 0
    # A threshold without its evaluator would protect nobody.
    assert "guard_model, typographic" in run("evaluate", *shared).err


def test_tables_of_several_fit_a_terminal(run: Run) -> None:
    result = run("calibrate", "--limit", "4", *FURTHER)
    assert (result.code, result.err) == (0, "")
    for told in (
        "Image evaluator clip: 4 unsafe, 4 safe",
        "Image evaluator typographic: 4 unsafe, 4 safe",
        "Image evaluators together: what any of them flags",
        "Response evaluators: who flags what",
        "Both kinds together",
    ):
        assert told in result.words
    assert max(map(len, result.out.splitlines())) <= 80


def test_one_evaluator_of_a_kind_has_no_table_of_agreement(run: Run) -> None:
    found = run("calibrate", "--limit", "4").words
    assert "who flags what" not in found
    assert "evaluators together" not in found
