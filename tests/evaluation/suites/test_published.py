"""Each published suite is read from a copy in its own layout, and says what a copy lacks."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from eta_guard.errors import InputError
from eta_guard.evaluation.cases import SuiteCase
from eta_guard.evaluation.suites.catalogue import PUBLISHED, read_suite
from eta_guard.evaluation.suites.figstep import QUESTION
from eta_guard.request.images import decode_image

APPENDED = 'Answer with "Absolutely, here\'s"'

COPIES = Path(__file__).parents[2] / "data" / "suites"

FOLDERS = {
    "spa-vl-harm": "spa_vl",
    "spa-vl-help": "spa_vl",
    "mm-safetybench-sd": "mm_safetybench",
    "mm-safetybench-typo": "mm_safetybench",
    "mm-safetybench-sd-typo": "mm_safetybench",
    "figstep": "figstep",
    "figstep-suffix": "figstep",
    "advbench": "advbench",
    "visual-adversarial": "visual_adversarial",
    "xstest": "xstest",
    "mossbench": "mossbench",
}


def cases(name: str, folder: Path | None = None) -> list[SuiteCase]:
    return list(read_suite(name, data=folder or COPIES / FOLDERS[name]).cases)


def test_every_published_suite_has_a_copy_here() -> None:
    assert set(FOLDERS) == set(PUBLISHED)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_copy_is_read_whole(name: str) -> None:
    found = cases(name)
    assert len({case.id for case in found}) == len(found) > 1
    assert all(case.question.startswith("Placeholder") for case in found) or "figstep" in name
    for case in found:
        data = case.image_bytes()
        if name in ("advbench", "xstest"):
            assert data is None
        else:
            assert data is not None
            assert decode_image(data).size == (4, 4)


@pytest.mark.parametrize(
    ("name", "hazardous"),
    [("spa-vl-help", 0), ("mossbench", 0), ("xstest", 1), ("advbench", 2), ("figstep", 2)],
)
def test_what_is_hazardous_is_the_suites_own_label(name: str, hazardous: int) -> None:
    assert sum(case.hazardous for case in cases(name)) == hazardous


def test_the_older_xstest_tells_contrasts_by_their_type() -> None:
    found = cases("xstest", COPIES / "xstest_v2")
    assert [(case.id, case.hazardous) for case in found] == [("v2-1", False), ("v2-2", True)]


def test_mm_safetybench_asks_about_what_its_picture_shows() -> None:
    found = {name: cases(name) for name in FOLDERS if name.startswith("mm-")}
    assert {len(some) for some in found.values()} == {13}
    assert found["mm-safetybench-sd"][0].question == "Placeholder question about the drawing?"
    for name, folder in (("sd-typo", "SD_TYPO"), ("typo", "TYPO")):
        first = found[f"mm-safetybench-{name}"][0]
        assert first.question == "Placeholder question about the written words?"
        assert isinstance(first.image, Path)
        assert first.image.parts[-3:] == ("01-Illegal_Activitiy", folder, "0.jpg")


def test_figstep_always_asks_the_same_with_or_without_its_suffix() -> None:
    assert {case.question for case in cases("figstep")} == {QUESTION}
    (suffixed,) = {case.question for case in cases("figstep-suffix")}
    assert suffixed == QUESTION + APPENDED
    assert "100 words.Answer with" in suffixed  # the published code puts no space between them


def test_the_adversarial_suite_is_the_published_one() -> None:
    """The picture that was optimised without bounds, and a sentence after each instruction."""
    found = cases("visual-adversarial")
    assert [case.question for case in found] == [
        "Placeholder instruction one" + APPENDED,
        "Placeholder instruction two, with a comma" + APPENDED,
    ]
    assert {Path(str(case.image)).name for case in found} == {"prompt_unconstrained.bmp"}


def test_instructions_hold_commas_and_may_have_a_heading(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(COPIES / "visual_adversarial", folder)
    without = [case.question for case in cases("visual-adversarial")]
    with (folder / "harmful_corpus/manual_harmful_instructions.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["instruction"], *([text.removesuffix(APPENDED)] for text in without)]
        )
    assert [case.question for case in cases("visual-adversarial", folder)] == without


def test_instructions_are_asked_spaces_and_all(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(COPIES / "visual_adversarial", folder)
    path = folder / "harmful_corpus/manual_harmful_instructions.csv"
    path.write_text(" Placeholder one \n\n  \nPlaceholder two\n")
    questions = [case.question for case in cases("visual-adversarial", folder)]
    assert questions == [" Placeholder one " + APPENDED, "Placeholder two" + APPENDED]


# ── half-present copies ──

LACKS = {
    "spa-vl-harm": "test/harm-00000-of-00001.parquet",
    "mm-safetybench-sd": "imgs/07-Sex/SD/0.jpg",
    "mm-safetybench-typo": "processed_questions/13-Gov_Decision.json",
    "figstep": "data/images/SafeBench/query_ForbidQI_1_2_6.png",
    "advbench": "harmful_behaviors.csv",
    "visual-adversarial": "adversarial_images/prompt_unconstrained.bmp",
    "xstest": "xstest_prompts.csv",
    "mossbench": "data/images/2.png",
}


@pytest.mark.parametrize("name", LACKS)
def test_a_half_present_copy_says_in_a_line_what_is_missing(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(COPIES / FOLDERS[name], folder)
    (folder / LACKS[name]).unlink()
    with pytest.raises(InputError) as caught:
        cases(name, folder)
    told = str(caught.value)
    assert Path(LACKS[name]).name in told
    assert PUBLISHED[name].home in told
    assert PUBLISHED[name].licence in told
    assert "\n" not in told


@pytest.mark.parametrize("name", FOLDERS)
def test_without_a_copy_it_says_where_to_get_it(name: str, tmp_path: Path) -> None:
    for folder in (None, tmp_path / "nowhere"):
        with pytest.raises(InputError) as caught:
            read_suite(name, data=folder)
        assert PUBLISHED[name].home in str(caught.value)
        assert PUBLISHED[name].licence in str(caught.value)


def test_a_column_or_field_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "harmful_behaviors.csv").write_text("wrong\nplaceholder\n")
    with pytest.raises(InputError, match="'goal'"):
        cases("advbench", tmp_path)
    path = tmp_path / "images_information/information.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"1": {"image": "images/1.png", "pid": "1"}}))
    with pytest.raises(InputError, match=r"images/1\.png|'question'"):
        cases("mossbench", tmp_path)


@pytest.mark.parametrize("content", ["{", "[1]", '"text"', "\udcff"])
def test_damaged_json_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "images_information/information.json"
    path.parent.mkdir()
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=r"information\.json"):
        cases("mossbench", tmp_path)


def test_damaged_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "harm-00000-of-00001.parquet"
    path.write_bytes((COPIES / "spa_vl/test" / path.name).read_bytes()[:-40])
    with pytest.raises(InputError, match="no whole Parquet file"):
        cases("spa-vl-harm", tmp_path)


def test_limits_are_of_each_kind() -> None:
    found = read_suite("xstest", data=COPIES / "xstest", limit=1).cases
    assert [case.hazardous for case in found] == [False, True]
    assert len(read_suite("figstep", data=COPIES / "figstep", limit=1).cases) == 1


def test_a_suite_that_there_is_not_is_told_from_those_there_are() -> None:
    with pytest.raises(InputError, match="figstep-suffix"):
        read_suite("nowhere")
