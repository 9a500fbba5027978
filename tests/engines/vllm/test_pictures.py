"""A picture goes to the server once, and by its id from then on, where it keeps it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from langchain_core.messages import HumanMessage

from eta_guard.errors import EngineError
from eta_guard.protocols import Generation
from eta_guard.request.conversation import read_conversation
from tests.engines.vllm.server import PlayedServer, pictures, refuses
from tests.engines.vllm.sessions import PREFIX, SAMPLING
from tests.fakes import SAFE, UNSAFE, question


def drawn(server: PlayedServer, *scores: float, **settings: Any) -> list[str]:
    """Has a whole search drawn."""
    given = read_conversation([question(*scores or (UNSAFE,))])
    session = server.engine(**settings).open(given, Generation())
    found = [session.answer().text]
    session.prefill(PREFIX)
    for _ in range(2):
        found += [one.text for one in session.propose(2, SAMPLING)]
        session.accept(0)
    return [*found, session.finish().text]


def whole(server: PlayedServer) -> list[int]:
    """How many pictures each request carried."""
    return [sum(bool(one["image_url"]) for one in pictures(body)) for body in server.bodies]


def test_it_is_sent_once_a_request() -> None:
    server, other = PlayedServer(), PlayedServer()
    assert drawn(server, UNSAFE, SAFE) == drawn(other, UNSAFE, SAFE, picture_ids=False)
    assert whole(server) == [2, 0, 0, 0]
    assert whole(other) == [2, 2, 2, 2]
    assert len(server.kept) == 2
    assert not any("uuid" in one for body in other.bodies for one in pictures(body))


def test_ids_are_of_the_pixels_and_known_to_one_engine_alone() -> None:
    server = PlayedServer()
    drawn(server)
    drawn(server)
    assert len(server.kept) == 2  # two engines
    engine = server.engine()
    for score in (UNSAFE, UNSAFE, SAFE):
        engine.open(read_conversation([question(score)]), Generation()).answer()
    assert len(server.kept) == 4


def test_a_server_that_has_not_kept_it_is_sent_it_again_and_from_then_on() -> None:
    server = PlayedServer(keeps=False)
    assert drawn(server) == drawn(PlayedServer())
    assert whole(server) == [1, 0, 1, 1, 1]


def test_only_a_vllm_server_is_told_of_ids() -> None:
    server = PlayedServer(owner="somebody")
    drawn(server)
    assert whole(server) == [1, 1, 1, 1]
    assert not any("uuid" in one for body in server.bodies for one in pictures(body))


def test_a_refusal_for_another_reason_is_told_after_one_more_try() -> None:
    server = PlayedServer()
    session = server.engine().open(read_conversation([question(UNSAFE)]), Generation())
    session.answer()
    session.prefill(PREFIX)
    server.fails = lambda request: refuses("The value of 'n' is not supported.")
    with pytest.raises(EngineError, match="'n' is not supported"):
        session.propose(2, SAMPLING)
    assert len(server.requests) == 1 + 1 + 2


def test_texts_alone_are_sent_as_ever() -> None:
    server = PlayedServer()
    session = server.engine().open(read_conversation([HumanMessage("So?")]), Generation())
    session.answer()
    session.prefill(PREFIX)
    session.propose(2, SAMPLING)
    assert server.bodies[1]["messages"][0] == {"role": "user", "content": "So?"}


def test_a_server_that_is_busy_still_keeps_pictures() -> None:
    server = PlayedServer()
    session = server.engine().open(read_conversation([question(UNSAFE)]), Generation())
    session.answer()
    session.prefill(PREFIX)
    server.fails = lambda request: httpx.Response(503)
    with pytest.raises(EngineError, match="status 503"):
        session.propose(2, SAMPLING)
    server.fails = lambda request: None
    session.propose(2, SAMPLING)
    assert whole(server) == [1, 0]
