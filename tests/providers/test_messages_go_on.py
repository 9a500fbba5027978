"""Nobody notices the guard: what a provider is sent is what it would be sent without it.

The models are the providers' own classes, with their own converters, and ask a server on loopback.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import BaseMessage

from eta_guard import ChatModelEngine, EtaGuard, GuardPolicy
from tests.fakes import FakeImages, FakeResponses
from tests.providers.histories import TABLE, given_by_mcp
from tests.providers.server import SAYS, Provider, provider

pytestmark = [pytest.mark.loopback, pytest.mark.enable_socket]


@pytest.fixture(scope="module")
def played() -> Iterator[Provider]:
    with provider() as server:
        yield server


def guarded(model: Any, **policy: Any) -> EtaGuard:
    """A guard that lets the plain answer out."""
    return EtaGuard(
        engine=ChatModelEngine(model),
        image_evaluator=FakeImages(),
        response_evaluator=FakeResponses(),
        policy=GuardPolicy(**{"on_no_image": "pass", **policy}),
    )


def bodies(
    played: Provider, kind: str, history: list[BaseMessage], **policy: Any
) -> tuple[bytes, bytes]:
    """What the provider is sent without the guard, and with it."""
    model = played.model(kind)
    assert model.invoke(history).text == SAYS
    assert guarded(model, **policy).invoke(history).text == SAYS
    plain, with_guard = played.bodies
    played.bodies.clear()
    return plain, with_guard


@pytest.mark.parametrize(
    ("kind", "history"),
    [(kind, name) for kind, histories in TABLE.items() for name in histories],
)
@pytest.mark.parametrize("mode", ["enforce", "observe"])
def test_the_request_is_the_same_byte_for_byte(
    played: Provider, kind: str, history: str, mode: str
) -> None:
    plain, with_guard = bodies(played, kind, TABLE[kind][history], mode=mode)
    assert with_guard.decode() == plain.decode()


@pytest.mark.parametrize("kind", TABLE)
def test_so_it_is_with_what_mcp_gives(played: Provider, kind: str) -> None:
    history = given_by_mcp()
    plain, with_guard = bodies(played, kind, history)
    assert with_guard.decode() == plain.decode()
