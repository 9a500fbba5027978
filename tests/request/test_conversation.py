from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.content import KNOWN_BLOCK_TYPES
from PIL import Image

from eta_guard.errors import ImageInputError, InputError
from eta_guard.request.conversation import Conversation, Picture, read_conversation
from eta_guard.request.reading import Reading

LAST_TURN = Reading(last_turn_only=True)
Content = list[str | dict[Any, Any]]
Wrap = Callable[[Any], Any]


def picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8))


def png(seed: int = 0) -> bytes:
    out = BytesIO()
    picture(seed).save(out, "PNG")
    return out.getvalue()


def b64(seed: int = 0) -> str:
    return base64.b64encode(png(seed)).decode()


def url(seed: int = 0) -> str:
    return f"data:image/png;base64,{b64(seed)}"


def block(seed: int = 0) -> dict[Any, Any]:
    return {"type": "image", "base64": b64(seed), "mime_type": "image/png"}


def show(content: str | Content) -> Conversation:
    return read_conversation([HumanMessage(content)])


def pixels(conversation: Conversation) -> list[bytes]:
    assert all(picture.pixels.mode == "RGB" for picture in conversation.pictures)
    return [picture.pixels.tobytes() for picture in conversation.pictures]


def seeds(pictures: list[Picture]) -> list[int]:
    known = {picture(seed).tobytes(): seed for seed in range(8)}
    return [known[picture.pixels.tobytes()] for picture in pictures]


FORMS: dict[str, dict[Any, Any]] = {
    "langchain base64": block(),
    "langchain base64 without mime": {"type": "image", "base64": b64(), "id": "lc_1", "index": 0},
    "langchain wrong mime": {"type": "image", "base64": b64(), "mime_type": "image/jpeg"},
    "langchain url": {"type": "image", "url": url()},
    "langchain bytes": {"type": "image", "base64": png()},
    "openai": {"type": "image_url", "image_url": {"url": url(), "detail": "low"}},
    "openai bare": {"type": "image_url", "image_url": url()},
    "openai responses": {"type": "input_image", "image_url": url(), "file_id": None},
    "openai file": {"type": "file", "file": {"file_data": url(), "filename": "a.png"}},
    "openai responses file": {"type": "input_file", "file_data": url(), "filename": "a.png"},
    "openai generated": {"type": "image_generation_call", "id": "ig", "result": b64()},
    "openai screenshot": {"type": "computer_screenshot", "image_url": url()},
    "anthropic": {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": b64()},
        "cache_control": {"type": "ephemeral"},
    },
    "anthropic data url": {"type": "image", "source": {"type": "url", "url": url()}},
    "langchain v0": {
        "type": "image",
        "source_type": "base64",
        "data": b64(),
        "mime_type": "image/png",
        "id": "1",
    },
    "langchain v0 url": {"type": "image", "source_type": "url", "url": url()},
    "langchain v0 file": {
        "type": "file",
        "source_type": "base64",
        "data": b64(),
        "mime_type": "image/png",
    },
    "media": {"type": "media", "mime_type": "image/png", "data": b64()},
    "media bytes": {"type": "media", "mime_type": "image/png", "data": png()},
    "file": {"type": "file", "mime_type": "image/png", "base64": b64()},
    "file data": {"type": "file", "mime_type": "image/webp", "data": b64()},
    "file url": {"type": "file", "url": url()},
    "file of unknown type": {"type": "file", "base64": b64()},
    "octets": {"type": "file", "mime_type": "application/octet-stream", "base64": b64()},
    "bedrock": {"image": {"format": "png", "source": {"bytes": png()}}},
    "bedrock base64": {"image": {"format": "png", "source": {"bytes": b64()}}},
    "google": {"inline_data": {"mime_type": "image/png", "data": b64()}},
    "google bytes": {"inline_data": {"mime_type": "image/png", "data": png()}},
    "google json": {"inlineData": {"mimeType": "image/png", "data": b64()}},
    "mcp": {"type": "image", "data": b64(), "mimeType": "image/png"},
    "transformers object": {"type": "image", "image": picture()},
    "transformers url": {"type": "image", "image": url()},
}

