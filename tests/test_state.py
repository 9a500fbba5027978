"""Nothing that was not let out stands in state, streams, checkpoints or verdict."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import pickle
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast, get_args, get_type_hints

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import START, MessagesState, StateGraph

from eta_guard.decisions import Decision
from eta_guard.panel.evaluation import Evaluation, ImageEvaluation, Limit, Outcome
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Candidate
from eta_guard.session import GuardSession
from eta_guard.state import GuardState, Verdict, fresh
from eta_guard.steps import Steps, drive
from tests.fakes import (
    DRAFT,
    UNSAFE,
    FakeEngine,
    FakeResponses,
    Rig,
    candidate,
    of_image,
    of_response,
    question,
    reply_of,
    scoring,
    verdict_of,
)

MODES: Any = ["values", "updates", "messages", "custom", "tasks", "checkpoints", "debug"]
CANARY = re.compile(r"canary", re.IGNORECASE)


def canary_rig(policy: GuardPolicy | None = None, final: float = 1.0) -> Rig:
    """The draft and every candidate but the one that is kept hold a canary word."""

    def sentences(number: int, n: int) -> list[Candidate]:
        return [
            candidate(
                f" kept sentence {number}." if i == 2 else f" rejected CANARY {number} {i}.",
                ends=number == 3,
                ids=(number, i),
            )
            for i in range(n)
        ]

    def reward(text: str) -> float:
        return 0.5 if CANARY.search(text) else 1.0

    return Rig(
        policy or GuardPolicy(),
        engine=FakeEngine(sentences=sentences),
        responses=FakeResponses(scoring(final=final, candidates=reward)),
    )


ANSWER = "As an AI assistant kept sentence 1. kept sentence 2. kept sentence 3."
REFUSAL = GuardPolicy().refusal_message
CONFIG: RunnableConfig = {"configurable": {"thread_id": "1"}}

Compiled = Any
Wrap = Callable[[Rig, BaseCheckpointSaver[str] | None], Compiled]


def top_level(rig: Rig, saver: BaseCheckpointSaver[str] | None) -> Compiled:
    return rig.graph().compile(checkpointer=saver)


def sub_graph(rig: Rig, saver: BaseCheckpointSaver[str] | None) -> Compiled:
    """A node of another graph, whose checkpointer it shares."""
    outer = StateGraph(MessagesState)
    outer.add_node("guarded", rig.graph().compile())
    outer.add_edge(START, "guarded")
    return outer.compile(checkpointer=saver)


def guard_as_node(rig: Rig, saver: BaseCheckpointSaver[str] | None) -> Compiled:
    outer = StateGraph(MessagesState)
    outer.add_node("guarded", rig.guard().graph)
    outer.add_edge(START, "guarded")
    return outer.compile(checkpointer=saver)


LEVELS: dict[str, Wrap] = {
    "top level": top_level,
    "sub-graph": sub_graph,
    "EtaGuard.graph": guard_as_node,
}


def request() -> Any:
    return {"messages": [question(UNSAFE)]}


def stream(graph: Compiled) -> list[Any]:
    return list(graph.stream(request(), CONFIG, stream_mode=MODES, subgraphs=True))


def astream(graph: Compiled) -> list[Any]:
    async def collect() -> list[Any]:
        events = graph.astream(request(), CONFIG, stream_mode=MODES, subgraphs=True)
        return [event async for event in events]

    return asyncio.run(collect())


def one_by_one(graph: Compiled) -> list[Any]:
    return [
        list(graph.stream(request(), CONFIG, stream_mode=mode, subgraphs=True)) for mode in MODES
    ]


def astream_events(graph: Compiled) -> list[Any]:
    async def collect() -> list[Any]:
        return [event async for event in graph.astream_events(request(), CONFIG, version="v2")]

    return asyncio.run(collect())


STREAMS: dict[str, Callable[[Compiled], list[Any]]] = {
    "stream": stream,
    "astream": astream,
    "one mode at a time": one_by_one,
    "astream_events": astream_events,
}


def saved(graph: Compiled, saver: BaseCheckpointSaver[str]) -> list[Any]:
    """All that a saver gives back: states, history, tasks, pending writes."""
    return [
        graph.get_state(CONFIG, subgraphs=True),
        list(graph.get_state_history(CONFIG)),
        list(saver.list(None)),
    ]


# ── streams and checkpoints ──


@pytest.mark.parametrize("final", [1.0, 0.0], ids=["aligned", "refused"])
@pytest.mark.parametrize("listen", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
def test_no_event_and_no_checkpoint_holds_a_draft_or_a_rejected_candidate(
    level: Wrap, listen: Callable[[Compiled], list[Any]], final: float
) -> None:
    saver = InMemorySaver()
    graph = level(canary_rig(final=final), saver)
    events = listen(graph)
    seen = repr(events)
    assert len(events) > 5
    assert (ANSWER if final else REFUSAL) in seen  # the search below looks at the right thing
    assert not CANARY.search(seen)
    kept = repr(saved(graph, saver))
    assert (ANSWER if final else REFUSAL) in kept
    assert not CANARY.search(kept)
    assert not CANARY.search(repr([saver.storage, saver.writes, saver.blobs]))


@pytest.mark.parametrize("listen", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
def test_the_search_would_find_what_a_session_told(
    level: Wrap, listen: Callable[[Compiled], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the test above can fail: the session does travel in the events."""
    monkeypatch.setattr(
        GuardSession, "__repr__", lambda self: f"<{self.drawn_draft} {self.proposed}>"
    )
    assert CANARY.search(repr(listen(level(canary_rig(), InMemorySaver()))))


@pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
def test_the_search_would_find_what_the_state_held(
    level: Wrap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoints' part of it: a draft in the state would be found there."""
    from eta_guard import graph as module
    from eta_guard.nodes.generate import generate

    def leaking(**parts: Any) -> Any:
        node = generate(**parts)

        def leak(state: GuardState, config: RunnableConfig) -> Steps[dict[str, Any]]:
            update = yield from node(state, config)
            return {**update, "accepted": [[update["session"].drawn_draft]]}

        return leak

    monkeypatch.setattr(module, "generate", leaking)
    saver = InMemorySaver()
    # The answer itself is a refusal: it ends before a search would read what was leaked.
    rig = canary_rig(GuardPolicy(on_unscored="refuse"))
    rig.responses.score = scoring(RuntimeError("broken"))
    assert reply_of(level(rig, saver).invoke(request(), CONFIG)).content == REFUSAL
    kept = [*saver.list(None), saver.storage, saver.writes, saver.blobs]
    # A sub-graph without checkpoints of its own has none to search.
    assert bool(CANARY.search(repr(kept))) == (level is not guard_as_node)


def test_the_answer_that_is_let_out_is_the_only_thing_said() -> None:
    events: list[Any] = list(
        canary_rig().graph().compile().stream(request(), stream_mode="messages")
    )
    assert "".join(message.content for message, _ in events) == ANSWER
    assert len({message.id for message, _ in events}) == 1


# ── sqlite, under strict msgpack ──

SCRIPT = """
import sys
from langgraph.checkpoint.serde import _msgpack
from langgraph.checkpoint.sqlite import SqliteSaver
from tests.test_state import ANSWER, CONFIG, LEVELS, canary_rig, request, saved

assert _msgpack.STRICT_MSGPACK_ENABLED
path, level = sys.argv[1:]
rig = canary_rig()
with SqliteSaver.from_conn_string(path) as saver:
    graph = LEVELS[level](rig, saver)
    for turn in (1, 2):
        state = graph.invoke(request(), CONFIG)
        assert state["messages"][-1].content == ANSWER, state
    found = saved(graph, saver)
with SqliteSaver.from_conn_string(path) as saver:
    again = LEVELS[level](canary_rig(), saver)
    state = again.get_state(CONFIG).values
    kinds = [type(message).__name__ for message in state["messages"]]
    assert kinds == ["HumanMessage", "AIMessage"] * 2, kinds
    assert state["messages"][-1].response_metadata["eta_guard"]["decision"] == "aligned"
    found += saved(again, saver)
print(repr(found))
"""


@pytest.mark.parametrize("level", LEVELS)
def test_a_sqlite_file_holds_plain_values_and_no_canary(tmp_path: Path, level: str) -> None:
    if importlib.util.find_spec("langgraph.checkpoint.sqlite") is None:
        pytest.skip("langgraph-checkpoint-sqlite is not installed")
    path = tmp_path / "checkpoints.sqlite"
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", SCRIPT, str(path), level],
        env={**os.environ, "LANGGRAPH_STRICT_MSGPACK": "true", "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Deserializing" not in done.stderr
    assert "blocked" not in done.stderr.lower()
    assert ANSWER in done.stdout
    assert not CANARY.search(done.stdout)
    raw = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert ANSWER.encode() in raw
    assert b"canary" not in raw.lower()
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("select * from checkpoints").fetchall()
        rows += connection.execute("select * from writes").fetchall()
    assert rows
    assert not CANARY.search(repr(rows))


# ── what state is made of ──


def plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and plain(item) for key, item in value.items())
    if type(value) is list:
        return all(map(plain, value))
    return value is None or type(value) in (str, int, float, bool)


@pytest.mark.parametrize("final", [1.0, 0.0])
def test_state_is_plain_values_but_for_messages(final: float) -> None:
    saver = InMemorySaver(serde=JsonPlusSerializer(allowed_msgpack_modules=None))
    graph = canary_rig(final=final).graph().compile(checkpointer=saver)
    for event in graph.stream(request(), CONFIG, stream_mode="updates"):
        for update in event.values():
            for name, value in update.items():
                assert name in ("messages", "session", "request") or plain(value), (name, value)
    values = graph.get_state(CONFIG).values
    untracked = {"session", "request", "deadline"}
    assert not untracked & set(values)
    assert {name for name in values if name != "messages"} == set(fresh()) - untracked


def test_a_request_starts_with_every_key_of_the_state() -> None:
    given = {"messages", "remaining_steps"}
    assert set(fresh()) == set(get_type_hints(GuardState)) - given
    assert fresh() == fresh()
    assert fresh()["route"] is not fresh()["route"]


def test_sessions_candidates_and_completions_show_no_text() -> None:
    rig = canary_rig()
    session = GuardSession(rig.engine, [question(UNSAFE)], rig_generation())
    drive(session.draft())
    drive(session.align("As an AI assistant"))
    session.proposed.append(("CANARY",))
    shown = [
        session,
        drive(session.draft()),
        candidate("CANARY", ids=(1,)),
        session.conversation.pictures,
    ]
    for value in shown:
        assert not CANARY.search(repr(value))
        assert not CANARY.search(str(value))
        assert not CANARY.search(f"{value}")
    assert session.drawn_draft is not None
    assert "canary" in session.drawn_draft


def rig_generation() -> Any:
    from eta_guard.protocols import Generation

    return Generation()


def test_a_draft_that_was_not_drawn_is_not_drawn_to_be_shown() -> None:
    rig = canary_rig()
    session = GuardSession(rig.engine, [question(UNSAFE)], rig_generation())
    assert session.drawn_draft is None
    assert rig.engine.calls == []


# ── the verdict ──


def test_the_verdict_of_a_refused_answer_does_not_tell_the_answer() -> None:
    reply = canary_rig(final=0.0).ask(question(UNSAFE))
    verdict = verdict_of(reply)
    assert verdict.decision == "refused"
    assert [record.text for record in verdict.rounds] == ["", "", ""]
    assert [record.pick for record in verdict.rounds] == [2, 2, 2]
    for word in ("kept sentence", "canary", "rejected CANARY"):
        assert word not in repr(reply)
        assert word not in json.dumps(reply.response_metadata)


def test_what_was_rejected_is_told_where_the_policy_says_so() -> None:
    told = verdict_of(
        canary_rig(GuardPolicy(record_rejected=True), final=0.0).ask(question(UNSAFE))
    )
    assert told.decision == "refused"
    assert told.draft == "DRAFT canary: the plain answer."
    assert told.rejected is not None
    assert [len(texts) for texts in told.rejected] == [5, 5, 5]
    assert told.rejected[0][:3] == (
        " rejected CANARY 1 0.",
        " rejected CANARY 1 1.",
        " kept sentence 1.",
    )
    assert [record.text for record in told.rounds] == [f" kept sentence {i}." for i in (1, 2, 3)]


def test_a_verdict_is_frozen_and_described() -> None:
    verdict = verdict_of(canary_rig().ask(question(UNSAFE)))
    with pytest.raises(ValueError, match="frozen"):
        verdict.decision = "passed"
    assert set(get_args(Decision)) == {"passed", "aligned", "refused", "blocked", "observed"}
    assert set(get_args(Outcome)) == {"safe", "unsafe", "unscored"}


def test_evaluations() -> None:
    unscored = Evaluation.unscored(Limit("clip", 0.5, "above"), "broken")
    assert (unscored.outcome, unscored.score, unscored.reason) == ("unscored", None, "broken")
    assert of_image(0.16).outcome == of_response(0.06).outcome == "unsafe"
    images = [
        ImageEvaluation(**dict(of_image(score)), message=0, block=i)
        for i, score in enumerate([0.1, 1.0, float("nan"), 0.4])
    ]
    assert [image.block for image in sorted(images, key=lambda i: i.unsafety, reverse=True)] == [
        2,
        1,
        3,
        0,
    ]


# ── turns ──


@contextmanager
def turns(level: Wrap, rig: Rig) -> Iterator[Callable[[HumanMessage], Verdict]]:
    graph = level(rig, InMemorySaver())

    def ask(message: HumanMessage) -> Verdict:
        given: Any = {"messages": [message]}
        return verdict_of(reply_of(graph.invoke(given, CONFIG)))

    yield ask


@pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
def test_a_second_turn_starts_clean(level: Wrap) -> None:
    rig = canary_rig(GuardPolicy(image_scope="last_turn"))
    with turns(level, rig) as ask:
        first = ask(question(UNSAFE))
        assert (first.decision, len(first.rounds), len(first.images)) == ("aligned", 3, 1)
        second = ask(question(0.0))
        assert second.decision == "passed"
        assert second.route == ("pre_evaluate", "generate", "respond")
        assert (second.rounds, second.response, second.final) == ((), None, None)
        assert second.counts == {"evaluations_clip": 1}
        assert [(image.message, image.score) for image in second.images] == [(2, 0.0)]
        third = ask(question(0.9))
        assert third.route == first.route
        assert third.image is not None
        assert (third.image.message, third.image.outcome) == (4, "unsafe")
        assert third.rounds == first.rounds


@pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
def test_a_halt_of_one_turn_does_not_reach_the_next(level: Wrap) -> None:
    rig = canary_rig(GuardPolicy(on_unscored="refuse"))
    with turns(level, rig) as ask:
        rig.images.failure = RuntimeError("broken")
        assert ask(question(UNSAFE)).decision == "blocked"
        rig.images.failure = None
        verdict = ask(question(UNSAFE))
        assert (verdict.decision, verdict.reason) == ("aligned", None)


def test_a_turn_after_one_that_failed_half_way_starts_clean() -> None:
    rig = canary_rig()
    sentences = rig.engine.sentences

    def failing(number: int, n: int) -> list[Candidate]:
        if number == 3:
            raise RuntimeError("out of memory")
        return sentences(number, n)

    rig.engine.sentences = failing
    graph = rig.graph().compile(checkpointer=InMemorySaver())
    with pytest.raises(RuntimeError, match="out of memory"):
        graph.invoke(request(), CONFIG)
    rig.engine.sentences = sentences
    reply = reply_of(graph.invoke(request(), CONFIG))
    assert reply.content == ANSWER
    assert [record.sentence for record in verdict_of(reply).rounds] == [1, 2, 3]
    assert rig.engine.prefills == [("As an AI assistant", ())] * 2


# ── interruptions ──

NODES = ["pre_evaluate", "generate", "post_evaluate", "prefix_align", "best_of_n"]


@pytest.mark.parametrize("node", NODES)
def test_a_run_that_was_interrupted_goes_on_in_another_process(node: str) -> None:
    whole = verdict_of(canary_rig().ask(question(UNSAFE)))
    saver = InMemorySaver()
    graph = canary_rig().graph().compile(checkpointer=saver, interrupt_after=[node])
    given: Any = request()
    passes = {"best_of_n": 3, "post_evaluate": 2}.get(node, 1)
    for number in range(1, passes + 1):
        state = graph.invoke(given, CONFIG)
        assert [message.type for message in state["messages"]] == ["human"]
        assert not CANARY.search(repr(saved(graph, saver)))
        # Another process: nothing is left but what the saver holds.
        rig = canary_rig()
        graph = rig.graph().compile(checkpointer=saver, interrupt_after=[node])
        given = None
        accepted = graph.get_state(CONFIG).values["accepted"]
        if node == "best_of_n":
            assert accepted == [[i, 2] for i in range(1, number + 1)]
    state = graph.invoke(None, CONFIG)
    reply = reply_of(state)
    verdict = verdict_of(reply)
    assert reply.content == ANSWER
    assert verdict.rounds == whole.rounds
    assert verdict.route == whole.route
    assert verdict.decision == whole.decision


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_search_is_taken_up_again_with_the_accepted_tokens(done: int) -> None:
    saver = InMemorySaver()
    first = (
        canary_rig()
        .graph()
        .compile(checkpointer=saver, interrupt_after=["best_of_n"] if done else ["prefix_align"])
    )
    first.invoke(request(), CONFIG)
    for _ in range(done - 1):
        first.invoke(None, CONFIG)
    rig = canary_rig()
    reply = reply_of(rig.graph().compile(checkpointer=saver).invoke(None, CONFIG))
    assert reply.content == ANSWER
    (prefill,) = rig.engine.prefills
    prefix, accepted = prefill
    assert prefix == "As an AI assistant"
    assert [(c.text, c.token_ids) for c in accepted] == [
        (f" kept sentence {i}.", (i, 2)) for i in range(1, done + 1)
    ]
    assert rig.engine.calls == ["prefill"] + ["propose"] * (3 - done)
    scored = [text for prompt, text in rig.responses.scored if prompt == rig.policy.search_prompt]
    begun = prefix + "".join(f" kept sentence {i}." for i in range(1, done + 1))
    assert all(text.startswith(begun) for text in scored)
    assert len(scored) == 5 * (3 - done)


def test_a_resumed_search_compares_with_the_image_again() -> None:
    saver = InMemorySaver()
    policy = GuardPolicy(clip_from_sentence=1)
    first = canary_rig(policy).graph().compile(checkpointer=saver, interrupt_after=["best_of_n"])
    first.invoke(request(), CONFIG)
    rig = canary_rig(policy)
    rig.graph().compile(checkpointer=saver).invoke(None, CONFIG)
    assert [len(texts) for _, texts in rig.images.compared] == [5]


def test_an_aligned_answer_is_not_drawn_twice_to_respond() -> None:
    """Only a draft that goes out is drawn again."""
    for unsafe, calls in ((True, []), (False, ["answer"])):
        saver = InMemorySaver()
        given: Any = {"messages": [question(UNSAFE if unsafe else 0.0)]}
        graph = canary_rig().graph().compile(checkpointer=saver, interrupt_before=["respond"])
        graph.invoke(given, CONFIG)
        rig = canary_rig()
        rig.graph().compile(checkpointer=saver).invoke(None, CONFIG)
        assert rig.engine.calls == calls


def test_no_serialiser_reads_the_session() -> None:
    """Streams carry it: those that pickle, or look for a ``__dict__``, find nothing."""
    graph = canary_rig().graph().compile()
    sessions = [
        update["session"]
        for event in graph.stream(cast(Any, request()), stream_mode="updates")
        for update in event.values()
        if "session" in update
    ]
    assert sessions
    for session in sessions:
        with pytest.raises(TypeError):
            vars(session)
        assert pickle.loads(pickle.dumps(session)) is None


def test_a_foreign_error_leaves_no_text_in_checkpoints_and_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    saver = InMemorySaver()
    rig = canary_rig()

    def failing(number: int, n: int) -> list[Candidate]:
        raise RuntimeError(f"foreign error over {DRAFT}")

    rig.engine.sentences = failing
    with caplog.at_level("INFO"), pytest.raises(RuntimeError):
        rig.graph().compile(checkpointer=saver).invoke(request(), CONFIG)
    assert "RuntimeError" in repr(saver.writes)
    assert "foreign error over" not in repr(saver.writes)

    def broken(prompt: str, text: str) -> float:
        raise ValueError("canary in a foreign error")

    rig = canary_rig()
    rig.responses.score = broken
    with caplog.at_level("INFO"):
        rig.ask(question(UNSAFE))
    assert "ValueError" in caplog.text
    assert "canary in a foreign" not in caplog.text
