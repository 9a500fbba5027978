"""Histories as providers' models, their servers' own tools and MCP leave them."""

from __future__ import annotations

import asyncio
import base64
from io import BytesIO
from typing import Any

import numpy as np
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from PIL import Image

Blocks = list[str | dict[Any, Any]]

SIGNED = base64.b64encode(b"signed by its provider " * 8).decode()
CACHE = {"type": "ephemeral"}
CALL = {"name": "look", "args": {"place": "shelf"}, "id": "call_1", "type": "tool_call"}
ASKED = HumanMessage("And now?")


def photo(seed: int = 0) -> Image.Image:
    """Something with few details, whose first pixel is dark, so that the fakes find it safe."""
    coarse = np.random.default_rng(seed).integers(0, 30, (4, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((48, 32), Image.Resampling.BICUBIC)


def file(kind: str = "PNG", image: Image.Image | None = None, **options: Any) -> str:
    buffer = BytesIO()
    (image or photo()).save(buffer, kind, **options)
    return base64.b64encode(buffer.getvalue()).decode()


PNG, JPEG, WEBP = file(), file("JPEG"), file("WEBP")


def url(data: str = PNG, mime: str = "image/png") -> str:
    return f"data:{mime};base64,{data}"


def text(words: str = "What is this?", **more: Any) -> dict[Any, Any]:
    return {"type": "text", "text": words, **more}


def standard(data: str = PNG, mime: str = "image/png", **more: Any) -> dict[Any, Any]:
    return {"type": "image", "base64": data, "mime_type": mime, **more}


def openai(data: str = PNG, mime: str = "image/png", **more: Any) -> dict[Any, Any]:
    return {"type": "image_url", "image_url": {"url": url(data, mime), **more}}


def anthropic(data: str = PNG, mime: str = "image/png", **more: Any) -> dict[Any, Any]:
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": mime, "data": data},
        **more,
    }


def thought(provider: str, content: Blocks, **more: Any) -> AIMessage:
    return AIMessage(content, response_metadata={"model_provider": provider}, **more)


COMMON: dict[str, list[BaseMessage]] = {
    "text": [SystemMessage("Be brief."), HumanMessage("Hello"), AIMessage("Hi."), ASKED],
    "pictures of three formats": [
        HumanMessage([text("One"), standard(), text("two"), standard(JPEG, "image/jpeg")]),
        AIMessage("Two cups."),
        HumanMessage([standard(WEBP, "image/webp"), text("and this?")]),
    ],
    "a picture in a call's result": [
        HumanMessage("Look."),
        AIMessage("", tool_calls=[CALL]),
        ToolMessage([text("Seen:"), standard(JPEG, "image/jpeg")], tool_call_id="call_1"),
    ],
    "pictures in OpenAI's form": [HumanMessage([openai(), text(), openai(JPEG, "image/jpeg")])],
    "calls side by side": [
        HumanMessage([standard(), text("Look twice.")]),
        AIMessage("", tool_calls=[CALL, {**CALL, "id": "call_2"}]),
        ToolMessage("Nothing.", tool_call_id="call_1", status="error"),
        ToolMessage("A cup.", tool_call_id="call_2"),
    ],
}

CHAT: dict[str, list[BaseMessage]] = {
    "detail": [HumanMessage([openai(detail="low"), text(), openai(detail="high")])],
    "a named speaker": [HumanMessage([openai(), text()], name="ada"), AIMessage("A cup."), ASKED],
    "Anthropic's form": [HumanMessage([anthropic(), text()])],
}

RESPONSES: dict[str, list[BaseMessage]] = {
    "reasoning beside a call": [
        HumanMessage([openai(detail="low"), text()]),
        thought(
            "openai",
            [
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SIGNED},
                {"type": "text", "text": "I look.", "id": "msg_1", "annotations": []},
                {
                    "type": "function_call",
                    "id": "fc_1",
                    "call_id": "call_1",
                    "name": "look",
                    "arguments": '{"place": "shelf"}',
                },
            ],
            tool_calls=[CALL],
            id="resp_1",
        ),
        ToolMessage([text("Seen:"), openai(JPEG, "image/jpeg")], tool_call_id="call_1"),
    ],
    "a generated picture": [
        HumanMessage("Draw a cup."),
        thought(
            "openai",
            [
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SIGNED},
                {
                    "type": "image_generation_call",
                    "id": "ig_1",
                    "status": "completed",
                    "result": PNG,
                    "output_format": "png",
                },
                {"type": "text", "text": "Here.", "id": "msg_1", "annotations": []},
            ],
        ),
        ASKED,
    ],
    "a generated picture, as older versions keep it": [
        HumanMessage("Draw a cup."),
        AIMessage(
            [text("Here.")],
            additional_kwargs={
                "reasoning": {"type": "reasoning", "id": "rs_1", "summary": []},
                "tool_outputs": [
                    {"type": "image_generation_call", "id": "ig_1", "result": PNG},
                    {"type": "web_search_call", "id": "ws_1", "status": "completed"},
                ],
            },
            response_metadata={"id": "resp_1", "model_provider": "openai"},
            id="msg_1",
        ),
        ASKED,
    ],
    "computer use": [
        HumanMessage([{"type": "input_text", "text": "Open it."}]),
        thought(
            "openai",
            [
                {"type": "reasoning", "id": "rs_1", "summary": []},
                {
                    "type": "computer_call",
                    "id": "cu_1",
                    "call_id": "call_1",
                    "action": {"type": "screenshot"},
                    "pending_safety_checks": [],
                    "status": "completed",
                },
            ],
        ),
        ToolMessage(
            [{"type": "input_image", "image_url": url()}],
            tool_call_id="call_1",
            additional_kwargs={"type": "computer_call_output"},
        ),
    ],
    "computer use, the screenshot as text": [
        HumanMessage("Open it."),
        ToolMessage(
            url(),
            tool_call_id="call_1",
            additional_kwargs={
                "type": "computer_call_output",
                "acknowledged_safety_checks": [{"id": "1", "code": "c", "message": "m"}],
            },
        ),
    ],
    "computer use, wrapped": [
        HumanMessage("Open it."),
        ToolMessage(
            [
                {
                    "type": "non_standard",
                    "value": {
                        "type": "computer_call_output",
                        "call_id": "call_1",
                        "output": {"type": "computer_screenshot", "image_url": url()},
                    },
                }
            ],
            tool_call_id="call_1",
        ),
    ],
    "a custom tool": [
        HumanMessage("Look."),
        thought(
            "openai",
            [
                {
                    "type": "custom_tool_call",
                    "id": "ctc_1",
                    "call_id": "call_1",
                    "name": "look",
                    "input": "shelf",
                }
            ],
        ),
        ToolMessage(
            [
                {
                    "type": "custom_tool_call_output",
                    "output": [
                        {"type": "input_text", "text": "Seen:"},
                        {"type": "input_image", "image_url": url(), "detail": "low"},
                    ],
                }
            ],
            tool_call_id="call_1",
        ),
    ],
    "its servers' own tools": [
        HumanMessage([{"type": "input_image", "image_url": url(), "detail": "high"}, text()]),
        thought(
            "openai",
            [
                {
                    "type": "mcp_list_tools",
                    "id": "mcpl_1",
                    "server_label": "shop",
                    "tools": [
                        {
                            "name": "find",
                            "input_schema": {
                                "type": "object",
                                "properties": {
                                    "image_url": {
                                        "type": "string",
                                        "examples": ["https://example.org/cup.png"],
                                    }
                                },
                            },
                        }
                    ],
                },
                {
                    "type": "mcp_approval_request",
                    "id": "mcpr_1",
                    "name": "find",
                    "server_label": "shop",
                    "arguments": '{"image_url": "https://example.org/cup.png"}',
                },
                {
                    "type": "mcp_call",
                    "id": "mcp_1",
                    "name": "find",
                    "server_label": "shop",
                    "arguments": "{}",
                    "output": "A cup, see https://example.org/cup.png",
                },
                {
                    "type": "tool_search_call",
                    "id": "ts_1",
                    "call_id": None,
                    "arguments": {"query": "cups"},
                    "execution": "server",
                    "status": "completed",
                },
                {
                    "type": "apply_patch_call",
                    "id": "apc_1",
                    "call_id": "call_9",
                    "operation": {"type": "update_file", "path": "cup.png.txt", "diff": "+a"},
                    "status": "completed",
                },
                {
                    "type": "web_search_call",
                    "id": "ws_1",
                    "status": "completed",
                    "action": {"type": "open_page", "url": "https://example.org/cup.pdf"},
                },
                {
                    "type": "file_search_call",
                    "id": "fs_1",
                    "queries": ["cup"],
                    "results": [{"file_id": "file-1", "filename": "cup.pdf", "text": "A cup."}],
                    "status": "completed",
                },
                {
                    "type": "code_interpreter_call",
                    "id": "ci_1",
                    "code": "1",
                    "container_id": "cntr_1",
                    "outputs": [{"type": "logs", "logs": "1"}],
                    "status": "completed",
                },
                {"type": "text", "text": "A cup.", "id": "msg_1", "annotations": []},
            ],
        ),
        ASKED,
    ],
}

