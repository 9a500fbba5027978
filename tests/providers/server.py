"""Providers, played on loopback: the real clients ask, and what they send is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

SAYS = "A cup."
KEY = SecretStr("placeholder")

REPLIES: dict[str, dict[str, Any]] = {
    "/chat/completions": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "played",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": SAYS},
            }
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    },
    "/responses": {
        "id": "resp_new",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "played",
        "output": [
            {
                "id": "msg_new",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": SAYS, "annotations": []}],
            }
        ],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 5,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 2,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 7,
        },
    },
    "/v1/messages": {
        "id": "msg_new",
        "type": "message",
        "role": "assistant",
        "model": "played",
        "content": [{"type": "text", "text": SAYS}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 2},
    },
    ":generateContent": {
        "candidates": [
            {
                "content": {"role": "model", "parts": [{"text": SAYS}]},
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7},
        "modelVersion": "played",
    },
}


@dataclass
class Provider:
    """An address at which every provider answers the same, and what it was sent."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)
    next: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    """Statuses and bodies of the answers to come, before it answers as always."""

    def sent(self) -> list[Any]:
        """The bodies since the last call, parsed."""
        with self.lock:
            bodies, self.bodies = self.bodies, []
        return [json.loads(body) for body in bodies]

    def model(self, kind: str, **settings: Any) -> BaseChatModel:
        """The real class of a provider, pointed here."""
        if kind.startswith("openai"):
            own: dict[str, Any] = {"use_responses_api": "responses" in kind}
            if kind == "openai responses, stateless":
                own["store"] = False
            return ChatOpenAI(
                model="gpt-4o",
                base_url=self.url,
                api_key=KEY,
                max_retries=0,
                **own,
                **settings,
            )
        if kind == "anthropic":
            return ChatAnthropic(
                model_name="claude-played",
                max_tokens_to_sample=1024,
                base_url=self.url,
                api_key=KEY,
                max_retries=0,
                **settings,
            )
        assert kind == "google"
        return ChatGoogleGenerativeAI(
            model="gemini-3-pro-preview",
            google_api_key=KEY,
            base_url=self.url,
            max_retries=1,
            **settings,
        )


@contextmanager
def provider() -> Iterator[Provider]:
    """A server that answers until the block ends."""
    played = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            path = self.path.partition("?")[0]
            status, reply = 200, next(v for end, v in REPLIES.items() if path.endswith(end))
            with played.lock:
                played.bodies.append(body)
                if played.next:
                    status, reply = played.next.pop(0)
            content = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    played.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield played
    finally:
        server.shutdown()
        server.server_close()
