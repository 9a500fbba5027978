"""What stands in a message in place of a block, and that all else stays as it was."""

from __future__ import annotations

import base64
import copy
import logging
from io import BytesIO
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from PIL import Image

from eta_guard.engines.chat_model.messages import as_read, plainly
from eta_guard.errors import InputError
from eta_guard.request.conversation import Conversation, read_conversation
from eta_guard.request.parts import EARLIER_PICTURE, OMITTED
from eta_guard.request.reading import Reading
from tests.request.test_conversation import (
    BAD,
    CALL,
    FORMS,
    NESTS,
    PLACES,
    REFUSED,
    b64,
    block,
    picture,
    pixels,
    png,
    seeds,
    url,
)

PASSED_ON = Reading(passed_on=True)
OMIT = Reading(passed_on=True, unreadable="omit")
KEEP = Reading(passed_on=True, unreadable="keep")


def turned() -> bytes:
    image = Image.new("RGB", (48, 32), "navy")
    image.paste("gold", (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def in_place_of_the_png(value: Any) -> Any:
    """The same form around a picture that two decoders may see turned or not."""
    data = base64.b64encode(turned()).decode()
    if isinstance(value, str):
        return value.replace(b64(), data).replace("image/png", "image/jpeg")
    if isinstance(value, bytes):
        return turned()
    if isinstance(value, Image.Image):
        return Image.open(BytesIO(turned()))
    if isinstance(value, dict):
        return {key: in_place_of_the_png(inner) for key, inner in value.items()}
    return [in_place_of_the_png(inner) for inner in value] if isinstance(value, list) else value


def changes(before: Any, after: Any) -> list[tuple[Any, Any]]:
    """Where two values differ: pairs of the smallest parts that do."""
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys():
        return [pair for key in before for pair in changes(before[key], after[key])]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [pair for pair in zip(before, after, strict=True) for pair in changes(*pair)]
    return [] if before == after else [(before, after)]


def holds(value: Any, *kinds: type) -> bool:
    if isinstance(value, dict):
        return any(holds(inner, *kinds) for inner in value.values())
    if isinstance(value, list):
        return any(holds(inner, *kinds) for inner in value)
    return isinstance(value, kinds)


# ── pixels ──


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_plain_picture_leaves_the_very_message(form: dict[Any, Any]) -> None:
    if holds(form, Image.Image):
        return  # of no file
    octets = "octet-stream" in str(form)
    for place, make in PLACES.items():
        for nest, wrap in NESTS.items():
            messages = make(["see", wrap(form)])
            sent = as_read(read_conversation(messages, PASSED_ON))
            same = [one is other for one, other in zip(messages, sent, strict=True)]
            assert all(same) != octets, (place, nest)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_picture_is_replaced_within_its_block(form: dict[Any, Any]) -> None:
    form = in_place_of_the_png(form)
    for place, make in PLACES.items():
        for nest, wrap in NESTS.items():
            messages = make(
                ["see", wrap({**form, "extra": {"kept": [1]}} if "type" in form else form)]
            )
            before = copy.deepcopy(messages)
            conversation = read_conversation(messages, PASSED_ON)
            sent = as_read(conversation)
            assert messages == before
            assert pixels(read_conversation(sent, PASSED_ON)) == pixels(conversation), (place, nest)
            (found,) = conversation.pictures
            for index, (one, other) in enumerate(zip(messages, sent, strict=True)):
                assert (one is other) == (index != found.message)
                told = [
                    (old, new)
                    for old, new in changes(one.model_dump(), other.model_dump())
                    if isinstance(new, dict | bytes) or new not in {"image/jpeg", "jpeg"}
                ]
                assert len(told) == (index == found.message)
                for old, new in told:
                    assert holds(form, Image.Image) or type(old) is type(new) in {str, bytes}


def test_the_declared_type_follows_the_picture() -> None:
    gif = BytesIO()
    picture().save(gif, "GIF")
    data = base64.b64encode(gif.getvalue()).decode()
    table: list[tuple[dict[Any, Any], str]] = [
        ({"type": "image", "base64": data, "mime_type": "image/gif"}, "mime_type"),
        ({"type": "image", "data": data, "mimeType": "image/gif"}, "mimeType"),
        ({"image": {"format": "gif", "source": {"bytes": gif.getvalue()}}}, "format"),
    ]
    for form, name in table:
        sent: Any = as_read(read_conversation([HumanMessage([form])], PASSED_ON))[0].content[0]
        assert (sent | sent.get("image", {}))[name] in {"image/png", "png"}
    wrong = {"type": "file", "base64": b64(), "mime_type": "application/octet-stream"}
    sent = as_read(read_conversation([HumanMessage([wrong])], PASSED_ON))[0].content[0]
    assert sent == {**wrong, "mime_type": "image/png"}


def test_an_image_object_becomes_a_block_that_providers_take() -> None:
    form: dict[Any, Any] = {"type": "image", "image": picture()}
    (sent,) = as_read(read_conversation([HumanMessage([form])], PASSED_ON))
    assert sent.content_blocks[0]["type"] == "image"
    assert pixels(read_conversation([sent])) == [picture().tobytes()]


# ── texts ──


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_picture_out_of_scope_leaves_no_trace(form: dict[Any, Any]) -> None:
    reading = Reading(passed_on=True, last_turn_only=True)
    for nest, wrap in NESTS.items():
        given: list[BaseMessage] = [
            HumanMessage(["see", wrap(form), "and"]),
            AIMessage("a", tool_calls=[CALL]),
            ToolMessage(["b", wrap(form)], tool_call_id="1"),
            HumanMessage("b"),
        ]
        conversation = read_conversation(given, reading)
        assert conversation.pictures == []
        for index in (0, 2):
            sent = conversation.messages[index]
            assert b64() not in str(sent), nest
            assert not holds(sent.content, bytes, Image.Image), nest
            assert EARLIER_PICTURE in conversation.turns[index].parts, nest
            blank = form["type"] == "computer_screenshot" if "type" in form else False
            blank = blank or nest == "computer_call_output"
            assert (EARLIER_PICTURE in str(sent)) != blank, nest
            again = read_conversation([sent, HumanMessage("b")], PASSED_ON)
            assert len(again.pictures) == blank, nest
        assert conversation.messages[1] is given[1]
        assert conversation.messages[3] is given[3]


def test_a_generated_picture_goes_with_its_id_and_its_reasoning() -> None:
    """OpenAI's model would be shown what is stored under the id."""
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": []}
    forms = (
        {"type": "image_generation_call", "id": "ig_1", "result": b64()},
        {"type": "image", "id": "ig_1", "base64": b64(), "mime_type": "image/png"},
    )
    for form in forms:
        given = [HumanMessage("q"), AIMessage([reasoning, form, "c"]), HumanMessage("b")]
        conversation = read_conversation(given, Reading(passed_on=True, last_turn_only=True))
        text = {"type": "text", "text": EARLIER_PICTURE}
        assert conversation.messages[1].content == [text, "c"]
        assert given[1].content == [reasoning, form, "c"]


@pytest.mark.parametrize(
    ("form", "left"),
    [
        (
            {"type": "document", "source": {"type": "base64", "data": "x"}, "title": "t"},
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": OMITTED},
                "title": "t",
            },
        ),
        ({"type": "audio", "base64": "AAAA"}, {"type": "text", "text": OMITTED}),
        (
            {"type": "image", "base64": "AAAA", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": OMITTED, "cache_control": {"type": "ephemeral"}},
        ),
        ({"type": "input_file", "file_id": "1"}, {"type": "input_text", "text": OMITTED}),
        ({"document": {"format": "pdf", "source": {"bytes": b"%PDF"}}}, {"text": OMITTED}),
        ({"inline_data": {"mime_type": "video/mp4", "data": "AAAA"}}, {"text": OMITTED}),
        (
            {"type": "tool_result", "tool_use_id": "1", "content": [block(), {"type": "audio"}]},
            {
                "type": "tool_result",
                "tool_use_id": "1",
                "content": [block(), {"type": "text", "text": OMITTED}],
            },
        ),
        (
            {"type": "tool_result", "tool_use_id": "1", "content": 5.0, "base64": b64()},
            {"type": "tool_result", "tool_use_id": "1", "content": OMITTED},
        ),
        (
            {"type": "function_call_output", "call_id": "1", "output": "a", "image": url()},
            {"type": "function_call_output", "call_id": "1", "output": OMITTED},
        ),
        (
            {"toolResult": {"toolUseId": "1", "content": [], "image": {"bytes": png()}}},
            {"toolResult": {"toolUseId": "1", "content": [{"text": OMITTED}]}},
        ),
        (
            {
                "type": "text_editor_code_execution_tool_result",
                "tool_use_id": "1",
                "content": {"type": "view", "file_type": "image", "content": b64()},
            },
            {
                "type": "text_editor_code_execution_tool_result",
                "tool_use_id": "1",
                "content": OMITTED,
            },
        ),
        ({"type": "text", "text": "half \ud83d"}, {"type": "text", "text": OMITTED}),
        ("half \ud83d", OMITTED),
        ({"type": "hologram", "base64": b64()}, {"type": "text", "text": OMITTED}),
    ],
)
def test_what_cannot_be_read_gives_way_to_a_text_of_its_form(form: Any, left: Any) -> None:
    conversation = read_conversation([HumanMessage(["see", form])], OMIT)
    assert conversation.messages[0].content == ["see", left]
    assert OMITTED in conversation.turns[0].parts


@pytest.mark.parametrize("form", [*BAD.values(), *REFUSED.values()], ids=[*BAD, *REFUSED])
def test_nothing_that_cannot_be_read_ends_a_thread(
    form: dict[Any, Any], caplog: pytest.LogCaptureFixture
) -> None:
    for nest, wrap in NESTS.items():
        for make in PLACES.values():
            messages = make(["see", wrap(form)])
            for reading in (OMIT, Reading(unreadable="omit")):
                caplog.clear()
                with caplog.at_level(logging.WARNING):
                    conversation = read_conversation(messages, reading)
                texts = [turn.parts for turn in conversation.turns]
                assert (OMITTED in str(texts)) == ("is left out" in caplog.text), nest
                read_conversation(conversation.messages, PASSED_ON)  # nothing unreadable is left
            kept = read_conversation(messages, KEEP)
            assert all(a is b for a, b in zip(kept.messages, messages, strict=True))
            assert as_read(kept) == messages


def test_what_is_kept_unread_is_named() -> None:
    given: list[BaseMessage] = [
        HumanMessage(["see", block(1), {"type": "audio", "base64": "AAAA"}]),
        AIMessage("a"),
        HumanMessage([{"type": "image", "url": "https://example.org/a.png"}, "b"]),
    ]
    kept = read_conversation(given, KEEP)
    assert [(one.message, one.block) for one in kept.unread] == [(0, 2), (2, 0)]
    assert "'audio'" in kept.unread[0].reason
    assert seeds(kept.pictures) == [1]
    assert [turn.parts[-1] for turn in kept.turns][1:] == ["a", "b"]


def test_a_lone_surrogate_is_an_error_that_says_so() -> None:
    for content in ("half \udfff", ["half \udfff"], [{"type": "tool_result", "content": "\ud800"}]):
        with pytest.raises(InputError, match="half of a surrogate pair"):
            read_conversation([HumanMessage(content)])  # type: ignore[arg-type]


# ── asked for text alone ──


def blocks_of(conversation: Conversation) -> list[Any]:
    return [
        part
        for message in plainly(conversation, "")
        for part in (message.content if isinstance(message.content, list) else [])
    ]


def test_a_repair_is_sent_the_users_own_blocks_and_the_original_bytes() -> None:
    own: dict[Any, Any] = {"type": "image_url", "image_url": {"url": url(), "detail": "low"}}
    result = {"type": "tool_result", "tool_use_id": "1", "content": [{**block(1), "extra": 1}]}
    message = HumanMessage([own, "q", result])
    first, _, second = blocks_of(read_conversation([message], PASSED_ON))
    assert first == own
    assert second == block(1)


def test_a_repair_is_sent_what_was_encoded_for_the_plain_answer() -> None:
    form: dict[Any, Any] = in_place_of_the_png(block())
    conversation = read_conversation([HumanMessage([form, "q"])], PASSED_ON)
    (plain,) = as_read(conversation)
    assert blocks_of(conversation)[0] == plain.content[0]
    assert plain.content[0] != form
