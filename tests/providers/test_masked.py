"""What is covered reaches no provider: their own clients ask, and what they send is read.

Each history is answered twice, as it is and with all of its pictures covered.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from langchain_core.messages import BaseMessage, HumanMessage
from PIL import Image

from eta_guard import ChatModelEngine, EtaGuard, GuardPolicy
from eta_guard.engines.chat_model.messages import as_read
from eta_guard.panel.masking import WHOLE, MaskedPicture, MaskedRegion
from eta_guard.protocols import Finding, Generation, Region
from eta_guard.request.reading import Reading
from eta_guard.session import GuardSession
from tests.fakes import FakeImages, FakeResponses, verdict_of
from tests.providers.histories import JPEG, PNG, TABLE, WEBP, openai, text
from tests.providers.server import SAYS, Provider, provider

pytestmark = [pytest.mark.loopback, pytest.mark.enable_socket]

FILES = [data.rstrip("=")[:400] for data in (PNG, JPEG, WEBP)]
UPPER = Region(0.0, 0.0, 1.0, 0.5)


@pytest.fixture(scope="module")
def played() -> Iterator[Provider]:
    with provider() as server:
        yield server


class Unsafe(FakeImages):
    """Finds all pictures unsafe, and covers what it is told."""

    def __init__(self, *regions: Region) -> None:
        super().__init__()
        self.regions = regions

    def evaluate(self, images: Any, prompt: str, question: str = "") -> list[Finding]:
        return [Finding(1.0, regions=self.regions) for _ in images]


def guarded(model: Any, *regions: Region, **policy: Any) -> EtaGuard:
    """A guard that finds every answer unsafe, and lets the last one out."""
    return EtaGuard(
        engine=ChatModelEngine(model),
        image_evaluator=Unsafe(*regions),
        response_evaluator=FakeResponses(lambda prompt, text: 0.0),
        policy=GuardPolicy(**{"aligner": "mask", "on_unrepaired": "return", **policy}),
    )


def holds_a_file(body: bytes) -> bool:
    """Whether one of the originals stands in a request, by whichever alphabet of base64."""
    sent = body.decode().replace("-", "+").replace("_", "/")
    return any(file in sent for file in FILES)


def images_in(body: bytes) -> list[Image.Image]:
    """Every image file that stands in a request, in whichever form."""
    found = []
    for data in re.findall(r"[A-Za-z0-9+/_-]{60,}={0,2}", body.decode()):
        padded = data + "=" * (-len(data) % 4)
        raw = base64.b64decode(padded.replace("-", "+").replace("_", "/"))
        try:
            found.append(Image.open(BytesIO(raw)).convert("RGB"))
        except OSError:  # a signature
            continue
    return found


PICTURED = [
    (kind, name)
    for kind, histories in TABLE.items()
    for name in histories
    if any(file in repr(histories[name]) for file in FILES)
]


@pytest.mark.parametrize(("kind", "name"), PICTURED)
def test_the_answer_anew_is_asked_for_without_what_is_covered(
    played: Provider, kind: str, name: str
) -> None:
    history: list[BaseMessage] = TABLE[kind][name]
    reply = guarded(played.model(kind)).invoke(history)
    plain, masked = played.bodies
    played.bodies.clear()

    assert (reply.text, verdict_of(reply).decision) == (SAYS, "aligned")
    assert "mask_align" in verdict_of(reply).route
    assert holds_a_file(plain) or "ig_1" in plain.decode()
    assert not holds_a_file(masked)
    assert "ig_1" not in masked.decode()
    assert all(image.getbbox() is None for image in images_in(masked))


@pytest.mark.parametrize(("kind", "name"), PICTURED)
def test_the_messages_hold_nothing_of_it_for_an_engine_that_sends_them_as_they_are(
    played: Provider, kind: str, name: str
) -> None:
    """``ChatModelEngine`` does so with plain answers."""
    model = played.model(kind)
    reading = Reading(passed_on=True)
    session = GuardSession(ChatModelEngine(model), TABLE[kind][name], Generation(), reading)
    whole = (MaskedRegion(evaluator="clip", region=WHOLE),)
    numbers = range(len(session.conversation.pictures))
    session.mask([MaskedPicture(image=number, regions=whole) for number in numbers])
    for messages in (as_read(session.shown), list(session.shown.messages)):
        model.invoke(messages)
        (body,) = played.bodies
        played.bodies.clear()
        assert not holds_a_file(body)
        assert "ig_1" not in body.decode()
        assert all(image.getbbox() is None for image in images_in(body))


@pytest.mark.parametrize("kind", TABLE)
def test_a_part_is_covered_and_the_rest_is_sent(played: Provider, kind: str) -> None:
    history = [HumanMessage([openai(JPEG, "image/jpeg"), text()])]
    guarded(played.model(kind), UPPER).invoke(history)
    plain, masked = played.bodies
    played.bodies.clear()
    (original,), (covered,) = images_in(plain), images_in(masked)
    assert covered.size == original.size == (48, 32)
    assert covered.crop((0, 0, 48, 14)).getbbox() is None  # JPEG blurs an edge
    assert covered.crop((0, 18, 48, 32)).getbbox() is not None


@pytest.mark.parametrize("kind", TABLE)
def test_the_search_that_follows_sends_it_covered_too(played: Provider, kind: str) -> None:
    history = [HumanMessage([openai(JPEG, "image/jpeg"), text()])]
    guarded(played.model(kind), aligner="mask+eta", candidates=2).invoke(history)
    plain, *others = played.bodies
    played.bodies.clear()
    assert len(others) == 3
    assert images_in(plain)[0].getbbox() is not None
    for body in others:
        (image,) = images_in(body)
        assert image.getbbox() is None