NESTS: dict[str, Wrap] = {
    "as it is": lambda inner: inner,
    "non_standard": lambda inner: {"type": "non_standard", "value": inner},
    "tool_result": lambda inner: {"type": "tool_result", "tool_use_id": "1", "content": [inner]},
    "tool_result, bare": lambda inner: {"type": "tool_result", "content": inner},
    "function_call_output": lambda inner: {"type": "function_call_output", "output": [inner]},
    "computer_call_output": lambda inner: {"type": "computer_call_output", "output": inner},
    "server_tool_result": lambda inner: {"type": "server_tool_result", "output": [inner]},
    "toolResult": lambda inner: {"toolResult": {"toolUseId": "1", "content": [inner]}},
    "document": lambda inner: {
        "type": "document",
        "source": {"type": "content", "content": [inner]},
    },
    "twice": lambda inner: {
        "type": "non_standard",
        "value": {
            "type": "tool_result",
            "content": ["a", {"type": "non_standard", "value": inner}],
        },
    },
}

CALL = {"name": "look", "args": {}, "id": "1", "type": "tool_call"}
PLACES: dict[str, Callable[[Content], list[BaseMessage]]] = {
    "last user": lambda c: [SystemMessage("s"), HumanMessage(c)],
    "earlier user": lambda c: [HumanMessage(c), AIMessage("a"), HumanMessage("b")],
    "tool": lambda c: [
        HumanMessage("q"),
        AIMessage("", tool_calls=[CALL]),
        ToolMessage(c, tool_call_id="1"),
    ],
    "assistant": lambda c: [HumanMessage("q"), AIMessage(c), HumanMessage("b")],
    "system": lambda c: [SystemMessage(c), HumanMessage("b")],
    "role": lambda c: [ChatMessage(content=c, role="user")],
    "function": lambda c: [HumanMessage("q"), FunctionMessage(content=c, name="look")],
    "chunk": lambda c: [HumanMessage("q"), AIMessageChunk(content=c), HumanMessage("b")],
}


# ── every form, everywhere ──


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_every_form_gives_the_same_pixels_wherever_it_stands(form: dict[Any, Any]) -> None:
    for place, make in PLACES.items():
        for nest, wrap in NESTS.items():
            messages = make(["see", wrap(form)])
            conversation = read_conversation(messages)
            assert pixels(conversation) == [picture().tobytes()], (place, nest)
            (found,) = conversation.pictures
            assert found.block == 1, (place, nest)
            assert isinstance(messages[found.message].content, list), (place, nest)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_forms_survive_content_blocks(form: dict[Any, Any]) -> None:
    given: Any = [{"type": "text", "text": "see"}, form]
    assert pixels(read_conversation([HumanMessage(content_blocks=given)])) == [picture().tobytes()]
    if "id" in form and "source_type" in form:
        return  # langchain-core 1.7 cannot normalise a v0 block that has an id
    again = HumanMessage(content_blocks=HumanMessage(given).content_blocks)
    if form.get("type") == "file" and "file" in form:
        # langchain-core 1.7 declares every OpenAI file a PDF: what is so declared is refused
        with pytest.raises(InputError, match="cannot be evaluated"):
            read_conversation([again])
    else:
        assert pixels(read_conversation([again])) == [picture().tobytes()]


def test_messages_may_be_dicts_pairs_or_text() -> None:
    for given in (
        [{"role": "user", "content": [block()]}],
        [("user", [block()])],
        {"role": "user", "content": [block()]},
        HumanMessage([block()]),
    ):
        loose: Any = given
        assert pixels(read_conversation(loose)) == [picture().tobytes()]
    text: Any = "hello"
    assert read_conversation(text).turns[0].parts == ("hello",)


