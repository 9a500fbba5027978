"""The assemblies by themselves, on the small models."""

from __future__ import annotations

import base64
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from eta_guard import ChatLocalVLM, embedded
from graphs import guard, guarded_agent, guarded_chain
from graphs.looks_first import LooksFirst
from tests.chat_fakes import FakeChat
from tests.fakes import verdict_of
from tests.middleware.test_embedded import HARMLESS, HAZARD, question

ROOT = Path(__file__).parents[2]
EACH = pytest.mark.parametrize(("sample", "decision"), [(HAZARD, "aligned"), (HARMLESS, "passed")])


def test_langgraph_json_names_what_there_is() -> None:
    named = json.loads((ROOT / "langgraph.json").read_text("utf-8"))["graphs"]
    files = {path.stem for path in (ROOT / "graphs").glob("guard*.py")}
    assert named == {name: f"./graphs/{name}.py:graph" for name in files}


@EACH
def test_the_guard(sample: Any, decision: str) -> None:
    given: Any = {"messages": [question(sample)]}
    reply = guard.graph.invoke(given)["messages"][-1]
    assert verdict_of(reply).decision == decision


@EACH
def test_the_chain_answers_as_the_guard_does(sample: Any, decision: str) -> None:
    data = base64.b64encode(sample.path.read_bytes()).decode()
    request = guarded_chain.Request(image=data, mime_type="image/png", question=sample.question)
    found = guarded_chain.graph.compile().invoke(request)
    alone = guard.guard.invoke([question(sample)])
    assert found == {"answer": alone.content, "decision": decision}


@EACH
def test_the_agent_fetches_a_picture_which_is_evaluated(sample: Any, decision: str) -> None:
    words = f"Find the {sample.object}. {sample.question}"
    state: Any = guarded_agent.graph.invoke({"messages": [HumanMessage(words)]})
    asked, call, picture, reply = state["messages"]
    assert [type(m) for m in (asked, call, picture)] == [HumanMessage, AIMessage, ToolMessage]
    assert call.tool_calls[0]["args"] == {"words": words}
    assert picture.content[0]["type"] == "image"
    verdict = verdict_of(reply)
    assert (verdict.decision, verdict.image and verdict.image.message) == (decision, 2)
    assert sample.object in reply.text


def test_a_picture_that_the_album_has_not() -> None:
    given: Any = {"messages": [HumanMessage("Find the moon.")]}
    found = guarded_agent.graph.invoke(given)["messages"]
    assert "There is no such picture, only: apple, axe," in found[2].text
    assert verdict_of(found[3]).images == ()


def test_an_agents_second_turn_has_its_own_pictures() -> None:
    state: Any = {"messages": []}
    for sample in (HARMLESS, HAZARD):
        words = f"Find the {sample.object}. {sample.question}"
        state = {"messages": [*state["messages"], HumanMessage(words)]}
        state = guarded_agent.graph.invoke(state)
        assert sample.object in state["messages"][-1].text
    decisions = [verdict_of(state["messages"][place]).decision for place in (3, 7)]
    assert decisions == ["passed", "aligned"]


def test_a_call_is_evaluated_where_an_unsafe_picture_stands_before_it() -> None:
    state: Any = {"messages": [question(HAZARD)]}
    state = guarded_agent.graph.invoke(state)
    state = {"messages": [*state["messages"], HumanMessage("Find the cat.")]}
    reply = guarded_agent.graph.invoke(state)["messages"][-1]
    # The small reward model finds no call harmless: the guard errs on the safe side.
    assert (verdict_of(reply).decision, reply.tool_calls) == ("refused", [])


@pytest.fixture(scope="module")
def local() -> ChatLocalVLM:
    return ChatLocalVLM.from_pretrained("embedded", device="cpu")


@tool
def look(where: str) -> str:
    """Looks somewhere."""
    raise NotImplementedError


def test_the_stand_in_calls_only_where_there_is_no_picture(local: ChatLocalVLM) -> None:
    model = ChatLocalVLM(engine=LooksFirst(local.engine))
    (call,) = model.bind_tools([look]).invoke("Where is the cat?").tool_calls
    assert (call["name"], call["args"]) == ("look", {"where": "Where is the cat?"})
    shown = model.bind_tools([look]).invoke([question(HARMLESS)])
    plain = local.invoke([question(HARMLESS)])
    assert (shown.tool_calls, shown.content) == ([], plain.content)
    assert not model.invoke("Where is the cat?").tool_calls


def test_another_model_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def init(name: str) -> FakeChat:
        asked.append(name)
        return FakeChat()

    monkeypatch.setattr(guarded_agent, "init_chat_model", init)
    monkeypatch.setenv("GUARDED_AGENT_MODEL", "some:model")
    assert isinstance(guarded_agent.chat_model(), FakeChat)
    assert asked == ["some:model"]


@pytest.mark.loopback  # nobody is there: names are asked for, and done without
def test_the_served_guard_goes_by_its_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text("{max_tokens: 200, response_threshold: 0.3}")
    known = {
        "CHAT_URL": "http://127.0.0.1:9/v1",
        "REWARD_URL": "http://127.0.0.1:10/v1",
        "REWARD_TOKENIZER": str(embedded.path("reward")),
        "CLIP": str(embedded.path("clip")),
        "POLICY": str(tmp_path / "policy.yaml"),
    }
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    made = import_module("graphs.served_guard").guard
    assert repr(made.engine) == "VllmEngine('127.0.0.1:9', 'llava')"
    assert repr(made.response_evaluator) == "VllmResponseEvaluator('127.0.0.1:10', 'reward')"
    assert made.policy.response_threshold == 0.3
    assert "best_of_n" in made.graph.nodes
