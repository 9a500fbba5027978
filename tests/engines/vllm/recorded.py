"""What a real vLLM answers to a few requests: recorded, and told by its form.

Recorded anew by ``python -m tests.engines.vllm.recorded http://127.0.0.1:8000`` against ``.ci/vllm
chat --port 8000 --max-model-len 256 --enable-auto-tool-choice --tool-call-parser hermes``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

FILE = Path(__file__).with_name("recorded.json")
OPTIONS = ("--max-model-len", "256", "--enable-auto-tool-choice", "--tool-call-parser", "hermes")
TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Looks at a thing.",
        "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
    },
}

_ASKED: dict[str, Any] = {
    "messages": [{"role": "user", "content": "What is a cup?"}],
    "max_tokens": 40,
    "temperature": 0.0,
}
_PICTURE = {"type": "image_url", "image_url": None, "uuid": "of no picture"}
_TOLD = [*_ASKED["messages"], {"role": "assistant", "content": "A cup"}]
REQUESTS: dict[str, dict[str, Any]] = {
    "ended by the model": _ASKED,
    "ended by the budget": {**_ASKED, "max_tokens": 3},
    "ended by a stop text": {**_ASKED, "stop": ["."]},
    "two at once": {**_ASKED, "n": 2, "temperature": 1.5, "top_k": 5, "seed": 7, "max_tokens": 3},
    "continued": {
        **_ASKED,
        "messages": _TOLD,
        "continue_final_message": True,
        "add_generation_prompt": False,
    },
    "tools that are not called": {**_ASKED, "tools": [TOOL], "tool_choice": "auto"},
    "a tool that is called": {**_ASKED, "tools": [TOOL], "tool_choice": "required"},
    "a budget beyond the context": {**_ASKED, "max_tokens": 257},
    "a prompt beyond the context": {
        **_ASKED,
        "messages": [{"role": "user", "content": "cup " * 300}],
    },
    "a picture that was never sent": {
        **_ASKED,
        "messages": [{"role": "user", "content": [_PICTURE]}],
    },
    "prefill and a prompt for a new turn": {
        **_ASKED,
        "messages": _TOLD,
        "continue_final_message": True,
    },
}
STREAMED = {
    "stream": True,
    "stream_options": {"include_usage": True, "continuous_usage_stats": True},
}


@dataclass(frozen=True)
class Answer:
    """A response: its status, and what its body says."""

    status: int
    events: list[Any]

    @classmethod
    def to(cls, client: httpx.Client, url: str, model: str, body: dict[str, Any]) -> Answer:
        """What a server answers."""
        sent = {**body, **STREAMED, "model": model}
        response = client.post(f"{url}/v1/chat/completions", json=sent)
        if response.status_code != httpx.codes.OK:
            return cls(response.status_code, [response.json()])
        lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
        return cls(200, [line if line == "[DONE]" else json.loads(line) for line in lines])

    @property
    def form(self) -> list[Any]:
        """Names and kinds of what is said, and not its words; like things in a row once.

        One answer after the other, where there are several: on a busy machine one of them may be
        a step ahead.
        """
        told = [_form(event, self.status) for event in sorted(self.events, key=_answer_of)]
        return [
            self.status,
            *(one for one, before in zip(told, [None, *told], strict=False) if one != before),
        ]

    @property
    def body(self) -> bytes:
        """As it is sent."""
        if self.status != httpx.codes.OK:
            return json.dumps(self.events[0]).encode()
        lines = (one if isinstance(one, str) else json.dumps(one) for one in self.events)
        return "".join(f"data: {line}\n\n" for line in lines).encode()


def recorded() -> dict[str, Answer]:
    """By the names of ``REQUESTS``."""
    return {name: Answer(**told) for name, told in json.loads(FILE.read_text()).items()}


def _answer_of(event: Any) -> int:
    """The number of the answer that is spoken of; what is said of all comes last."""
    choices = event.get("choices") if isinstance(event, dict) else None
    return int(choices[0]["index"]) if choices else sys.maxsize


def _form(event: Any, status: int) -> Any:
    if not isinstance(event, dict):
        return event
    if status != httpx.codes.OK:
        return {"error": sorted(event["error"])}
    choices = [
        {
            "delta": {name: _delta(value) for name, value in sorted(choice["delta"].items())},
            "finish_reason": choice["finish_reason"],
            "stop_reason": type(choice.get("stop_reason")).__name__,
        }
        for choice in event.get("choices", ())
    ]
    usage = event.get("usage") or {}
    counts = [name for name in ("prompt_tokens", "completion_tokens") if name in usage]
    details = sorted(usage.get("prompt_tokens_details") or {})
    return {"choices": choices, "counts": counts, "cached": "cached_tokens" in details}


def _delta(value: Any) -> Any:
    if isinstance(value, list):
        return [{key: _delta(part) for key, part in sorted(one.items())} for one in value]
    if isinstance(value, dict):
        return sorted(value)
    return value if value in ("", None) else type(value).__name__


if __name__ == "__main__":
    with httpx.Client(timeout=60) as client:
        found = {
            name: vars(Answer.to(client, sys.argv[1], "chat", body))
            for name, body in REQUESTS.items()
        }
    rows = (f"{json.dumps(name)}: {json.dumps(told)}" for name, told in found.items())
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n")
