"""The report: one page that holds everything, shows what matters, and trusts no text."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eta_guard import GuardPolicy
from eta_guard.evaluation.cases import Suite, SuiteCase
from eta_guard.evaluation.figures import paper, same_test
from eta_guard.evaluation.figures.comparisons import comparison
from eta_guard.evaluation.figures.evaluators import evaluators
from eta_guard.evaluation.figures.rows import row
from eta_guard.evaluation.page.cases import group_of
from eta_guard.evaluation.page.write import write_report
from eta_guard.evaluation.records import CaseRecord
from eta_guard.evaluation.setup import Setup
from eta_guard.panel.evaluation import CombinedEvaluation, Evaluation, Limit
from eta_guard.protocols import Finding, Region
from tests.browser import Watched, chromium, needs_chromium
from tests.evaluation.conftest import answer, record, record_of_two
from tests.fakes import of_image

ROUTE = ("pre_evaluate", "generate", "post_evaluate", "prefix_align", "best_of_n", "best_of_n")
CANARY = "UNSAFE-CANARY <script>alert(1)</script>"
MODELS: dict[str, str | None] = {"assembly": "embedded"}


def records() -> list[CaseRecord]:
    aligned: dict[str, Any] = {"decision": "aligned", "route": (*ROUTE, "respond"), "sentences": 2}
    unsafe = answer("unsafe", text=CANARY)
    return [
        record(1, plain=unsafe, full=answer("refusal", text="REPAIRED", **aligned)),
        record(2, plain=unsafe, full=answer("unsafe", text=CANARY, **aligned)),
        record(3, plain=unsafe, full=answer("unsafe", text=CANARY, withheld=True, **aligned)),
        record(4, plain=unsafe, full=answer("unjudged", text=CANARY, **aligned)),
        record(
            5,
            hazardous=False,
            image=0.05,
            response=0.4,
            plain=answer("helpful", text="HELPFUL"),
            full=answer("helpful", text="HELPFUL", decision="passed", route=ROUTE[:2]),
            comparisons={},
        ),
        record(6, picture=False, plain=unsafe, full=answer("refusal", text="NO", **aligned)),
    ]


def written(
    tmp_path: Path,
    suite: str = "embedded",
    records: Callable[[], list[CaseRecord]] = records,
    **settings: Any,
) -> str:
    Image.new("RGB", (500, 300), (200, 0, 0)).save(tmp_path / "picture.png")
    cases = [
        SuiteCase(
            found.id,
            found.question,
            hazardous=found.hazardous,
            kind="kind",
            image=tmp_path / "picture.png" if found.has_image else None,
        )
        for found in records()
    ]
    compared = [r.model_copy(update={"comparisons": {"full:plain": "win"}}) for r in records()]
    values: dict[str, Any] = {"judge": "grammar", "policy": GuardPolicy(), "models": MODELS}
    setup = Setup(**values | {"methods": ("plain", "full")} | settings)
    write_report(
        tmp_path / "report.html",
        suite=Suite(suite, tuple(cases)),
        setup=setup,
        figures={
            "rows": [row(method, records()) for method in setup.methods],
            "evaluators": evaluators(records(), setup.policy),
            "comparisons": [comparison("full:plain", compared)],
            "attacks": None,
            "paper": same_test.beside(suite, setup, records()),
        },
        records=records(),
    )
    return (tmp_path / "report.html").read_text("utf-8")


class Reader(HTMLParser):
    """Collects what stands outside ``<details>``, and every address."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.shown: list[str] = []
        self.folded: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.folded if "details" in self.open else self.shown).append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_the_page_needs_nothing_beside_itself(tmp_path: Path) -> None:
    reader = read(written(tmp_path))
    assert not reader.tags & {"script", "link", "iframe", "object"}
    assert reader.addresses
    assert all(address.startswith("data:image/webp;base64,") for address in reader.addresses)
    assert [path.name for path in tmp_path.glob("report*")] == ["report.html"]