def test_pictures_keep_order_and_place() -> None:
    conversation = read_conversation(
        [
            HumanMessage(
                [block(3), "and", {"type": "tool_result", "content": [block(1), block(2)]}]
            ),
            AIMessage("yes"),
            HumanMessage(["", block(0)]),
        ]
    )
    assert seeds(conversation.pictures) == [3, 1, 2, 0]
    places = [(picture.message, picture.block) for picture in conversation.pictures]
    assert places == [(0, 0), (0, 2), (0, 2), (2, 1)]
    kinds = [type(part).__name__ for part in conversation.turns[0].parts]
    assert kinds == ["Picture", "str", "Picture", "Picture"]


# ── the last turn ──


def test_last_turn_pictures_are_those_from_the_last_user_message_on() -> None:
    tool = ToolMessage([block(3)], tool_call_id="1")
    call = AIMessage("", tool_calls=[CALL])
    old: list[BaseMessage] = [SystemMessage([block(4)]), HumanMessage([block(0)]), AIMessage("a")]
    table: list[tuple[list[BaseMessage], list[int]]] = [
        ([*old, HumanMessage("b")], []),
        ([*old, HumanMessage([block(1), block(2)])], [1, 2]),
        ([*old, HumanMessage([block(1)]), call, tool], [1, 3]),
        ([*old, HumanMessage("b"), call, tool], [3]),
        ([HumanMessage([block(0)]), call, tool, AIMessage("a"), HumanMessage("b")], []),
        ([*old, HumanMessage([block(1)]), HumanMessage("what is this?")], [1]),
        ([SystemMessage([block(4)]), call, tool], [4, 3]),
    ]
    for messages, expected in table:
        assert seeds(read_conversation(messages, LAST_TURN).pictures) == expected


# ── text ──


@pytest.mark.parametrize(
    "text",
    [
        "  two  spaces \n\n and a line \t",
        f"![a cat]({url()})",
        f'<img src="{url()}"> https://example.org/cat.png',
        json.dumps([block()]),
    ],
)
def test_text_stays_text_to_the_character(text: str) -> None:
    for content in (text, [text], [{"type": "text", "text": text}]):
        assert show(content).turns[0].parts == (text,)  # type: ignore[arg-type]
    tool = read_conversation([HumanMessage("q"), ToolMessage(text, tool_call_id="1")])
    assert tool.turns[1].parts == (text,)


def test_text_blocks_stay_separate_and_empty_ones_are_dropped() -> None:
    conversation = show(
        [" a", {"type": "text", "text": "b "}, "", {"type": "text", "text": ""}, "c"]
    )
    assert conversation.turns[0].parts == (" a", "b ", "c")


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({"type": "input_text", "text": "hi"}, "hi"),
        ({"type": "output_text", "text": "hi", "annotations": []}, "hi"),
        ({"type": "refusal", "refusal": "no"}, "no"),
        ({"type": "logs", "logs": "1 2"}, "1 2"),
        ({"type": "text", "source_type": "text", "text": "hi"}, "hi"),
        ({"text": "hi"}, "hi"),
        ({"json": {"ä": [1]}}, '{"ä": [1]}'),
        ({"type": "text-plain", "mime_type": "text/plain", "text": "hi"}, "hi"),
        ({"type": "text-plain", "mime_type": "text/plain", "base64": "w6Q="}, "ä"),
        ({"type": "text-plain", "base64": "w6Q="}, "ä"),
        ({"type": "file", "mime_type": "text/csv", "base64": "YSxi"}, "a,b"),
        ({"type": "file", "source_type": "text", "text": "hi", "mime_type": "text/plain"}, "hi"),
        ({"type": "file", "file": {"file_data": "data:text/plain,a%20b"}}, "a b"),
        (
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "d"},
            },
            "d",
        ),
        ({"type": "tool_result", "content": "hi"}, "hi"),
        (
            {"type": "search_result", "content": [{"type": "text", "text": "hi"}], "source": "s"},
            "hi",
        ),
    ],
)
def test_reads_the_forms_of_text(form: dict[Any, Any], text: str) -> None:
    for wrap in NESTS.values():
        assert show([wrap(form)]).turns[0].parts[-1] == text


