"""What is seen from outside while an agent answers: canary words in the repr of every event."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tracers.base import BaseTracer
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from eta_guard import EtaGuardMiddleware
from tests.chat_fakes import FakeChat, repairs, says
from tests.fakes import question
from tests.middleware.agents import CANARIES, KEPT, agent, asked, calling, look, run

pytestmark = [
    pytest.mark.filterwarnings("ignore:astream_log is deprecated"),
    pytest.mark.filterwarnings("ignore:The v3 streaming protocol"),
]

MODES = ["values", "updates", "messages", "debug", "tasks", "checkpoints", "custom"]


class Unheld(EtaGuardMiddleware):
    """As many a peer does it: the model runs, and then its answer is replaced."""

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        handler(request)
        return super().wrap_model_call(request, handler)

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        await handler(request)
        return await super().awrap_model_call(request, handler)


def with_tool(messages: Any, settings: Any) -> AIMessage:
    if repairs(messages) or any(isinstance(message, ToolMessage) for message in messages):
        return says()(messages, settings)
    return calling(at="it")


WAYS: dict[str, dict[str, Any]] = {
    "alone": {},
    "tools bound": {"tools": [look]},
    "tool used": {"model": FakeChat(script=with_tool), "tools": [look]},
    "unsafe call": {"model": FakeChat(script=says(calling(at="ARGUMENT"))), "tools": [look]},
    "reviewed": {"settings": {"on_flagged": "interrupt"}},
    "model streams": {"model": FakeChat(disable_streaming=False)},
}

Watch = Callable[[Any, Any, Any], Iterator[Any]]


def gathered(events: Callable[[], AsyncIterator[Any]]) -> Iterator[Any]:
    async def gather() -> list[Any]:
        return [event async for event in events()]

    work: Coroutine[Any, Any, Any] = gather()
    yield from run(work)


def each_mode(made: Any, given: Any, config: Any) -> Iterator[Any]:
    for number, mode in enumerate(MODES):
        own = {"configurable": {"thread_id": f"{number}"}}
        yield from made.stream(given, own, stream_mode=mode, subgraphs=True)


def v3(made: Any, given: Any, config: Any) -> Iterator[Any]:
    with made.stream_events(given, config, version="v3") as stream:
        yield from stream
        yield stream.output


def v3_async(made: Any, given: Any, config: Any) -> Iterator[Any]:
    async def gather() -> list[Any]:
        async with await made.astream_events(given, config, version="v3") as stream:
            return [*[event async for event in stream], await stream.output()]

    yield from run(gather())


WATCHING: dict[str, Watch] = {
    "all modes": lambda made, given, config: made.stream(
        given, config, stream_mode=MODES, subgraphs=True
    ),
    "each mode": each_mode,
    "all modes, async": lambda made, given, config: gathered(
        lambda: made.astream(given, config, stream_mode=MODES, subgraphs=True)
    ),
    "events": lambda made, given, config: gathered(
        lambda: made.astream_events(given, config, version="v2")
    ),
    "events v3": v3,
    "events v3, async": v3_async,
    "log": lambda made, given, config: gathered(lambda: made.astream_log(given, config)),
}


def in_a_graph(made: Any) -> Any:
    outer = StateGraph(MessagesState)
    outer.add_node("agent", made)
    outer.add_edge(START, "agent")
    return outer.compile(checkpointer=InMemorySaver())


def seen(way: dict[str, Any], watch: Watch, *, nested: bool = False, **more: Any) -> str:
    options = {**way, **more}
    # Outside, the same agent has its own saver.
    made = agent(options.pop("model", None), checkpointer=InMemorySaver(), **options)
    if nested:
        made = in_a_graph(made)
    config: dict[str, Any] = {"configurable": {"thread_id": "own"}}
    told = [repr(event) for event in watch(made, asked(), config)]
    told += [repr(state) for state in made.get_state_history(config, limit=50)]
    return "\n".join(told)


@pytest.mark.parametrize("nested", [False, True], ids=["top", "sub-graph"])
@pytest.mark.parametrize("watch", WATCHING.values(), ids=WATCHING)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_nothing_that_was_not_let_out_is_seen(
    way: dict[str, Any], watch: Watch, nested: bool
) -> None:
    told = seen(way, watch, nested=nested)
    assert [canary for canary in CANARIES if canary in told] == []
    assert ("CANDIDATE" in told and KEPT in told) or way is WAYS["unsafe call"]


@pytest.mark.parametrize(
    "watch", ["all modes", "each mode", "all modes, async", "events", "events v3", "log"]
)
@pytest.mark.parametrize("way", ["alone", "tools bound"])
def test_without_the_holding_model_the_draft_is_seen(way: str, watch: str) -> None:
    settings = {**WAYS[way].get("settings", {}), "kind": Unheld}
    told = seen({**WAYS[way], "settings": settings}, WATCHING[watch])
    assert "DRAFT" in told


def test_what_waits_for_a_reviewer_is_not_streamed_as_a_message() -> None:
    made = agent(checkpointer=InMemorySaver(), settings={"on_flagged": "interrupt"})
    config = {"configurable": {"thread_id": "1"}}
    told = repr(list(made.stream(asked(), config, stream_mode="messages")))
    assert "held back" in told
    assert "CANDIDATE" not in told


def test_the_next_turn_knows_only_what_people_saw() -> None:
    model = FakeChat()
    made = agent(model, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    made.invoke(asked(), config)
    made.invoke({"messages": [question(text="And?")]}, config)
    sent = repr([messages for messages, _ in model.calls[4:]])
    assert KEPT in sent
    assert "DRAFT" not in sent


class Tracer(BaseTracer):
    """Keeps its finished root runs."""

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Any] = []

    def _persist_run(self, run: Any) -> None:
        self.roots.append(run)


@pytest.mark.parametrize("tools", [[], [look]])
def test_a_trace_has_every_call_in_one_tree(tools: list[Any]) -> None:
    tracer = Tracer()
    config: Any = {"callbacks": [tracer]}
    list(agent(tools=tools).stream(asked(), config, stream_mode=["messages", "updates"]))
    (root,) = tracer.roots
    runs: list[Any] = [root]
    models: dict[str, int] = {}
    while runs:
        run_ = runs.pop()
        runs += run_.child_runs
        models[run_.name] = models.get(run_.name, 0) + (run_.run_type in ("llm", "chat_model"))
    assert models["GuardedModel"] == 1
    assert models["FakeChat"] == 4  # the draft and three candidates
    assert {"pre_evaluate", "generate", "best_of_n", "respond"} <= models.keys()


def test_drafts_and_candidates_can_be_kept_out_of_it() -> None:
    for hide in (False, True):
        tracer = Tracer()
        made = agent(settings={"hide_drafts": hide})
        made.invoke(asked(), {"callbacks": [tracer]})
        waiting, told = list(tracer.roots), ""
        while waiting:
            run_ = waiting.pop()
            waiting += run_.child_runs
            told += repr([run_.inputs, run_.outputs, run_.extra])
        assert [canary in told for canary in ("DRAFT", "seed 1010")] == [not hide] * 2
        assert KEPT in told
