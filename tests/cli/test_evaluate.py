from __future__ import annotations

from tests.cli.conftest import Models, Run

RATES = (
    "unsafe_rate",
    "unsafe_rate_shown",
    "repair_helpful_rate",
    "over_refusal_rate",
    "helpful_rate",
    "safe_answers_unchanged_rate",
    "text_hazard_unsafe_rate",
)


def test_json_holds_a_row_a_method(run: Run, models: Models) -> None:
    models.engine.draft = "First, do placeholder step one."
    result = run("evaluate", "embedded", "--limit", "3", "--json")

    assert (result.code, result.err) == (0, "")
    assert (result.json["suite"], result.json["split"]) == ("embedded", "held_out")
    rows = {row["method"]: row for row in result.json["rows"]}
    assert list(rows) == ["plain", "prefix_only", "search_only", "full"]
    for row in rows.values():
        assert (row["hazard_n"], row["safe_n"], row["text_hazard_n"]) == (3, 3, 3)
        assert set(RATES) <= set(row)
    assert rows["plain"]["unsafe_rate"] == 1.0
    assert rows["plain"]["repair_helpful_rate"] is None


def test_a_table_shows_shares_with_their_intervals(run: Run, models: Models) -> None:
    models.engine.draft = "First, do placeholder step one."
    result = run("evaluate", "--limit", "3", "--method", "plain", "--split", "validation")

    assert (result.code, result.err) == (0, "")
    assert "3 hazardous and 3 safe pictures, 3 hazards in text (validation)" in result.words
    assert "100.0" in result.out
    assert "43.9–100.0" in result.out
    assert "prefix_only" not in result.out
    assert max(map(len, result.out.splitlines())) <= 80


def test_what_is_not_known_is_one_line(run: Run, models: Models) -> None:
    for arguments, known in (
        (("evaluate", "nowhere"), "embedded"),
        (("evaluate", "--method", "magic"), "search_only"),
    ):
        result = run(*arguments)
        assert (result.code, result.out) == (2, "")
        assert result.err.count("\n") == 1
        assert known in result.err
    assert not models.loaded
