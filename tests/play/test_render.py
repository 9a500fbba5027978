"""What the page shows trusts no text, and folds what is unsafe."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from eta_guard.play import render
from eta_guard.play.asking import Turn
from eta_guard.policy import GuardPolicy
from tests.fakes import FakeEngine, candidate
from tests.play.rig import answered, chosen, playground
from tests.play.test_sessions import uploaded

EVIL = "<script>alert(1)</script>"


class Folds(HTMLParser):
    """What stands outside ``<details>``, and which tags there are."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.folded = 0
        self.shown = ""
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: object) -> None:
        self.tags.add(tag)
        self.folded += tag == "details"

    def handle_endtag(self, tag: str) -> None:
        self.folded -= tag == "details"

    def handle_data(self, data: str) -> None:
        self.shown += "" if self.folded else data


@pytest.fixture
def turn(tmp_path: Path) -> Turn:
    """Unsafe, and every text of it tries to be markup."""
    engine = FakeEngine(
        draft=f"DRAFT {EVIL}",
        sentences=lambda number, n: [
            candidate(f" {EVIL} {number} {i}.", ends=number == 2) for i in range(n)
        ],
    )
    place = playground(tmp_path, engine)
    place.guard.panel.responses[0].score = (  # type: ignore[attr-defined]
        lambda prompt, text: 0.0 if "DRAFT" in text else 1.0
    )
    return answered(place, place.sessions.of("a"), uploaded(tmp_path, 200), text=f"Why {EVIL}?")


def test_no_text_becomes_markup(turn: Turn, tmp_path: Path) -> None:
    place = playground(tmp_path)
    policy = GuardPolicy()
    for page in (
        render.pictures(turn),
        render.way(turn, place.dials()),
        render.rounds(turn),
        render.answers(turn, policy),
        render.earlier([turn]),
        render.problem(EVIL, EVIL),
    ):
        assert "script" not in Folds(page).tags
    assert EVIL in Folds(render.answers(turn, policy)).shown
    assert EVIL in Folds(render.rounds(turn)).shown


def test_the_unguarded_answer_is_folded_where_it_is_unsafe(turn: Turn) -> None:
    assert turn.verdict is not None
    page = render.answers(turn, GuardPolicy())
    assert "DRAFT" in page
    assert "DRAFT" not in Folds(page).shown
    assert "<details>" in page  # and not open


def test_candidates_are_shown_with_their_scores_and_the_pick(turn: Turn) -> None:
    page = render.rounds(turn)
    assert turn.verdict is not None
    rounds = turn.verdict.rounds
    assert page.count('class="picked"') == len(rounds) == 2
    assert page.count('<td class="text">') == sum(len(one.candidates) for one in rounds)


def test_what_other_settings_decide_is_told(turn: Turn, tmp_path: Path) -> None:
    place = playground(tmp_path)
    assert turn.verdict is not None
    before = chosen(place)
    told = Folds(render.whatif(turn.verdict, before, chosen(place, **{"response:reward": -0.5})))
    assert "passed" in told.shown
    assert "instead of aligned" in told.shown
    unknown = Folds(render.whatif(turn.verdict, before, chosen(place, **{"image:clip": 1.0})))
    assert "Not asked: guard_model" in unknown.shown
    later = Folds(render.whatif(turn.verdict, before, chosen(place, candidates=2)))
    assert "From the next question on: N." in later.shown