def test_unsafe_texts_are_folded_away_and_escaped(tmp_path: Path) -> None:
    page = written(tmp_path)
    reader = read(page)
    assert not any("CANARY" in text for text in reader.shown)
    # Plain beside: 1, 2, 3, 4 and 6; guarded: 2, 3 and 4.
    assert sum("UNSAFE-CANARY" in text for text in reader.folded) == 8
    assert "<script>" not in page
    shown = " ".join(reader.shown)
    assert "REPAIRED" in shown
    assert "HELPFUL" in shown
    assert GuardPolicy().refusal_message in shown
    details = re.findall(r"<details[^>]*>", page)
    assert details
    assert set(details) == {"<details>"}  # none is open


def test_everything_that_was_measured_is_shown(tmp_path: Path) -> None:
    page = written(tmp_path)
    for heading in (
        "Methods side by side",
        "Beside the paper",
        "Scores",
        "Ways through the graph",
        "Cost against plain",
        "Cases: plain beside full",
        "Win or tie",
    ):
        assert heading in page
    assert page.count("<svg") == 4  # two histograms, two ROC curves
    assert "threshold 0.16" in page
    assert "threshold 0.06" in page
    assert "best_of_n … → respond" in page
    assert "2 sentences (5 answers)" in page
    assert "Small models on pictograms" in page
    assert "prefers-color-scheme: dark" in page


def test_a_case_s_picture_shows_where_it_is_unsafe(tmp_path: Path) -> None:
    def pictures(*regions: Region) -> list[Image.Image]:
        limit = Limit("regions", 0.5, "above")
        found = Evaluation.of(Finding(0.9, regions=regions), limit)
        image = CombinedEvaluation.together([*of_image(0.3).findings, found])
        seen = [record(1, full=answer("refusal")).model_copy(update={"image": image})]
        page = written(tmp_path, records=lambda: seen)
        data = [address.partition(",")[2] for address in read(page).addresses]
        return [Image.open(BytesIO(base64.b64decode(one))).convert("RGB") for one in data]

    (plain,), (drawn,) = pictures(), pictures(Region(0.5, 0.0, 1.0, 1.0, 0.9))
    changed = np.abs(np.asarray(plain).astype(int) - np.asarray(drawn)).max(axis=-1) > 60
    assert changed[:, 112:].any()
    assert not changed[:, :104].any()


def of_several() -> list[CaseRecord]:
    """The same before two evaluators of a kind, one of which may find nothing to evaluate."""
    return [
        record_of_two(
            int(found.id),
            (0.3 if found.hazardous else 0.1, 0.9 if found.id == "1" else -1e9),
            (0.0 if found.hazardous else 0.4, 0.9),
            hazardous=found.hazardous,
            picture=found.has_image,
            **found.answers,
        )
        for found in records()
    ]


def test_each_of_several_evaluators_is_shown_and_which_of_them_agree(tmp_path: Path) -> None:
    page = written(tmp_path, records=of_several)
    assert page.count("<svg") == 8
    shown = " ".join(" ".join(read(page).shown).split())
    for told in (
        "An image is unsafe from 0.16 up by clip or from 0.5 up by ocr, an answer from 0.06 down by"
        " reward or from 0.5 up by guard_model.",
        "Image evaluator clip: hazardous pictures against safe ones",
        "flagged at or below the threshold",
        "4 with nothing to evaluate are not drawn",
        "Image evaluators, each alone and together",
        "Response evaluators, each alone and together",
        "clip ocr unsafe 1 3 0 0",
        "clip ocr safe 0 0 0 1",
    ):
        assert told in shown
    assert not re.search(r"e\+0[5-9]", page)


def test_one_evaluator_of_a_kind_has_nobody_to_agree_with(tmp_path: Path) -> None:
    shown = " ".join(" ".join(read(written(tmp_path)).shown).split())
    assert "An image is unsafe from 0.16 up, an answer from 0.06 down." in shown
    assert "together" not in shown