@pytest.mark.parametrize(
    "form",
    [
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "xx"},
        {"type": "tool_use", "id": "1", "name": "look", "input": {"image": b64()}},
        {"type": "tool_call", "id": "1", "name": "look", "args": {}},
        {"type": "function_call", "name": "look", "arguments": "{}"},
        {"type": "invalid_tool_call", "name": "look", "args": "{", "error": "x"},
        {"type": "server_tool_call", "name": "search", "args": {}, "id": "1"},
        {"toolUse": {"name": "look", "input": {}}},
        {"cachePoint": {"type": "default"}},
        {"type": "tool_result", "tool_use_id": "1"},
    ],
)
def test_calls_and_reasoning_carry_no_part(form: dict[Any, Any]) -> None:
    messages = [HumanMessage("q"), AIMessage([form, "x"]), HumanMessage("b")]
    assert read_conversation(messages).turns[1].parts == ("x",)


def test_all_block_types_of_langchain_are_known() -> None:
    for kind in KNOWN_BLOCK_TYPES:
        try:
            show(["q", {"type": kind}])
            said = ""
        except InputError as error:
            said = str(error)
        assert "unknown" not in said, kind
        assert bool(said) != (kind in {"reasoning", "server_tool_result"} or "call" in kind), kind


# ── what is refused ──

