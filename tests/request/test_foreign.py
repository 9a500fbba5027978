"""Blocks that only providers know go on where they carry nothing to be seen or heard."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from eta_guard.errors import InputError
from eta_guard.request.conversation import pictures_in, read_conversation
from eta_guard.request.reading import Reading
from tests.request.test_conversation import b64, block, picture, png, seeds, url

PASSED_ON = Reading(passed_on=True)
PDF = base64.b64encode(b"%PDF-1.7 and then some more of it").decode()
OPAQUE = base64.b64encode(np.random.default_rng(0).bytes(300)).decode()

HARMLESS: dict[str, dict[Any, Any]] = {
    "container_upload": {"type": "container_upload", "file_id": "file_1"},
    "web_search_tool_result": {
        "type": "web_search_tool_result",
        "tool_use_id": "1",
        "content": [
            {
                "type": "web_search_result",
                "url": "https://example.org/cup.png",
                "title": "data:image/png;base64,AAAA",
                "encrypted_content": OPAQUE,
            }
        ],
    },
    "an error": {
        "type": "web_fetch_tool_result",
        "tool_use_id": "1",
        "content": {"type": "web_fetch_tool_result_error", "error_code": "url_not_accessible"},
    },
    "code_execution_tool_result": {
        "type": "code_execution_tool_result",
        "tool_use_id": "1",
        "content": {
            "type": "code_execution_result",
            "stdout": url(),
            "stderr": "",
            "return_code": 0,
            "content": [{"type": "code_execution_output", "file_id": "file_1"}],
        },
    },
    "mcp_call": {"type": "mcp_call", "id": "1", "arguments": "{}", "output": url(), "error": None},
    "mcp_list_tools": {
        "type": "mcp_list_tools",
        "tools": [
            {
                "name": "draw",
                "input_schema": {
                    "properties": {
                        "image": {"type": "string", "format": "base64", "default": "AAAA"},
                        "image_url": {"type": "string", "examples": ["https://e.org/cup.png"]},
                    }
                },
            }
        ],
    },
    "mcp_approval_request": {"type": "mcp_approval_request", "id": "1", "arguments": "{}"},
    "mcp_approval_response": {"type": "mcp_approval_response", "approve": True},
    "tool_search_call": {"type": "tool_search_call", "arguments": {"query": "image"}},
    "apply_patch_call": {
        "type": "apply_patch_call",
        "operation": {"type": "update_file", "path": "cup.png", "diff": "+a"},
    },
    "compaction": {"type": "compaction", "encrypted_content": OPAQUE},
    "executable_code": {"type": "executable_code", "executable_code": "1", "language": "PYTHON"},
    "code_execution_result": {"type": "code_execution_result", "code_execution_result": "1"},
    "function_call_signature": {"type": "function_call_signature", "signature": OPAQUE},
    "dict": {"type": "server_tool_result", "tool_call_id": "1", "output": {"a": [1, None, "b"]}},
    "untyped list": {"type": "server_tool_result", "output": [{"a": 1}, "b", 2, True, None, 1.5]},
    "citations": {
        "type": "text",
        "text": "A cup.",
        "citations": [
            {"type": "page_location", "file_id": "file_1", "cited_text": "A cup."},
            {"type": "web_search_result_location", "url": "https://example.org/cup.pdf"},
        ],
        "annotations": [
            {"type": "container_file_citation", "file_id": "file_1", "filename": "cup.png"},
            {"type": "url_citation", "url": "https://example.org/cup.png", "title": "Cups"},
            {"type": "citation", "url": "https://example.org/cup.png", "extras": {"a": 1}},
        ],
    },
    "a redacted thought": {"type": "redacted_thinking", "data": OPAQUE},
    "guardContent": {"guardContent": {"text": {"text": "A cup."}}},
    "of tomorrow": {"type": "hologram", "words": ["a", "b"], "depth": 3},
}

CARRYING: dict[str, dict[Any, Any]] = {
    "base64": {"type": "hologram", "base64": b64()},
    "another key": {"type": "hologram", "payload": b64()},
    "another key, url-safe": {"type": "hologram", "payload": b64().replace("+", "-")},
    "wrapped lines": {"type": "hologram", "data": OPAQUE[:70] + "\n" + OPAQUE[70:140]},
    "unknown bytes": {"type": "hologram", "data": OPAQUE},
    "bytes": {"type": "hologram", "payload": png()},
    "bytearray": {"type": "hologram", "payload": [bytearray(png())]},
    "image object": {"type": "hologram", "payload": {"a": picture()}},
    "data url": {"type": "hologram", "link": url()},
    "data url in capitals": {"type": "hologram", "link": url().replace("data:", "DATA:")},
    "data url of a sound": {"type": "hologram", "link": "data:audio/wav;base64,AAAA"},
    "image_url": {"type": "hologram", "image_url": "https://example.org/cup"},
    "image_url object": {"type": "hologram", "image_url": {"url": "https://example.org/cup"}},
    "address of an image": {"type": "hologram", "url": "https://example.org/cup.png?a=1#b"},
    "address of a PDF": {"type": "hologram", "source": {"url": "https://example.org/cup.PDF"}},
    "bucket": {"type": "hologram", "uri": "gs://bucket/cup"},
    "bucket under any key": {"type": "hologram", "where": "s3://bucket/cup"},
    "file id": {"type": "hologram", "file_id": "file_1"},
    "file id within": {"type": "hologram", "part": {"fileId": "file_1"}},
    "file_data": {"type": "hologram", "file_data": {"file_uri": "https://example.org/files/1"}},
    "source": {"type": "Image", "source": {"type": "base64", "data": b64()}},
    "named an image": {"type": "image_v2", "content": OPAQUE},
    "named an image, with an id": {"type": "input_image_v2", "file_id": "file_1"},
    "media type": {"type": "hologram", "part": {"mimeType": "image/png", "body": OPAQUE}},
    "media type, address": {"type": "hologram", "mime_type": "video/mp4", "at": "https://e.org/a"},
    "a PDF": {"type": "hologram", "payload": PDF},
    "screenshot": {"type": "hologram", "screenshot": {"at": "https://example.org/cup"}},
    "editor's picture": {
        "type": "text_editor_code_execution_tool_result",
        "tool_use_id": "1",
        "content": {
            "type": "text_editor_code_execution_view_result",
            "file_type": "image",
            "content": OPAQUE,
        },
    },
    "fetched PDF": {
        "type": "web_fetch_tool_result",
        "tool_use_id": "1",
        "content": {
            "type": "web_fetch_result",
            "url": "https://example.org/cup.pdf",
            "content": {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
            },
        },
    },
    "stored item": {"type": "item_reference", "id": "ig_1"},
    "stored item within": {"type": "hologram", "items": [{"type": "item_reference", "id": "ig_1"}]},
    "keys that are no text": {"type": "hologram", 5: b64()},
    "type that is no text": {"type": ["image"], "base64": b64()},
    "two untyped keys": {"text": "hi", "inline_data": {"data": b64()}},
    "beside thinking": {"type": "thinking", "thinking": "hm", "content": {"data": b64()}},
    "in reasoning": {
        "type": "reasoning",
        "summary": [],
        "content": [{"type": "input_image", "image_url": url()}],
    },
    "beside a call": {"type": "function_call", "arguments": "{}", "output": {"image": url()}},
    "beside text": {"type": "text", "text": "a", "source": {"type": "base64", "data": b64()}},
    "beside a result": {"type": "server_tool_result", "output": "a", "extras": {"shot": b64()}},
    "beside a picture": {**block(), "more": {"inline_data": {"data": OPAQUE}}},
    "beside a picture, as text": {**block(), "more": ["a", b64(3)]},
    "beside a document": {
        "type": "document",
        "source": {"type": "text", "data": "a"},
        "thumbnail": url(),
    },
    "beside an annotation": {"type": "text", "text": "a", "annotations": [{"icon": url()}]},
    "in a redacted thought": {"type": "redacted_thinking", "data": "x", "inner": {"data": b64()}},
    "in a call of a search": {"type": "web_search_call", "results": [{"base64": b64()}]},
}

READ: dict[str, dict[Any, Any]] = {
    "result of a search": {"type": "web_search_tool_result", "content": [block(1)]},
    "dict of a result": {"type": "server_tool_result", "output": {"shots": [block(1)]}},
    "deep": {"type": "hologram", "a": [{"b": {"c": [block(1)]}}]},
    "of another kind": {"type": "hologram", "a": {"type": "input_image", "image_url": url(1)}},
    "result in a result": {
        "type": "hologram",
        "a": {"type": "tool_result", "content": [block(1)]},
    },
}


@pytest.mark.parametrize("form", HARMLESS.values(), ids=HARMLESS.keys())
def test_what_carries_nothing_is_passed_on_untouched(form: dict[Any, Any]) -> None:
    for wrapped in (form, {"type": "non_standard", "value": form}):
        messages = [HumanMessage("q"), AIMessage([wrapped, "x"]), HumanMessage([wrapped, "b"])]
        conversation = read_conversation(messages, PASSED_ON)
        assert conversation.pictures == []
        assert all(a is b for a, b in zip(conversation.messages, messages, strict=True))
        assert pictures_in(AIMessage([wrapped, "x"])) == ()


KNOWN = {"citations", "a redacted thought"}


@pytest.mark.parametrize(
    "form", [form for name, form in HARMLESS.items() if name not in {"untyped list", *KNOWN}]
)
def test_an_engine_that_cannot_show_it_says_so(form: dict[Any, Any]) -> None:
    with pytest.raises(InputError, match="nor be shown to a model of this engine"):
        read_conversation([HumanMessage([form])])


@pytest.mark.parametrize("form", CARRYING.values(), ids=CARRYING.keys())
def test_what_may_carry_a_picture_is_refused_wherever_it_hides(form: dict[Any, Any]) -> None:
    for hidden in (
        form,
        {"type": "non_standard", "value": form},
        {"type": "hologram", "inner": [form]},
        {"type": "tool_result", "content": [form]},
        {"type": "server_tool_result", "output": {"a": form}},
        {"type": "web_fetch_tool_result", "content": form},
        {"type": "mcp_call", "a": form},
    ):
        for message in (HumanMessage([hidden]), AIMessage([hidden])):
            with pytest.raises(InputError, match=r"^Message 0, block 0: "):
                read_conversation([message, HumanMessage("b")], PASSED_ON)
        with pytest.raises(InputError):
            pictures_in(AIMessage([hidden]))


@pytest.mark.parametrize("form", READ.values(), ids=READ.keys())
def test_known_blocks_within_unknown_ones_are_read(form: dict[Any, Any]) -> None:
    conversation = read_conversation([HumanMessage(["q", form])], PASSED_ON)
    assert seeds(conversation.pictures) == [1]
    (shown,) = pictures_in(AIMessage([form]))
    assert shown.tobytes() == picture(1).tobytes()


def test_what_is_refused_is_not_quoted() -> None:
    for form in CARRYING.values():
        with pytest.raises(InputError) as caught:
            read_conversation([HumanMessage([form])], PASSED_ON)
        assert b64()[:30] not in str(caught.value)
        assert OPAQUE[:30] not in str(caught.value)


def test_endless_nesting_is_an_error() -> None:
    inner: Any = "a"
    for _ in range(5000):
        inner = {"a": [inner]}
    with pytest.raises(InputError, match="nested too deeply"):
        read_conversation([HumanMessage([{"type": "hologram", "a": inner}])], PASSED_ON)


def test_a_screenshot_as_text_is_a_picture() -> None:
    """langchain-openai sends the text of such a message as an image."""

    def shot(content: str) -> list[BaseMessage]:
        extra = {"type": "computer_call_output"}
        return [
            HumanMessage("q"),
            ToolMessage(content, tool_call_id="1", additional_kwargs=extra),
        ]

    for reading in (PASSED_ON, Reading()):
        assert seeds(read_conversation(shot(url(2)), reading).pictures) == [2]
        for elsewhere in ("https://example.org/a.png", "file-1", ""):
            with pytest.raises(InputError, match="Message 1, block 0"):
                read_conversation(shot(elsewhere), reading)
