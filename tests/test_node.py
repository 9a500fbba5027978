"""``guard.graph`` as a node of any graph of messages: loops, interruptions, time travel, death."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from PIL import Image

from eta_guard import EtaGuard, build_graph
from tests.fakes import DRAFT, SAFE, UNSAFE, question, reply_of, verdict_of
from tests.runs.test_streaming import hazard
from tests.standard.suites import parts
from tests.test_state import ANSWER, CONFIG, LEVELS, Compiled, canary_rig

# ── in graphs of any kind ──


def twice(saver: Any = None, **options: Any) -> Compiled:
    """Asks, and asks again: a loop through the guard, with nodes before and after it."""
    rig = canary_rig()

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [question(UNSAFE)]}

    def review(state: MessagesState) -> dict[str, Any]:
        reply = state["messages"][-1]
        # What replaces a message has its id; any other would stand beside it.
        return {"messages": [AIMessage(reply.text + " Reviewed.", id=reply.id)]}

    def again(state: MessagesState) -> str:
        return "ask" if len(state["messages"]) < 4 else END

    outer = StateGraph(MessagesState)
    outer.add_node("ask", ask)
    outer.add_node("guarded", rig.guard().graph)
    outer.add_node("review", review)
    outer.add_edge(START, "ask")
    outer.add_edge("ask", "guarded")
    outer.add_edge("guarded", "review")
    outer.add_conditional_edges("review", again, ["ask", END])
    return outer.compile(checkpointer=saver, **options)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("checkpoints", [False, True])
def test_in_a_loop_each_pass_is_answered_anew(checkpoints: bool, asynchronous: bool) -> None:
    graph = twice(InMemorySaver() if checkpoints else None)
    given: Any = {"messages": []}
    if asynchronous:
        state = asyncio.run(graph.ainvoke(given, CONFIG))
    else:
        state = graph.invoke(given, CONFIG)
    said = [(message.type, message.text) for message in state["messages"]]
    assert said == [("human", "What is this?"), ("ai", f"{ANSWER} Reviewed.")] * 2
    assert len({message.id for message in state["messages"]}) == 4


def test_it_waits_before_a_node_and_goes_on() -> None:
    graph = twice(InMemorySaver(), interrupt_before=["guarded", "review"])
    given: Any = {"messages": []}
    graph.invoke(given, CONFIG)
    waits = []
    while (snapshot := graph.get_state(CONFIG)).next:
        waits.append((snapshot.next, snapshot.values["messages"][-1].type))
        graph.invoke(None, CONFIG)
    assert waits == [(("guarded",), "human"), (("review",), "ai")] * 2
    assert len(graph.get_state(CONFIG).values["messages"]) == 4


@pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
def test_time_travel_answers_again_and_another_question_otherwise(level: Any) -> None:
    graph = level(canary_rig(), InMemorySaver())
    given: Any = {"messages": [HumanMessage(question(UNSAFE).content, id="asked")]}
    graph.invoke(given, CONFIG)
    (before,) = [
        snapshot
        for snapshot in graph.get_state_history(CONFIG)
        if snapshot.next in (("guarded",), ("pre_evaluate",))
    ]
    state = graph.invoke(None, before.config)
    assert [message.text for message in state["messages"]] == ["What is this?", ANSWER]
    asked = HumanMessage(question(SAFE).content, id="asked")
    other = graph.update_state(before.config, {"messages": [asked]}, as_node=START)
    state = graph.invoke(None, other)
    assert [message.text for message in state["messages"]] == ["What is this?", DRAFT]
    assert verdict_of(reply_of(state)).decision == "passed"


# ── a process that dies ──


def graph_of(level: str, saver: BaseCheckpointSaver[str]) -> Compiled:
    """The guard on the embedded models, where its search can be resumed."""
    built = build_graph(**parts())
    if level == "top level":
        return built.compile(checkpointer=saver)
    outer = StateGraph(MessagesState)
    outer.add_node("guarded", built.compile())
    outer.add_edge(START, "guarded")
    return outer.compile(checkpointer=saver)


SCRIPT = """
import os, signal, sys
from langgraph.checkpoint.sqlite import SqliteSaver
from eta_guard.nodes.search import SentenceSearch
from tests.test_node import CONFIG, graph_of, hazard

path, level = sys.argv[1:]
run = SentenceSearch.run

