"""Where a request differs from the one without the guard, and that it differs nowhere else.

The list of what may differ is short: a picture in which decoders could see different things is
encoded anew within its block, a picture out of scope and an attachment that policy omits give way
to a text.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from PIL import Image

from eta_guard import EtaGuard
from eta_guard.request import images
from eta_guard.request.parts import EARLIER_PICTURE, OMITTED
from tests.fakes import verdict_of
from tests.providers import histories
from tests.providers.histories import ASKED, CALL, COMMON, RESPONSES, file, photo, text, url
from tests.providers.server import SAYS, Provider, provider
from tests.providers.test_messages_go_on import bodies, guarded

pytestmark = [pytest.mark.loopback, pytest.mark.enable_socket]

KINDS = ("openai", "openai responses", "anthropic", "google")


@pytest.fixture(scope="module")
def played() -> Iterator[Provider]:
    with provider() as server:
        yield server


def differences(plain: Any, other: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """The smallest parts in which two bodies differ, with where they stand."""
    if isinstance(plain, dict) and isinstance(other, dict) and plain.keys() == other.keys():
        return [
            found for key in plain for found in differences(plain[key], other[key], f"{path}.{key}")
        ]
    if isinstance(plain, list) and isinstance(other, list) and len(plain) == len(other):
        return [
            found
            for index, pair in enumerate(zip(plain, other, strict=True))
            for found in differences(*pair, f"{path}[{index}]")
        ]
    return [] if plain == other else [(path, plain, other)]


def turned() -> str:
    exif = Image.Exif()
    exif[0x0112] = 6
    return file("JPEG", exif=exif)


def seen_through() -> str:
    image = photo().convert("RGBA")
    image.putalpha(128)
    return file("PNG", image)


PICTURES = {
    "GIF": (file("GIF"), "image/gif"),
    "turned JPEG": (turned(), "image/jpeg"),
    "PNG seen through": (seen_through(), "image/png"),
}


def with_picture(kind: str, data: str, mime: str) -> list[BaseMessage]:
    shown: dict[Any, Any] = (
        histories.anthropic(data, mime, cache_control=histories.CACHE)
        if kind == "anthropic"
        else histories.openai(data, mime)
        if kind == "google"
        else histories.openai(data, mime, detail="low")
    )
    return [
        HumanMessage([text("One:"), shown, text("And?")]),
        AIMessage("I look.", tool_calls=[CALL]),
        ToolMessage([text("Seen:"), shown], tool_call_id="call_1"),
    ]


def picture_of(value: Any) -> Image.Image:
    data = str(value).rpartition(",")[2].replace("-", "+").replace("_", "/")
    return images.decode_image(base64.b64decode(data))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("picture", PICTURES)
def test_a_picture_that_is_encoded_anew_is_all_that_differs(
    played: Provider, kind: str, picture: str
) -> None:
    data, mime = PICTURES[picture]
    plain, with_guard = bodies(played, kind, with_picture(kind, data, mime))
    found = differences(json.loads(plain), json.loads(with_guard))
    pixels = [(old, new) for _, old, new in found if "image/" not in str(new) or "," in str(new)]
    types = {(old, new) for _, old, new in found} - set(pixels)
    assert types <= {("image/gif", "image/png")}
    assert len(pixels) == 2
    original = picture_of(data)
    for old, new in pixels:
        assert picture_of(old).tobytes() == original.tobytes()
        sent = np.asarray(picture_of(new), int)
        assert sent.shape == np.asarray(original).shape
        assert np.abs(sent - np.asarray(original)).max() <= (16 if "JPEG" in picture else 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("picture", PICTURES)
def test_who_only_observes_changes_nothing(played: Provider, kind: str, picture: str) -> None:
    history = with_picture(kind, *PICTURES[picture])
    plain, with_guard = bodies(played, kind, history, mode="observe", max_image_side=64)
    assert with_guard == plain


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_out_of_scope_gives_way_to_a_text(played: Provider, kind: str) -> None:
    history = [*COMMON["pictures in OpenAI's form"], AIMessage("Two cups."), ASKED]
    plain, with_guard = bodies(played, kind, history, image_scope="last_turn")
    found = differences(json.loads(plain), json.loads(with_guard))
    assert len(found) == 2
    for _, old, new in found:
        assert "image" in str(old)
        assert EARLIER_PICTURE in new.values()
        assert "image" not in str(new.keys())


def test_a_generated_picture_out_of_scope_is_not_shown_by_its_id(played: Provider) -> None:
    history = RESPONSES["a generated picture"]
    for kind in ("openai responses", "openai responses, stateless"):
        plain, with_guard = bodies(played, kind, history, image_scope="last_turn")
        before, after = (json.loads(body)["input"] for body in (plain, with_guard))
        assert [one.get("type") for one in before] == [
            *("message", "reasoning", "image_generation_call", "message", "message")
        ]
        assert [one.get("type") for one in after] == ["message"] * 4
        assert after[1]["content"][0]["text"] == EARLIER_PICTURE
        assert b"ig_1" not in with_guard
        assert [*after[2:]] == before[3:]


@pytest.mark.parametrize("name", [name for name in RESPONSES if "computer" in name])
def test_a_screenshot_out_of_scope_is_blank(played: Provider, name: str) -> None:
    history = [*RESPONSES[name], ASKED]
    plain, with_guard = bodies(played, "openai responses", history, image_scope="last_turn")
    ((_, old, new),) = differences(json.loads(plain), json.loads(with_guard))
    assert picture_of(old).getextrema() != picture_of(new).getextrema()
    assert picture_of(new).getextrema() == ((255, 255),) * 3


def attachment(kind: str) -> dict[Any, Any]:
    if kind == "anthropic":
        source = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjc="}
        return {"type": "document", "source": source, "citations": {"enabled": True}}
    return {
        "type": "file",
        "base64": "JVBERi0xLjc=",
        "mime_type": "application/pdf",
        "filename": "a",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_an_attachment_is_omitted_or_kept_but_ends_no_thread(played: Provider, kind: str) -> None:
    history = [
        HumanMessage([text("See:"), attachment(kind), histories.standard()]),
        AIMessage("I see."),
        ASKED,
    ]
    plain, with_guard = bodies(played, kind, history, on_unreadable="omit")
    found = differences(json.loads(plain), json.loads(with_guard))
    assert "JVBERi0xLjc=" in str([old for _, old, _ in found])
    assert OMITTED in str([new for _, _, new in found])
    block = ".messages[0].content[1]." if kind == "anthropic" else found[0][0]
    assert all(path.startswith(block) for path, _, _ in found)
    plain, with_guard = bodies(played, kind, history, mode="observe")
    assert with_guard == plain
    plain, with_guard = bodies(played, kind, history, image_scope="last_turn")
    assert b"JVBERi0xLjc=" not in with_guard


def test_what_was_kept_unread_is_unscored_in_the_verdict(played: Provider) -> None:
    guard = guarded(played.model("anthropic"), mode="observe")
    reply = guard.invoke([HumanMessage([attachment("anthropic"), histories.standard(), text()])])
    played.sent()
    verdict = verdict_of(reply)
    assert reply.text == SAYS
    assert [(one.outcome, one.block) for one in verdict.images] == [("safe", 1), ("unscored", 0)]
    assert verdict.image is not None
    assert "'document'" in str(verdict.image.reason)


# ── sizes ──


def camera() -> bytes:
    """A photograph of 12 megapixels, as a phone takes it."""
    coarse = np.random.default_rng(0).integers(0, 20, (60, 80, 3), np.uint8)
    image = Image.fromarray(coarse).resize((4000, 3000), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(1).integers(0, 12, (3000, 4000, 1), np.uint8)
    buffer = BytesIO()
    Image.fromarray(np.asarray(image) + grain).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


class Counted:
    """How often pictures were decoded and encoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.decoded = self.encoded = 0
        load, save = images._decode, Image.Image.save

        def decode(*given: Any) -> Any:
            self.decoded += 1
            return load(*given)

        def encode(image: Any, *given: Any, **options: Any) -> None:
            self.encoded += 1
            save(image, *given, **options)

        monkeypatch.setattr(images, "_decode", decode)
        monkeypatch.setattr(Image.Image, "save", encode)