ANTHROPIC: dict[str, list[BaseMessage]] = {
    "signed thinking beside a call": [
        HumanMessage([anthropic(cache_control=CACHE), text()]),
        thought(
            "anthropic",
            [
                {"type": "thinking", "thinking": "A cup?", "signature": SIGNED},
                {"type": "redacted_thinking", "data": SIGNED},
                text("I look."),
                {"type": "tool_use", "id": "call_1", "name": "look", "input": CALL["args"]},
            ],
            tool_calls=[CALL],
        ),
        ToolMessage([text("Seen:"), anthropic(JPEG, "image/jpeg")], tool_call_id="call_1"),
    ],
    "thinking beside a picture": [
        HumanMessage("Draw."),
        thought(
            "anthropic",
            [
                {"type": "thinking", "thinking": "Hm.", "signature": SIGNED},
                anthropic(),
                text("So."),
            ],
        ),
        ASKED,
    ],
    "results within a user's message": [
        HumanMessage("Look."),
        AIMessage(
            [{"type": "tool_use", "id": "call_1", "name": "look", "input": CALL["args"]}],
            tool_calls=[CALL],
        ),
        HumanMessage(
            [
                {
                    "type": "tool_result",
                    "tool_use_id": "call_1",
                    "content": [text("Seen:"), anthropic()],
                    "is_error": False,
                },
                text("And?", cache_control=CACHE),
            ]
        ),
    ],
    "documents with citations": [
        SystemMessage([text("Be brief.", cache_control=CACHE)]),
        HumanMessage(
            [
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "Cups."},
                    "title": "Cups",
                    "citations": {"enabled": True},
                    "cache_control": CACHE,
                },
                {
                    "type": "search_result",
                    "source": "https://example.org/cup.png",
                    "title": "Cups",
                    "content": [text("A cup.")],
                    "citations": {"enabled": True},
                },
                anthropic(cache_control=CACHE),
                text(),
            ]
        ),
        thought(
            "anthropic",
            [
                text(
                    "A cup.",
                    citations=[
                        {
                            "type": "char_location",
                            "cited_text": "Cups.",
                            "document_index": 0,
                            "document_title": "Cups",
                            "start_char_index": 0,
                            "end_char_index": 5,
                        }
                    ],
                )
            ],
        ),
        ASKED,
    ],
    "its servers' own tools": [
        HumanMessage([{"type": "container_upload", "file_id": "file_1"}, anthropic(), text()]),
        thought(
            "anthropic",
            [
                {"type": "thinking", "thinking": "I search.", "signature": SIGNED},
                {
                    "type": "server_tool_use",
                    "id": "s1",
                    "name": "web_search",
                    "input": {"query": "a"},
                },
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": "s1",
                    "content": [
                        {
                            "type": "web_search_result",
                            "title": "Cups",
                            "url": "https://example.org/cup.pdf",
                            "encrypted_content": SIGNED,
                            "page_age": None,
                        }
                    ],
                },
                {
                    "type": "web_fetch_tool_result",
                    "tool_use_id": "s2",
                    "content": {
                        "type": "web_fetch_result",
                        "url": "https://example.org/cup.pdf",
                        "content": {
                            "type": "document",
                            "source": {"type": "text", "media_type": "text/plain", "data": "Cups."},
                            "citations": {"enabled": True},
                        },
                    },
                },
                {
                    "type": "bash_code_execution_tool_result",
                    "tool_use_id": "s3",
                    "content": {
                        "type": "bash_code_execution_result",
                        "stdout": "data:image/png is a kind of URL",
                        "stderr": "",
                        "return_code": 0,
                        "content": [{"type": "bash_code_execution_output", "file_id": "file_2"}],
                    },
                },
                {
                    "type": "text_editor_code_execution_tool_result",
                    "tool_use_id": "s4",
                    "content": {
                        "type": "text_editor_code_execution_view_result",
                        "file_type": "text",
                        "content": "cups",
                    },
                },
                {
                    "type": "tool_search_tool_result",
                    "tool_use_id": "s5",
                    "content": {
                        "type": "tool_search_tool_search_result",
                        "tool_references": [{"type": "tool_reference", "tool_name": "look"}],
                    },
                },
                {"type": "mcp_tool_use", "id": "s6", "name": "f", "server_name": "s", "input": {}},
                {
                    "type": "mcp_tool_result",
                    "tool_use_id": "s6",
                    "is_error": False,
                    "content": [text("A cup.")],
                },
                text("A cup."),
            ],
        ),
        ASKED,
    ],
}

