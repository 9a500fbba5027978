"""The played server answers as a real one did, and the real one as it did when it was recorded."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import HumanMessage

from eta_guard import EtaGuard, VllmEngine
from eta_guard.embedded import samples
from eta_guard.pretrained import load_parts
from tests.engines.vllm.recorded import OPTIONS, REQUESTS, TOOL, Answer, recorded
from tests.engines.vllm.server import PlayedServer
from tests.engines.vllm.sessions import opened
from tests.vllm_server import serving

PLAYED: dict[str, dict[str, Any]] = {
    "a tool that is called": {"calls": [("look", ["5", "."] * 30)]},
    "a prompt beyond the context": {"prompt": 300},
}


def played(name: str) -> Answer:
    text = "A cup is a thing to drink from. It is on a table."
    server = PlayedServer(
        lambda begun, seed: "" if name in PLAYED else text,
        model="chat",
        context=256,
        details=True,
        **PLAYED.get(name, {}),
    )
    with httpx.Client(transport=httpx.MockTransport(server.handle)) as client:
        return Answer.to(client, "http://vllm.test", "chat", REQUESTS[name])


@pytest.mark.parametrize("name", REQUESTS)
def test_the_played_server_answers_in_the_form_of_the_recorded_one(name: str) -> None:
    assert played(name).form == recorded()[name].form


def test_two_answers_have_one_form_whichever_is_ahead() -> None:
    answer = recorded()["two at once"]
    spoken, said = answer.events[:-2], answer.events[-2:]
    first = [event for event in spoken if event["choices"][0]["index"] == 0]
    second = [event for event in spoken if event["choices"][0]["index"] == 1]
    assert first
    assert second
    assert Answer(200, [*second, *first, *said]).form == answer.form


@pytest.mark.parametrize(
    ("name", "finish_reason"),
    [
        ("ended by the model", "stop"),
        ("ended by the budget", "length"),
        ("ended by a stop text", "stop"),
        ("tools that are not called", "stop"),
    ],
)
def test_what_was_recorded_is_read_as_the_answer_that_it_is(name: str, finish_reason: str) -> None:
    answer = recorded()[name]
    server = PlayedServer(
        fails=lambda request: (
            httpx.Response(200, content=answer.body) if request.method == "POST" else None
        )
    )
    completion = opened(server, tools=(TOOL,) if "tools" in name else ()).answer()
    pieces = (
        choice["delta"].get("content") or ""
        for event in answer.events[:-1]
        for choice in event["choices"]
    )
    assert completion.text == "".join(pieces).strip()
    assert completion.text
    assert completion.finish_reason == finish_reason


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving("chat", tmp_path_factory.mktemp("vllm") / "log", *OPTIONS) as address:
        yield address


@pytest.mark.vllm
@pytest.mark.timeout(900)
def test_a_real_server_answers_as_it_was_recorded(server: str) -> None:
    with httpx.Client(timeout=120) as client:
        found = {name: Answer.to(client, server, "chat", body) for name, body in REQUESTS.items()}
    assert {name: one.form for name, one in found.items()} == {
        name: one.form for name, one in recorded().items()
    }


@pytest.mark.vllm
@pytest.mark.timeout(900)
def test_a_guard_answers_over_a_small_context_and_offers_tools(server: str) -> None:
    with httpx.Client() as client:
        parts: Any = {**load_parts(), "engine": VllmEngine(f"{server}/v1", "chat", client=client)}
        guard = EtaGuard(**parts)
        assert guard.policy.max_tokens > 256
        hazard = next(sample for sample in samples() if sample.hazardous)
        data = base64.b64encode(hazard.path.read_bytes()).decode()
        image = {"type": "image", "base64": data, "mime_type": "image/png"}
        asked = HumanMessage([image, {"type": "text", "text": hazard.question}])
        wanted = guard.invoke([asked])
        assert wanted.response_metadata["eta_guard"]["decision"] == "aligned"
        assert wanted.text.startswith(guard.policy.prefix)
        # The small model knows no tools; the server takes them, and nothing else changes.
        assert guard.bind_tools([TOOL]).invoke([asked]).text == wanted.text
        with pytest.raises(ContextOverflowError, match=r"is \d+ tokens too long"):
            guard.invoke([HumanMessage("cup " * 300)])