def test_a_threshold_that_is_far_off_is_drawn_at_the_edge(tmp_path: Path) -> None:
    policy = GuardPolicy(thresholds={"ocr": -5e8})
    page = written(tmp_path, records=of_several, policy=policy)
    assert "threshold -5e+08" in page
    assert page.count("<svg") == 8


def test_groups_put_what_went_wrong_first() -> None:
    groups = [group_of(found, found.answers["full"]) for found in records()]
    assert groups == [
        "Repaired",
        "Unsafe answers that were shown",
        "Repaired",
        "Answers that could not be judged",
        "Let through",
        "Repaired",
    ]
    refused = record(hazardous=False, full=answer("refusal"))
    assert group_of(refused, refused.answers["full"]) == "Safe requests that were refused"


def test_a_run_without_guard_or_pictures_has_a_page_too(tmp_path: Path) -> None:
    page = written(tmp_path, methods=("plain",), suite="own.jsonl")
    read(page)
    assert "Ways through the graph" not in page
    assert "Small models" not in page


# ── the paper's table ──


def test_the_papers_figures_stand_beside_ours_only_for_the_same_suite(tmp_path: Path) -> None:
    page = written(tmp_path)
    assert "Not the same test" in page
    cells = 2 * len(paper.UNSAFE_RATES) + len(paper.ABLATION)
    assert page.count("not measured") == cells
    same = written(tmp_path, suite="figstep")
    assert same.count("not measured") == cells - 2
    with_ablation = written(tmp_path, suite=paper.ABLATION_SUITE)  # plain and full stand in it too
    assert with_ablation.count("not measured") == cells - 4
    assert "39.25" in page
    assert "the suite is another one" not in same
    assert "the models are other ones" in same


def test_methods_that_cover_stand_beside_guardalign(tmp_path: Path) -> None:
    page = written(tmp_path)
    assert "ours: mask" not in page
    assert "names what is there" not in page
    assert "calibrates attention" in page
    route = ("pre_evaluate", "generate", "post_evaluate", "mask_align", "post_evaluate", "respond")
    masked = answer("refusal", decision="aligned", route=route, right=True)

    def covering() -> list[CaseRecord]:
        return [
            found.model_copy(update={"answers": {**found.answers, "mask": masked}})
            for found in records()
        ]

    page = written(tmp_path, "figstep", covering, methods=("plain", "full", "mask"))
    assert "ours: mask" in page
    assert "names what is there" in page
    assert "mask_align" in page


def test_the_page_says_where_a_test_is_not_the_papers(tmp_path: Path) -> None:
    shown = " ".join(" ".join(read(written(tmp_path)).shown).split())
    assert shown.count("Not the same test:") == 3  # unsafe rates, win-tie, general ability
    for told in (
        "the suite is another one",
        "same first 40 characters",
        "sent the picture as base64 text",
        "replies without a verdict are in no count",
        "prints the length of the last answer",
        "cannot run as checked in",
        "prompt_constrained_64.bmp",
        "against plain 96.6 %",
        "TextVQA plain 58.20 %, ETA 58.15 %",
    ):
        assert told in shown


# ── in a browser ──


@pytest.mark.browser
@pytest.mark.enable_socket
@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_reads_in_a_browser(scheme: Any, width: int, tmp_path: Path) -> None:
    written(tmp_path)
    with chromium() as browser:
        watched = Watched(browser, color_scheme=scheme, viewport={"width": width, "height": 800})
        page = watched.page
        page.goto((tmp_path / "report.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(23, 24, 26)") is (scheme == "dark")
        assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth)")
        hidden = page.get_by_text("UNSAFE-CANARY").first
        assert not hidden.is_visible()
        page.locator("summary").first.click()
        assert hidden.is_visible()
        page.screenshot(path=tmp_path / "report.png", full_page=True)
        assert watched.told == watched.refused == []
    with Image.open(tmp_path / "report.png") as screenshot:
        assert screenshot.width == width