def dying(self, session, number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return run(self, session, number)

SentenceSearch.run = dying
with SqliteSaver.from_conn_string(path) as saver:
    graph_of(level, saver).invoke({"messages": hazard()}, CONFIG, durability="sync")
"""


@pytest.mark.slow
@pytest.mark.parametrize("level", ["top level", "sub-graph"])
def test_a_fresh_process_finishes_what_a_killed_one_began(level: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoints.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), level],
        env={**os.environ, "LANGGRAPH_STRICT_MSGPACK": "true", "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]
    whole = EtaGuard(**parts()).invoke(hazard())
    with SqliteSaver.from_conn_string(str(path)) as saver:
        graph = graph_of(level, saver)
        before = graph.get_state(CONFIG, subgraphs=True)
        assert before.next  # it was not done
        begun: Any = before if level == "top level" else before.tasks[0].state
        assert len(begun.values["rounds"]) == 2 < len(verdict_of(whole).rounds)
        reply = reply_of(graph.invoke(None, CONFIG))
        history = graph.get_state(CONFIG).values["messages"]
    verdict, expected = verdict_of(reply), verdict_of(whole)
    assert reply.text == whole.text
    assert [r.pick for r in verdict.rounds] == [r.pick for r in expected.rounds]
    assert verdict.route == expected.route
    assert [message.type for message in history] == ["human", "ai"]


# ── what checkpoints cost ──


def photo() -> HumanMessage:
    """An image of the size of a photo's: 120 kB that no packing makes smaller."""
    noise = Image.frombytes("RGB", (200, 200), random.Random(0).randbytes(200 * 200 * 3))
    noise.putpixel((0, 0), (round(UNSAFE * 255), 0, 0))
    buffer = io.BytesIO()
    noise.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    image = {"type": "image", "base64": data, "mime_type": "image/png"}
    return HumanMessage([image, {"type": "text", "text": "What is this?"}])


def plain(rig: object, saver: BaseCheckpointSaver[str] | None) -> Compiled:
    """A graph of one node that gives the same answer."""
    outer = StateGraph(MessagesState)
    outer.add_node("answer", lambda state: {"messages": [AIMessage(ANSWER)]})
    outer.add_edge(START, "answer")
    return outer.compile(checkpointer=saver)


def stored(saver: InMemorySaver) -> int:
    """Bytes of checkpoints, of channels' versions, and of pending writes."""
    packed: Any = [
        part
        for threads in saver.storage.values()
        for space in threads.values()
        for checkpoint in space.values()
        for part in checkpoint[:2]
    ]
    packed += saver.blobs.values()
    packed += [write[2] for writes in saver.writes.values() for write in writes.values()]
    return sum(len(data) for _, data in packed)


def cost(level: Any) -> int:
    saver = InMemorySaver()
    given: Any = {"messages": [photo()]}
    assert reply_of(level(canary_rig(), saver).invoke(given, CONFIG)).text == ANSWER
    return stored(saver)


@pytest.mark.parametrize(
    ("level", "most"),
    [("top level", 1.1), ("EtaGuard.graph", 1.3), ("sub-graph", 2.4)],
)
def test_checkpoints_grow_little_more_than_those_of_a_plain_graph(level: str, most: float) -> None:
    assert 1.0 < cost(LEVELS[level]) / cost(plain) <= most


def in_sqlite(level: Any, path: Path, **options: Any) -> int:
    with SqliteSaver.from_conn_string(str(path)) as saver:
        given: Any = {"messages": [photo()]}
        level(canary_rig(), saver).invoke(given, CONFIG, **options)
    with closing(sqlite3.connect(path)) as connection:
        (kept,) = connection.execute("select sum(length(checkpoint)) from checkpoints").fetchone()
        (begun,) = connection.execute("select sum(length(value)) from writes").fetchone()
    return int(kept) + int(begun or 0)


def test_a_saver_that_keeps_the_whole_state_each_step_may_keep_the_last(tmp_path: Path) -> None:
    """SQLite's does; a graph of many steps costs it as many copies, unless told otherwise."""
    one = in_sqlite(plain, tmp_path / "plain")
    assert in_sqlite(LEVELS["EtaGuard.graph"], tmp_path / "node") <= 1.3 * one
    assert in_sqlite(LEVELS["top level"], tmp_path / "steps") > 2 * one
    assert in_sqlite(LEVELS["top level"], tmp_path / "exit", durability="exit") <= one
