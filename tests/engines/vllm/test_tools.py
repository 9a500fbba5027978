from __future__ import annotations

from typing import Any

import httpx
import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from eta_guard import EtaGuard, GuardPolicy
from eta_guard.errors import UnsupportedModelError
from eta_guard.protocols import Generation
from eta_guard.request.conversation import read_conversation
from tests.engines.vllm.recorded import TOOL, recorded
from tests.engines.vllm.server import PlayedServer, refuses
from tests.engines.vllm.sessions import PREFIX, SAMPLING, begun, opened
from tests.fakes import UNSAFE, FakeImages, FakeResponses, question, verdict_of

CALL = ("look", ['{"at":', ' "a cup"}'])


@tool
def look(at: str) -> str:
    """Looks at a thing."""
    return at


def calling(*calls: tuple[str, list[str]], text: str = "") -> PlayedServer:
    return PlayedServer(lambda begun, seed: text if not begun else " No.", calls=list(calls))


def test_a_call_comes_apart_from_the_text() -> None:
    server = calling(CALL, ("look", ["{}"]), text="I look.")
    completion = opened(server, tools=(TOOL,)).answer()
    assert completion.text == "I look."
    assert completion.finish_reason == "stop"
    assert [(call["name"], call["args"]) for call in completion.tool_calls] == [
        ("look", {"at": "a cup"}),
        ("look", {}),
    ]
    assert len({call["id"] for call in completion.tool_calls}) == 2
    assert (server.bodies[0]["tools"], server.bodies[0]["tool_choice"]) == ([TOOL], "auto")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (("fetch", ["{}"]), "fetch({})"),
        (("look", ['{"at": "a']), 'look({"at": "a)'),
        (("look", ["5.5"]), "look(5.5)"),
        (("look", ['{"at": NaN}']), 'look({"at": NaN})'),
    ],
)
def test_what_cannot_be_called_is_text(call: tuple[str, list[str]], words: str) -> None:
    """Evaluated and shown as the model wrote it, and carried out by nobody."""
    completion = opened(calling(call, text="I look."), tools=(TOOL,)).answer()
    assert completion.text == f"I look.\n{words}"
    assert completion.tool_calls == ()


def test_what_a_real_server_sent_is_read() -> None:
    """Its small model was made to call, and ended within a number."""
    answer = recorded()["a tool that is called"]
    server = PlayedServer(
        fails=lambda request: (
            httpx.Response(200, content=answer.body) if request.method == "POST" else None
        )
    )
    completion = opened(server, tools=(TOOL,)).answer()
    assert completion.text.startswith("look(")
    assert (completion.tool_calls, completion.finish_reason) == ((), "length")


def test_a_search_calls_nothing_and_reads_the_same_prompt() -> None:
    server = calling(CALL)
    session = begun(server, tools=(TOOL,))
    session.answer()
    assert session.propose(1, SAMPLING)[0].text == " No."
    chosen = [(body["tools"], body["tool_choice"]) for body in server.bodies]
    assert chosen == [([TOOL], "auto"), ([TOOL], "none"), ([TOOL], "none")]


def test_a_server_without_a_parser_says_what_it_lacks() -> None:
    said = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
    server = PlayedServer(fails=lambda request: refuses(said) if request.method == "POST" else None)
    with pytest.raises(UnsupportedModelError, match="tool-call-parser"):
        opened(server, tools=(TOOL,)).answer()


@pytest.mark.parametrize("safe", [True, False])
async def test_a_call_is_evaluated_like_text(safe: bool) -> None:
    evaluated: list[str] = []

    def scores(prompt: str, text: str) -> float:
        evaluated.append(text)
        return float(safe or "cup" not in text)

    guard = EtaGuard(
        engine=calling(CALL, text="I look.").engine(),
        image_evaluator=FakeImages(),
        response_evaluator=FakeResponses(scores),
        policy=GuardPolicy(),
    ).bind_tools([look])
    for reply in (
        guard.invoke([question(UNSAFE)]),
        await guard.ainvoke([question(UNSAFE)]),
    ):
        assert verdict_of(reply).decision == ("passed" if safe else "refused")
        assert [call["args"] for call in reply.tool_calls] == ([{"at": "a cup"}] if safe else [])
    assert any("a cup" in text for text in evaluated)


def test_several_guards_share_one_server() -> None:
    server = PlayedServer()
    engine = server.engine()
    parts: Any = {"image_evaluator": FakeImages(), "response_evaluator": FakeResponses()}
    guards = [
        EtaGuard(engine=engine, policy=GuardPolicy(mode="observe"), **parts),
        EtaGuard(engine=engine, policy=GuardPolicy(candidates=2), **parts),
        EtaGuard(engine=server.engine(), policy=GuardPolicy(), **parts),
    ]
    alone = [EtaGuard(engine=PlayedServer().engine(), policy=one.policy, **parts) for one in guards]
    found = [guard.batch([[question(UNSAFE)]] * 4) for guard in guards]
    wanted = [guard.batch([[question(UNSAFE)]] * 4) for guard in alone]
    assert [[one.text for one in each] for each in found] == [
        [one.text for one in each] for each in wanted
    ]


def test_the_prompt_without_tools_is_counted_by_itself() -> None:
    given = read_conversation([HumanMessage("So?")])
    server = PlayedServer()
    session = server.engine().open(given, Generation(tools=(TOOL,), max_tokens=9))
    session.answer()
    session.prefill(PREFIX)
    session.propose(1, SAMPLING)
    assert [body["max_tokens"] for body in server.bodies] == [9, 1, 9]