GOOGLE: dict[str, list[BaseMessage]] = {
    "signatures beside a call": [
        HumanMessage([standard(), text()]),
        thought(
            "google_genai",
            [
                {"type": "thinking", "thinking": "A cup?", "signature": SIGNED},
                text("I look.", extras={"signature": SIGNED}),
                {"type": "function_call_signature", "signature": SIGNED, "index": 0},
            ],
            tool_calls=[CALL],
            additional_kwargs={
                "__gemini_function_call_thought_signatures__": {"call_1": SIGNED},
            },
        ),
        ToolMessage([text("Seen:"), standard(JPEG, "image/jpeg")], tool_call_id="call_1"),
    ],
    "signatures beside a picture": [
        HumanMessage("Draw."),
        thought(
            "google_genai",
            [
                {"type": "thinking", "thinking": "Hm.", "signature": SIGNED},
                {**openai(), "extras": {"signature": SIGNED}},
                text("So.", extras={"signature": SIGNED}),
            ],
        ),
        HumanMessage([{"type": "media", "mime_type": "image/jpeg", "data": JPEG}, text()]),
    ],
    "code execution": [
        HumanMessage([standard(), text("Count.")]),
        thought(
            "google_genai",
            [
                {
                    "type": "executable_code",
                    "executable_code": "print(1)",
                    "language": "PYTHON",
                    "id": "c1",
                },
                {
                    "type": "code_execution_result",
                    "code_execution_result": "1",
                    "outcome": "OUTCOME_OK",
                },
                text("One."),
            ],
        ),
        ASKED,
    ],
    "code execution, LangChain's form": [
        HumanMessage([standard(), text("Count.")]),
        thought(
            "google_genai",
            [
                {
                    "type": "server_tool_call",
                    "name": "code_interpreter",
                    "args": {"code": "print(1)", "language": "python"},
                    "id": "c1",
                },
                {
                    "type": "server_tool_result",
                    "tool_call_id": "c1",
                    "status": "success",
                    "output": "1",
                    "extras": {"outcome": "OUTCOME_OK", "block_type": "code_execution_result"},
                },
                text("One."),
            ],
        ),
        ASKED,
    ],
}


def given_by_mcp() -> list[BaseMessage]:
    """A tool of a real MCP server gives text, pictures and structured content."""
    from langchain_mcp_adapters.tools import load_mcp_tools
    from mcp.server.fastmcp import FastMCP
    from mcp.server.fastmcp import Image as Picture
    from mcp.shared.memory import create_connected_server_and_client_session

    server = FastMCP("shop")

    @server.tool()
    def look(place: str) -> list[Any]:
        """Looks."""
        return [f"On the {place}:", Picture(data=base64.b64decode(JPEG), format="jpeg")]

    async def called() -> BaseMessage:
        async with create_connected_server_and_client_session(server) as session:
            (tool,) = await load_mcp_tools(session)
            message: BaseMessage = await tool.ainvoke(CALL)
            return message

    return [HumanMessage("Look."), AIMessage("", tool_calls=[CALL]), asyncio.run(called())]


TABLE = {
    "openai": COMMON | CHAT,
    "openai responses": COMMON | RESPONSES,
    "openai responses, stateless": COMMON | RESPONSES,
    "anthropic": COMMON | ANTHROPIC,
    "google": COMMON | GOOGLE,
}
"""Provider → what it may be sent."""