REFUSED: dict[str, dict[Any, Any]] = {
    "address": {"type": "image", "url": "https://example.org/cat.png"},
    "openai address": {"type": "image_url", "image_url": {"url": "http://example.org/cat.png"}},
    "openai bare address": {"type": "image_url", "image_url": "https://example.org/cat.png"},
    "openai path": {"type": "image_url", "image_url": "/tmp/cat.png"},
    "file id": {"type": "image", "file_id": "file-1"},
    "openai file id": {"type": "input_image", "file_id": "file-1"},
    "openai file": {"type": "file", "file": {"file_id": "file-1"}},
    "openai file address": {"type": "input_file", "file_url": "https://example.org/cat.png"},
    "anthropic address": {"type": "image", "source": {"type": "url", "url": "https://e.org/c.png"}},
    "anthropic file": {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
    "v0 address": {"type": "image", "source_type": "url", "url": "https://example.org/cat.png"},
    "v0 id": {"type": "image", "source_type": "id", "id": "file-1"},
    "media uri": {"type": "media", "mime_type": "image/png", "file_uri": "gs://bucket/cat.png"},
    "bedrock s3": {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/c.png"}}}},
    "google uri": {"file_data": {"mime_type": "image/png", "file_uri": "https://e.org/c"}},
    "transformers path": {"type": "image", "path": "/tmp/cat.png"},
    "text file elsewhere": {"type": "text-plain", "url": "https://example.org/a.txt"},
}
BAD: dict[str, dict[Any, Any]] = {
    "audio": {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"},
    "input_audio": {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    "video": {"type": "video", "url": "https://example.org/a.mp4"},
    "video_url": {"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}},
    "qwen video": {"type": "video", "video": ["a.png"]},
    "pdf": {"type": "file", "mime_type": "application/pdf", "base64": "AAAA"},
    "openai pdf": {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
    "anthropic pdf": {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
    },
    "bedrock pdf": {"document": {"format": "pdf", "name": "d", "source": {"bytes": b"%PDF"}}},
    "bedrock video": {"video": {"format": "mp4", "source": {"bytes": b"x"}}},
    "media audio": {"type": "media", "mime_type": "audio/mp3", "data": "AAAA"},
    "media video": {"type": "media", "mime_type": "video/mp4", "data": "AAAA"},
    "text of an image": {"type": "text-plain", "mime_type": "text/plain", "base64": picture()},
    "svg": {"type": "image", "base64": b64(), "mime_type": "image/svg+xml"},
    "pdf as image": {"type": "image", "base64": base64.b64encode(b"%PDF-1.7").decode()},
    "empty": {"type": "image"},
    "text in Latin-1": {"type": "file", "mime_type": "text/plain", "base64": "5A=="},
    "text without text": {"type": "text"},
    "text that is none": {"type": "text", "text": None},
    "no type": {"foo": "bar"},
    "no key": {},
    "two keys": {"text": "hi", "image": {"source": {"bytes": png()}}},
    "image beside a bedrock result": {"toolResult": {"content": [], "image": {"bytes": png()}}},
    "image beside a document": {
        "type": "document",
        "source": {"type": "content", "content": "hi", "image": url()},
    },
    "two unknown keys": {"text": "hi", "foo": [block()]},
    "bytes in json": {"json": {"a": b"x"}},
    "odd keys in json": {"json": {(1, 2): 3}},
    "new type": {"type": "hologram", "base64": b64()},
    "case": {"type": "Image", "base64": b64()},
    "no text for a type": {"type": ["image"], "base64": b64()},
    "none for a type": {"type": None, "base64": b64()},
    "image beside text": {"type": "text", "text": "hi", "image_url": url()},
    "image beside reasoning": {"type": "reasoning", "reasoning": "hm", "image": url()},
    "image beside a result": {"type": "tool_result", "content": "hi", "base64": b64()},
    "text beside a file": {"type": "file", "mime_type": "image/png", "base64": b64(), "text": "hi"},
    "empty wrapping": {"type": "non_standard"},
    "wrapped list": {"type": "non_standard", "value": [block()]},
    "odd result": {"type": "tool_result", "content": 5},
    "odd bedrock result": {"toolResult": [block()]},
    "new kind of result": {"type": "server_tool_result", "output": {"shots": [block()]}},
}


@pytest.mark.parametrize("form", REFUSED.values(), ids=REFUSED.keys())
def test_what_stands_elsewhere_is_never_fetched(form: dict[Any, Any]) -> None:
    for make in PLACES.values():
        for wrap in NESTS.values():
            messages = make(["a", "b", wrap(form)])
            at = next(i for i, m in enumerate(messages) if isinstance(m.content, list))
            with pytest.raises(ImageInputError, match=rf"^Message {at}, block 2: .*never fetches"):
                read_conversation(messages)


@pytest.mark.parametrize("form", BAD.values(), ids=BAD.keys())
def test_what_cannot_be_evaluated_is_an_error(form: dict[Any, Any]) -> None:
    for make in PLACES.values():
        for wrap in NESTS.values():
            messages = make([wrap(form)])
            at = next(i for i, m in enumerate(messages) if isinstance(m.content, list))
            with pytest.raises(InputError, match=rf"^Message {at}, block 0: ") as error:
                read_conversation(messages)
            assert error.value.hint


def test_an_unknown_type_is_named_with_what_is_accepted() -> None:
    with pytest.raises(InputError, match=r"'hologram'.*'base64'.*Accepted are.*image_url") as error:
        show([BAD["new type"]])
    assert b64() not in str(error.value)
    with pytest.raises(InputError, match=r"no type.*'foo'"):
        show([BAD["no type"]])


def test_no_odd_block_slips_through() -> None:
    draw = np.random.default_rng(0)
    keys = ["type", "image", "source", "data", "value", "content", "output", "url", "x"]

    def odd(depth: int) -> Any:
        kind = draw.integers(4 if depth < 4 else 2)
        if kind == 0:
            return ["img", "image", "tool_result", "non_standard", "media"][draw.integers(5)]
        if kind == 1:
            return [None, 3, b"x", ""][draw.integers(4)]
        if kind == 2:
            return [odd(depth + 1) for _ in range(draw.integers(3))]
        return {keys[draw.integers(len(keys))]: odd(depth + 1) for _ in range(draw.integers(4))}

    for _ in range(2000):
        content = [{"type": "block", "value": odd(0)}, {"type": "image", "value": odd(0)}]
        for strange in [*content, {"image": odd(0)}, {"foo": odd(0)}]:
            with pytest.raises(InputError):
                show([strange])
        loose = odd(0)
        if isinstance(loose, dict):
            with contextlib.suppress(InputError):
                assert not show(["q", loose]).pictures


def test_endless_nesting_is_an_error() -> None:
    inner: dict[Any, Any] = block()
    for _ in range(5000):
        inner = {"type": "non_standard", "value": inner}
    with pytest.raises(InputError, match="nested too deeply"):
        show([inner])


def test_content_that_was_changed_after_validation_is_an_error() -> None:
    for content in (None, 5, [picture()], [[block()]]):
        message = HumanMessage("q")
        object.__setattr__(message, "content", content)
        with pytest.raises(InputError, match="Message 0, block 0"):
            read_conversation([message])


# ── messages ──


def test_roles_and_messages_are_kept() -> None:
    call = AIMessage("", tool_calls=[CALL])
    messages = [
        SystemMessage("s"),
        ChatMessage(content="d", role="developer"),
        HumanMessage("q"),
        call,
        ToolMessage("t", tool_call_id="1", artifact={"type": "image", "base64": b64()}),
        ChatMessage(content="a", role="Assistant"),
        ChatMessage(content="u", role="human"),
        FunctionMessage(content="f", name="look"),
    ]
    conversation = read_conversation(messages)
    roles = ["system", "system", "user", "assistant", "tool", "assistant", "user", "tool"]
    assert [turn.role for turn in conversation.turns] == roles
    assert all(kept is given for kept, given in zip(conversation.messages, messages, strict=True))
    assert conversation.turns[3].parts == ()
    assert conversation.pictures == []


@pytest.mark.parametrize("role", ["critic", "", "ipython"])
def test_an_unknown_role_is_an_error(role: str) -> None:
    with pytest.raises(InputError, match=rf"Message 1 .*unknown role '{role}'.*assistant"):
        read_conversation([HumanMessage("q"), ChatMessage(content="x", role=role)])


def test_an_unknown_kind_of_message_is_an_error() -> None:
    with pytest.raises(InputError, match=r"Message 1 .*RemoveMessage"):
        read_conversation([HumanMessage("q"), RemoveMessage("1")])


@pytest.mark.parametrize(
    "given", [[5], [("user",)], [{"content": "x"}], [("nobody", "x")], None, 5]
)
def test_what_are_no_messages_is_an_error(given: Any) -> None:
    with pytest.raises(InputError, match="messages cannot be read"):
        read_conversation(given)


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([], "no messages"),
        ([SystemMessage("s")], "the system's"),
        ([HumanMessage("q"), AIMessage("a")], "the assistant's.*End with a user"),
        ([HumanMessage("q"), SystemMessage("s")], "the system's"),
        ([HumanMessage("q"), AIMessage("a"), HumanMessage("")], "empty"),
        ([HumanMessage([{"type": "text", "text": ""}])], "empty"),
        ([HumanMessage([])], "empty"),
    ],
)
def test_there_must_be_something_to_answer(messages: list[BaseMessage], says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_conversation(messages)


def test_an_image_without_a_question_and_an_empty_tool_result_can_be_answered() -> None:
    assert seeds(show(["", block(2)]).pictures) == [2]
    conversation = read_conversation([HumanMessage("q"), ToolMessage("", tool_call_id="1")])
    assert conversation.turns[1].parts == ()


def test_the_repr_shows_no_messages_and_no_pixels() -> None:
    conversation = show(["hello", block()])
    assert "messages" not in repr(conversation)
    assert "PIL" not in repr(conversation)
