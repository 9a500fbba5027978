"""What belongs to a page stays its own, and goes with it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from PIL import Image

from eta_guard.errors import ImageInputError
from eta_guard.play.playground import Playground
from eta_guard.request.from_file import read_request
from tests.fakes import DRAFT, FakeEngine
from tests.play.rig import SlowEngine, answered, chosen, playground


def uploaded(folder: Path, red: int, name: str = "picture.png") -> Path:
    """Where Gradio would put it: in a folder of its own."""
    path = folder / f"upload-{red}" / name
    path.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8), (red, 0, 0)).save(path)
    return path


def test_a_turn_is_followed_to_its_verdict(tmp_path: Path) -> None:
    place = playground(tmp_path)
    session = place.sessions.of("a")
    turn = answered(place, session, uploaded(tmp_path, 255))
    assert turn.verdict is not None
    assert turn.verdict.decision == "aligned"
    assert tuple(turn.entered) == turn.verdict.route
    assert [event["eta_guard"] for event in turn.found] == turn.entered
    texts = [event["texts"] for event in turn.found if "sentence" in event]
    assert texts == [list(some) for some in turn.verdict.rejected or ()]
    assert turn.verdict.draft == DRAFT  # for the page alone: no copy of the policy records it
    assert not chosen(place).policy.record_rejected


def test_earlier_pictures_count_and_other_pages_do_not(tmp_path: Path) -> None:
    place = playground(tmp_path)
    one, other = place.sessions.of("one"), place.sessions.of("other")
    answered(place, one, uploaded(tmp_path, 255))
    second = answered(place, one, text="And now?")
    assert second.verdict is not None
    assert second.verdict.image is not None
    assert (second.verdict.image.message, second.place) == (0, 2)
    alone = answered(place, other, text="And now?")
    assert alone.verdict is not None
    assert alone.verdict.images == ()
    assert [len(session.messages) for session in (one, other)] == [4, 2]
    one.begin_anew()
    assert (one.messages, one.turns, other.turns) == ([], [], [alone])


def test_uploads_go_once_they_are_asked_about_or_their_page_closes(tmp_path: Path) -> None:
    place = playground(tmp_path / "private")
    place.folder.mkdir()
    asked, left, shared = (uploaded(place.folder, red) for red in (1, 2, 3))
    mine = tmp_path / "mine.png"
    Image.new("RGB", (8, 8)).save(mine)
    one, other = place.sessions.of("one"), place.sessions.of("other")
    one.uploads |= {asked, left, shared, mine}
    other.uploads.add(shared)
    answered(place, one, asked, mine)
    assert not asked.exists()
    assert mine.exists()  # nothing outside the folder is ever deleted
    place.sessions.close("one")
    assert not left.exists()
    assert shared.exists()
    place.sessions.close("other")
    assert list(place.folder.iterdir()) == []
    assert len(place.sessions) == 0


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_a_bad_file_says_what_ask_says(content: bytes, tmp_path: Path) -> None:
    bad = tmp_path / "upload" / "photo.png"
    bad.parent.mkdir()
    bad.write_bytes(content)
    with pytest.raises(ImageInputError) as said:
        read_request(bad, "What?")
    place = playground(tmp_path)
    session = place.sessions.of("a")
    with pytest.raises(ImageInputError) as found:
        answered(place, session, bad)
    assert found.value.message == said.value.message.replace(str(bad), "photo.png")
    assert found.value.hint == said.value.hint
    assert not bad.exists()
    assert session.turns == []
    assert session.messages == []


def test_closing_the_page_cancels_its_request(tmp_path: Path) -> None:
    engine = SlowEngine()
    place = playground(tmp_path, engine)

    async def ask_and_close() -> str | None:
        session = place.sessions.of("a")
        turns = place.ask(session, [], "What?", chosen(place))
        await anext(turns)
        await asyncio.to_thread(engine.drawing.wait, 10)
        await asyncio.to_thread(place.sessions.close, "a")  # as Gradio does, from a thread
        return [turn async for turn in turns][-1].error

    assert asyncio.run(ask_and_close()) == "The request was stopped."
    assert engine.cancelled.wait(10)


def test_who_stops_looking_stops_the_work(tmp_path: Path) -> None:
    engine = SlowEngine()
    place: Playground = playground(tmp_path, engine)

    async def look_away() -> None:
        turns = place.ask(place.sessions.of("a"), [], "What?", chosen(place))
        await anext(turns)
        await asyncio.to_thread(engine.drawing.wait, 10)
        await turns.aclose()  # type: ignore[attr-defined]

    asyncio.run(look_away())
    assert engine.cancelled.wait(10)


def test_a_failure_is_told_without_what_it_quotes(tmp_path: Path) -> None:
    engine = FakeEngine(draft=RuntimeError("SECRET"))
    turn = answered(playground(tmp_path, engine), playground(tmp_path).sessions.of("a"))
    assert turn.error == "The request failed with RuntimeError."
    assert turn.reply is None
