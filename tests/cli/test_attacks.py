"""``eta-guard evaluate --attack`` from end to end, on fakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from eta_guard.evaluation.case_runner import CaseRunner
from tests.cli.conftest import Models, Run

SHARED = ("evaluate", "embedded", "--limit", "4", "--attack", "grey", "--attack", "dialogues")
SHARES = ("flagged", "unsafe_shown", "over_refusal", "flagged_safe")


@pytest.fixture(autouse=True)
def unsafe(models: Models) -> None:
    models.engine.draft = "First, do placeholder step one."
    models.responses.score = lambda prompt, text: 0.0 if "placeholder" in text else 1.0


def test_json_has_a_row_an_attack_and_one_of_all(run: Run) -> None:
    result = run(*SHARED, "--json")
    assert (result.code, result.err) == (0, "")
    assert result.json["suite"] == "embedded-paired"
    found = result.json["attacks"]
    assert [row["attack"] for row in found["each"]] == [
        "grey",
        "dialogue:earlier_turn",
        "dialogue:tool_result",
        "dialogue:however",
    ]
    for row in (*found["each"], found["pooled"]):
        assert row["succeeded"] is None
        for name in SHARES:
            for side in ("before", "after"):
                assert {name, f"{name}_n", f"{name}_ci"} <= set(row[side])
    assert all((row["hazard_n"], row["safe_n"]) == (4, 4) for row in found["each"])
    assert (found["pooled"]["hazard_n"], found["pooled"]["safe_n"]) == (16, 16)


def test_methods_stand_side_by_side(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    asked = (*SHARED, "--method", "full", "--method", "mask")
    result = run(*asked, "--report", page)
    assert result.code == 0
    assert "All but gradients by method" in result.words
    assert "The same cases by every method" in page.read_text()
    assert "All but gradients by method" not in run(*SHARED).words


def test_without_an_attack_there_are_no_figures_of_any(run: Run) -> None:
    result = run("evaluate", "--limit", "1", "--method", "full", "--json")
    assert result.json["attacks"] is None


def test_a_policy_of_the_published_view_has_nothing_before_it(run: Run) -> None:
    result = run(*SHARED, "--set", "views=[whole]", "--json")
    assert result.json["attacks"]["pooled"]["before"] is None


def test_a_policy_of_before_stands_beside(run: Run, tmp_path: Path) -> None:
    # The fakes' pictures score 0.05 and 0.3 at most: nothing is flagged under the one.
    file = tmp_path / "before.yaml"
    file.write_text("image_threshold: 1.0\n")
    result = run(*SHARED, "--set", "image_threshold=0", "--before", file, "--json")
    assert (result.code, result.err) == (0, "")
    pooled = result.json["attacks"]["pooled"]
    assert (pooled["before"]["flagged"], pooled["after"]["flagged"]) == (0.0, 1.0)
    assert (pooled["before"]["unsafe_shown"], pooled["after"]["unsafe_shown"]) == (1.0, 0.0)


def test_where_both_policies_see_the_same_the_guard_is_asked_once(
    run: Run, models: Models, tmp_path: Path
) -> None:
    drawn = []
    for fields in (None, "image_threshold: 0.001", "image_threshold: 0.0\ncandidates: 3"):
        before: tuple[str | Path, ...] = ()
        if fields:
            (tmp_path / "before.yaml").write_text(fields)
            before = ("--before", tmp_path / "before.yaml")
        models.engine.samplings.clear()
        command = ("evaluate", "--limit", "1", "--attack", "grey", "--set", "image_threshold=0")
        assert run(*command, *before, "--json").code == 0
        drawn.append(len(models.engine.samplings))
    assert drawn[0] == drawn[1] > 0
    assert drawn[2] > drawn[1]


def test_the_tables_fit_a_terminal(run: Run) -> None:
    result = run(*SHARED, "--before", "lenient")
    assert (result.code, result.err) == (0, "")
    assert "Attacked hazards, in %" in result.out
    assert "Safe pictures treated alike, in %" in result.out
    assert "all but" in result.words
    assert max(map(len, result.out.splitlines())) <= 80


def test_a_report_has_a_section(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    result = run(*SHARED, "--before", "lenient", "--report", path)
    assert (result.code, result.err) == (0, "")
    page = path.read_text("utf-8")
    assert "<h2>Under attack</h2>" in page
    assert "flagged, before" in page
    assert "dialogue:tool_result" in page
    assert "all but gradients" in page
    plain = tmp_path / "plain.html"
    assert run("evaluate", "--limit", "1", "--method", "full", "--report", plain).code == 0
    assert "Under attack" not in plain.read_text("utf-8")


def test_attacks_are_listed_with_a_line_each(run: Run, models: Models) -> None:
    result = run("evaluate", "--attack", "list")
    assert (result.code, result.err) == (0, "")
    assert "turned:90" in result.out
    assert "within 8/255 of every pixel" in result.words
    assert not models.loaded
    assert max(map(len, result.out.splitlines())) <= 80


def test_what_is_not_known_is_one_line(run: Run, models: Models) -> None:
    for arguments, known in (
        (("--attack", "magic"), "turned:90"),
        (("--attack", "grey", "--before", "magic"), "paper"),
        (("--attack", "gradients", "--clip", "other"), "embedded models alone"),
    ):
        result = run("evaluate", "--limit", "1", *arguments)
        assert (result.code, result.out) == (2, "")
        assert result.err.count("\n") == 1
        assert known in result.err
    assert not models.loaded


def test_other_attacks_go_into_the_same_results(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ask = CaseRunner.run

    def counting(runner: CaseRunner, case: object) -> object:
        found = ask(runner, case)  # type: ignore[arg-type]
        asked.append(found.id)
        return found

    monkeypatch.setattr(CaseRunner, "run", counting)
    command = ("evaluate", "--limit", "2", "--out", tmp_path, "--json")
    assert run(*command, "--attack", "grey").code == 0
    assert run(*command, "--attack", "grey", "--attack", "jpeg:5").code == 0
    assert len(asked) == len(set(asked)) == 8


def test_no_figure_of_a_table_is_cut(run: Run) -> None:
    result = run(*SHARED)
    tables = result.out[result.out.index("Attacked hazards") :]
    assert max(map(len, tables.splitlines())) <= 80
    assert "…" not in tables
    assert "–100 " in tables
