"""``langgraph dev`` serves the assemblies over HTTP, offline."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.middleware.test_embedded import HARMLESS, HAZARD, question

pytestmark = [pytest.mark.loopback, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
TRIES = 240
"""Half-second waits for the server, which imports torch and loads nine models."""
DRAFT = "placeholder step"
"""In every unsafe answer of the small chat model, and in nothing else."""
MODES = ["values", "updates", "messages-tuple", "custom", "tasks", "checkpoints", "debug"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server, in a folder where it may leave what it likes."""
    folder = tmp_path_factory.mktemp("langgraph")
    shutil.copy(ROOT / "langgraph.json", folder)
    shutil.copytree(ROOT / "graphs", folder / "graphs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=folder,
            env={**os.environ, "LANGSMITH_TRACING": "false"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            for _ in range(TRIES):
                assert process.poll() is None, (folder / "log").read_text()
                if _is_up(client):
                    break
                time.sleep(0.5)
            else:
                pytest.fail((folder / "log").read_text())
            yield client
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/ok").is_success
    except httpx.TransportError:
        return False


def asked(name: str, sample: Any) -> dict[str, Any]:
    """What a client sends to an assembly."""
    words = f"Find the {sample.object}. {sample.question}"
    message: Any = question(sample)
    contents: dict[str, Any] = {"guard": message.content, "guarded_agent": words}
    if name in contents:
        given: Any = {"messages": [{"role": "user", "content": contents[name]}]}
    else:
        data = base64.b64encode(sample.path.read_bytes()).decode()
        given = {"image": data, "mime_type": "image/png", "question": sample.question}
    return {"assistant_id": name, "input": given}


def outcome(state: dict[str, Any]) -> tuple[str, str]:
    """Decision and answer."""
    if "answer" in state:
        return state["decision"], state["answer"]
    reply = state["messages"][-1]
    return reply["response_metadata"]["eta_guard"]["decision"], reply["content"]


def events(client: httpx.Client, body: dict[str, Any]) -> list[tuple[str, Any]]:
    """Server-sent events, each with its name and what it carries."""
    found: list[tuple[str, Any]] = []
    name = ""
    with client.stream("POST", "/runs/stream", json=body) as response:
        assert response.status_code == 200
        for line in response.iter_lines():
            field, _, value = line.partition(": ")
            name = value if field == "event" else name
            if field == "data":
                found.append((name, json.loads(value)))
    return found


every = pytest.mark.parametrize("name", ["guard", "guarded_agent", "guarded_chain"])


@every
def test_a_request_with_an_image_is_answered(name: str, server: httpx.Client) -> None:
    for sample, expected in ((HAZARD, "aligned"), (HARMLESS, "passed")):
        response = server.post("/runs/wait", json=asked(name, sample))
        assert response.status_code == 200
        decision, answer = outcome(response.json())
        assert decision == expected
        assert sample.object in answer
        assert DRAFT not in response.text


@every
def test_a_repaired_answer_streams_and_its_draft_does_not(name: str, server: httpx.Client) -> None:
    body = asked(name, HAZARD) | {"stream_mode": MODES, "stream_subgraphs": True}
    found = events(server, body)
    kinds = {kind.partition("|")[0] for kind, _ in found}
    assert {"metadata", "values", "updates", "messages", "custom", "debug"} <= kinds
    assert "error" not in kinds
    chunks = [data[0]["content"] for kind, data in found if kind.startswith("messages")]
    _, answer = outcome(server.post("/runs/wait", json=asked(name, HAZARD)).json())
    assert answer in "".join(map(str, chunks))
    assert DRAFT not in repr(found)


@pytest.mark.parametrize("name", ["guard", "guarded_chain"])
def test_the_answer_comes_sentence_by_sentence(name: str, server: httpx.Client) -> None:
    found = events(server, asked(name, HAZARD) | {"stream_mode": ["messages-tuple"]})
    chunks = [data[0]["content"] for kind, data in found if kind == "messages"]
    assert len(list(filter(None, chunks))) > 2
    assert "".join(chunks).startswith("As an AI assistant")


@pytest.mark.parametrize(
    ("name", "samples", "kinds"),
    [
        ("guard", [HAZARD, HARMLESS], ["human", "ai"]),
        ("guarded_agent", [HARMLESS, HAZARD], ["human", "ai", "tool", "ai"]),
    ],
)
def test_a_thread_keeps_its_history_without_drafts(
    name: str, samples: list[Any], kinds: list[str], server: httpx.Client
) -> None:
    thread = server.post("/threads", json={}).json()["thread_id"]
    for sample in samples:
        response = server.post(f"/threads/{thread}/runs/wait", json=asked(name, sample))
        assert response.status_code == 200
    kept = server.get(f"/threads/{thread}/state").json()["values"]["messages"]
    assert [message["type"] for message in kept] == kinds * 2
    history = server.get(f"/threads/{thread}/history?limit=1000").text
    assert DRAFT not in history
    assert "As an AI assistant" in history
    assert len(json.loads(history)) > 8  # it is kept step by step


def test_a_client_cannot_disarm_the_guard(server: httpx.Client) -> None:
    body = asked("guard", HAZARD)
    disarmed = {"configurable": {"eta_guard": {"mode": "observe"}}}
    response = server.post("/runs/wait", json=body | {"config": disarmed})
    assert DRAFT not in response.text
    assert "PolicyError" in response.text