def flagged(guard: EtaGuard) -> EtaGuard:
    """The same guard, for whom every picture and every draft is unsafe, and repairs are not."""
    from tests.fakes import FakeResponses

    scored = FakeResponses(lambda prompt, answer: 1.0 if answer.startswith("As an AI") else -1.0)
    return guard.model_copy(
        update={
            "response_evaluator": scored,
            "policy": guard.policy.updated({"image_threshold": 0.0}),
        }
    )


def test_a_photograph_of_twelve_megapixels_is_sent_as_it_came(
    played: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = base64.b64encode(camera()).decode()
    question = HumanMessage([histories.openai(data, "image/jpeg"), text()])
    model = played.model("openai")
    model.invoke([question])
    (plain,) = played.bodies
    played.bodies.clear()
    counted = Counted(monkeypatch)
    reply = flagged(guarded(model)).invoke([question])
    assert verdict_of(reply).decision == "aligned"
    assert len(played.bodies) == 6  # the draft and five candidates
    assert all(len(body) <= 1.1 * len(plain) for body in played.bodies)
    assert (counted.decoded, counted.encoded) == (1, 0)
    assert all(url(data, "image/jpeg").encode() in body for body in played.bodies)
    played.bodies.clear()


def test_a_turned_one_is_encoded_once_for_all_calls(
    played: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = BytesIO()
    with Image.open(BytesIO(camera())) as image:
        image.save(buffer, "JPEG", exif=exif, quality="keep")
    data = base64.b64encode(buffer.getvalue()).decode()
    question = HumanMessage([histories.openai(data, "image/jpeg"), text()])
    counted = Counted(monkeypatch)
    flagged(guarded(played.model("openai"))).invoke([question])
    assert counted.encoded == 1
    assert counted.decoded == 2  # what came, and what is sent, which the evaluators are to see
    assert all(len(body) <= 1.1 * len(data) for body in played.bodies)
    assert len({body.partition(b"base64,")[2].partition(b'"')[0] for body in played.bodies}) == 1
    played.bodies.clear()


def test_a_largest_side_holds_for_evaluators_and_model_alike(played: Provider) -> None:
    seen: list[tuple[int, int]] = []
    model = played.model("openai")
    guard = guarded(model, max_image_side=512)
    evaluator: Any = guard.image_evaluator
    evaluate = evaluator.evaluate

    def watched(pictures: Any, *asked: Any) -> Any:
        seen.extend(picture.size for picture in pictures)
        return evaluate(pictures, *asked)

    evaluator.evaluate = watched
    data = base64.b64encode(camera()).decode()
    guard.invoke([HumanMessage([histories.openai(data, "image/jpeg"), histories.openai()])])
    (body,) = played.sent()
    shown = [picture_of(part["image_url"]["url"]) for part in body["messages"][0]["content"]]
    assert [one.size for one in shown] == seen == [(512, 384), (48, 32)]
    assert len(json.dumps(body)) < len(data) / 10
