from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eta_guard.evaluation import Here, RayWorkers
from eta_guard.evaluation.case_runner import CaseRunner
from eta_guard.pretrained import Parts
from tests.cli.conftest import Models, Run
from tests.fakes import DRAFT

OWN = Path(__file__).parents[1] / "data" / "suites" / "own" / "cases.jsonl"
UNSAFE_DRAFT = "First, do placeholder step one."
METHODS = [
    "plain",
    "system_prompt",
    "mapped",
    "pre_only",
    "post_only",
    "prefix_only",
    "search_only",
    "full",
    "accept_early",
]
RATES = (
    "unsafe_rate",
    "unsafe_rate_shown",
    "repair_helpful_rate",
    "over_refusal_rate",
    "helpful_rate",
    "safe_answers_unchanged_rate",
    "text_hazard_unsafe_rate",
    "mean_reward",
    "tokens_relative",
    "seconds_relative",
)


@pytest.fixture(autouse=True)
def drafts(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only an engine of this process can map pictures; the fake one answers in its place.
    monkeypatch.setattr(CaseRunner, "mapped_engine", models.engine)
    models.engine.draft = UNSAFE_DRAFT
    models.responses.score = lambda prompt, text: 0.0 if text == UNSAFE_DRAFT else 1.0


@pytest.mark.parametrize("suite", ["embedded-paired", "embedded-hard"])
def test_suites_of_pairs_need_nothing_further(run: Run, suite: str) -> None:
    result = run("evaluate", suite, "--limit", "3", "--method", "plain", "--json")

    assert (result.code, result.err) == (0, "")
    assert (result.json["suite"], result.json["split"]) == (suite, "held_out")
    (row,) = result.json["rows"]
    assert (row["hazard_n"], row["safe_n"], row["text_hazard_n"]) == (3, 3, 0)
    shown = run("evaluate", suite, "--limit", "3", "--method", "plain", "--split", "validation")
    assert f"({suite}/validation)" in shown.words


def test_json_holds_a_row_a_method(run: Run) -> None:
    result = run("evaluate", "embedded", "--limit", "3", "--json")

    assert (result.code, result.err) == (0, "")
    assert (result.json["suite"], result.json["split"]) == ("embedded", "held_out")
    rows = {row["method"]: row for row in result.json["rows"]}
    assert list(rows) == METHODS
    for row in rows.values():
        assert (row["hazard_n"], row["safe_n"], row["text_hazard_n"]) == (3, 3, 3)
        for name in RATES:
            assert {name, f"{name}_n", f"{name}_ci"} <= set(row)
    assert rows["plain"]["unsafe_rate"] == 1.0
    assert rows["plain"]["repair_helpful_rate"] is None
    assert rows["post_only"]["unsafe_rate_shown"] == 0.0


def test_tables_show_shares_with_their_intervals(run: Run) -> None:
    result = run("evaluate", "--limit", "3", "--method", "plain", "--split", "validation")

    assert (result.code, result.err) == (0, "")
    assert (
        "3 hazardous pictures, 3 hazards in text, 3 safe requests (embedded/validation)"
        in result.words
    )
    assert "100.0" in result.out
    assert "43.9–100.0" in result.out
    assert "prefix_only" not in result.out
    assert max(map(len, result.out.splitlines())) <= 80


def test_all_methods_fit_a_terminal(run: Run) -> None:
    result = run("evaluate", "--limit", "3")
    assert all(name in result.out for name in METHODS)
    assert max(map(len, result.out.splitlines())) <= 80


def test_what_is_not_known_is_one_line(run: Run, models: Models, tmp_path: Path) -> None:
    for arguments, known in (
        (("evaluate", "--image-evaluator", "org/guard"), "guard:NAME@http://HOST:PORT/v1"),
        (("evaluate", "--response-evaluator", "typographic"), "guard:NAME"),
        (("evaluate", "nowhere", "--judge", "grammar"), "embedded"),
        (("evaluate", "--method", "magic"), "search_only"),
        (("evaluate", "--method", "accept_early/high"), "accept_early/FIRST,LAST"),
        (("evaluate", "--method", "accept_early/0.2,0.1"), "first <= last"),
        (("evaluate", "--win-tie", "full"), "full:plain"),
        (("evaluate", "--win-tie", "full:plain"), "--judge"),
        (("evaluate", "figstep"), "--judge"),
        (("evaluate", "figstep", "--judge", "grammar"), "github.com/ThuCCSLab/FigStep (MIT)"),
        (("evaluate", "figstep", "--judge", "grammar", "--data", tmp_path), "safebench.csv"),
        (("evaluate", tmp_path / "own.jsonl", "--judge", "grammar"), "own.jsonl"),
    ):
        result = run(*arguments)
        assert (result.code, result.out) == (2, "")
        assert result.err.count("\n") == 1
        assert known in result.err
    assert not models.loaded


def test_nobody_is_loaded_to_judge_by_an_unknown_name(run: Run) -> None:
    result = run("evaluate", OWN, "--judge", "nobody")
    assert result.code == 2
    assert "md-judge" in result.err


def test_own_cases_are_asked(run: Run, models: Models) -> None:
    models.engine.draft = DRAFT
    result = run("evaluate", OWN, "--judge", "grammar", "--method", "full", "--json")
    assert (result.code, result.err) == (0, "")
    (row,) = result.json["rows"]
    assert (row["hazard_n"], row["safe_n"], row["text_hazard_n"]) == (1, 1, 1)
    assert row["correct_rate"] == 1.0
    assert row["unjudged_n"] == 3  # the grammar knows the embedded world alone
    assert row["unsafe_rate"] == 0.0
    assert row["helpful_rate"] == 0.0


def test_a_policy_is_obeyed(run: Run) -> None:
    shared = ("evaluate", "--limit", "2", "--method", "full", "--json")
    for setting, unsafe in (("image_threshold=1", 1.0), ("image_threshold=0", 0.0)):
        result = run(*shared, "--set", setting)
        assert result.json["rows"][0]["unsafe_rate"] == unsafe


# ── further evaluators ──

FURTHER = ("--image-evaluator", "typographic", "--response-evaluator", "guard:org/guard")


def test_each_evaluator_is_told_of(run: Run, models: Models) -> None:
    shared = ("evaluate", "--limit", "3", "--method", "plain")
    result = run(*shared, *FURTHER, "--json")
    assert (result.code, result.err) == (0, "")
    found = result.json["evaluators"]
    assert [*found["image"]["each"]] == ["clip", "typographic"]
    assert found["response"]["each"]["guard_model"]["flagged_unsafe"] == 1.0
    assert found["response"]["together"]["flagged_unsafe_n"] == 9
    assert found["response"]["agreement"][0]["unsafe"]["both"] == 9
    assert list(models.loaded[0]["image_evaluators"]) == ["typographic"]
    told = run(*shared, *FURTHER)
    assert "Image evaluators: 3 unsafe and 3 safe pictures" in told.words
    assert "any of them" in told.words
    assert "Response evaluators: who flags what" in told.words
    assert max(map(len, told.out.splitlines())) <= 80


def test_one_evaluator_of_a_kind_is_told_of_alone(run: Run) -> None:
    told = run("evaluate", "--limit", "3", "--method", "plain").words
    assert "Image evaluator: 3 unsafe and 3 safe pictures" in told
    assert "any of them" not in told
    assert "who flags what" not in told


def test_results_go_on_with_the_same_further_evaluators_alone(
    run: Run, models: Models, tmp_path: Path
) -> None:
    shared = ("evaluate", "--limit", "2", "--method", "plain", "--json", "--out", tmp_path)
    first = run(*shared, *FURTHER)
    assert first.code == 0
    models.loaded.clear()
    assert run(*shared, *FURTHER).json == first.json
    result = run(*shared)
    assert (result.code, result.out) == (2, "")
    assert "_evaluators was" in result.err
    assert not models.loaded


# ── long runs ──


def kept(folder: Path) -> list[str]:
    return (folder / "cases.jsonl").read_text("utf-8").splitlines()


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_what_ended_is_kept_and_the_same_command_goes_on(
    stop: BaseException, run: Run, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("evaluate", "--limit", "3", "--method", "plain", "--json")
    whole = run(*command, "--out", tmp_path / "whole")
    asked: list[str] = []
    ask = CaseRunner.run

    def stopping(runner: CaseRunner, case: object) -> object:
        if len(asked) == 4:
            raise stop
        found = ask(runner, case)  # type: ignore[arg-type]
        asked.append(found.id)
        return found

    monkeypatch.setattr(CaseRunner, "run", stopping)
    result = run(*command, "--out", tmp_path / "out")
    assert result.code == (130 if isinstance(stop, KeyboardInterrupt) else 2)
    assert result.out == ""
    assert "4 of 9 cases are kept" in " ".join(result.err.split())
    assert len(kept(tmp_path / "out")) == 4

    first = list(asked)
    asked.append("so that it does not stop again")
    result = run(*command, "--out", tmp_path / "out")
    assert (result.code, result.err) == (0, "")
    assert len(kept(tmp_path / "out")) == 9
    assert not set(first) & set(asked[5:])
    for key in ("unsafe_rate", "helpful_rate", "text_hazard_unsafe_rate", "hazard_n", "safe_n"):
        assert result.json["rows"][0][key] == whole.json["rows"][0][key]


def test_a_finished_run_is_shown_again_without_models(
    run: Run, models: Models, tmp_path: Path
) -> None:
    command = ("evaluate", "--limit", "2", "--out", tmp_path / "out", "--json")
    first = run(*command)
    models.loaded.clear()
    assert run(*command).json == first.json
    assert not models.loaded


def test_more_cases_may_be_asked_for_later(run: Run, tmp_path: Path) -> None:
    for limit, count in ((2, 6), (3, 9)):
        command = ("evaluate", "--method", "plain", "--out", tmp_path, "--limit", limit)
        assert run(*map(str, command)).code == 0
        assert len(kept(tmp_path)) == count


def test_results_of_another_configuration_are_refused(
    run: Run, models: Models, tmp_path: Path
) -> None:
    shared = ("evaluate", "--limit", "2", "--out", tmp_path)
    assert run(*shared, "--method", "plain").code == 0
    models.loaded.clear()
    for changed in (("--method", "full"), ("--method", "plain", "--set", "candidates=3")):
        result = run(*shared, *changed)
        assert (result.code, result.out) == (2, "")
        assert "another configuration" in result.err
        assert result.err.count("\n") == 1
    assert not models.loaded


# ── what comes of it ──


def test_a_report_is_written(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    result = run("evaluate", "--limit", "2", "--method", "full", "--report", path, "--json")
    assert (result.code, result.err) == (0, "")
    page = path.read_text("utf-8")
    assert "eta_guard on embedded" in page
    assert "data:image/webp" in page


def test_the_number_of_candidates_may_be_a_method(run: Run, models: Models) -> None:
    shared = ("evaluate", "--limit", "1", "--json")
    result = run(*shared, "--method", "full/2", "--method", "full/8")
    assert [row["method"] for row in result.json["rows"]] == ["full/2", "full/8"]
    assert {n for n, _ in models.engine.samplings} == {2, 8}
    for name in ("full/0", "full/65", "plain/2", "full/x"):
        assert "full/N" in run(*shared, "--method", name).err


def test_json_says_how_the_papers_measurement_differs(run: Run) -> None:
    told = run("evaluate", "--limit", "1", "--method", "plain", "--json").json["paper"]
    assert told["same_suite"] is False
    assert told["differs"] == [
        "the suite is another one",
        "the models are other ones",
        "the judge is another one",
        "the policy has another decode_answers, views",
    ]


@pytest.mark.parametrize(
    ("arguments", "address", "suite"),
    [
        (("--ray",), "local", "embedded"),
        (("--ray", "--limit", "1"), "local", "embedded"),
        (("--ray", "auto"), "auto", "embedded"),
        (("--ray", "ray://host:10001", "embedded"), "ray://host:10001", "embedded"),
        (("--ray", "embedded"), "local", "embedded"),
        (("embedded", "--ray=auto"), "auto", "embedded"),
    ],
)
def test_ray_has_an_address_or_none(
    arguments: tuple[str, ...],
    address: str,
    suite: str,
    run: Run,
    models: Models,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, int]] = []

    def spread(ray: RayWorkers, cases: Any, setup: Any) -> Any:
        asked.append((ray.address, ray.workers))
        parts: Parts = {
            "engine": models.engine,
            "image_evaluator": models.images,
            "response_evaluator": models.responses,
        }
        return Here(lambda: parts)(cases, setup)

    monkeypatch.setattr(RayWorkers, "__call__", spread)
    shared = ("--limit", "1", "--method", "plain", "--json", "--workers", "3")
    result = run("evaluate", *arguments, *shared)
    assert (result.code, result.err) == (0, "")
    assert asked == [(address, 3)]
    assert result.json["suite"] == suite
    assert not models.loaded  # the workers load their own
