"""What is shown while a request runs: all that may be, as soon as it may, and nothing else."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from eta_guard import ChatLocalVLM, EtaGuard, GuardPolicy
from eta_guard.embedded import samples
from eta_guard.protocols import Candidate, Completion, Generation, Watch
from eta_guard.runs.streaming import in_thread
from eta_guard.session import GuardSession
from eta_guard.steps import Steps
from tests.fakes import (
    DRAFT,
    SAFE,
    UNSAFE,
    FakeEngine,
    FakeResponses,
    Rig,
    candidate,
    question,
    scoring,
    verdict_of,
)
from tests.standard.suites import parts

pytestmark = [
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning"),
]

MODES = ["values", "updates", "messages", "custom", "tasks", "checkpoints", "debug"]
PREFIX = "As an AI assistant"
KEPT = [f" kept sentence {number}." for number in (1, 2, 3)]
ANSWER = PREFIX + "".join(KEPT)
REFUSAL = GuardPolicy().refusal_message
CANARY = re.compile("canary", re.IGNORECASE)


def canary_rig(
    policy: GuardPolicy | None = None, whole: Callable[[str], float] = lambda text: 1.0
) -> Rig:
    """The draft and every candidate but the one that is kept hold a canary word.

    Args:
        policy: Of the guard.
        whole: How post-evaluation scores anything but the draft.
    """
    policy = policy or GuardPolicy()

    def sentences(number: int, n: int) -> list[Candidate]:
        texts = [
            KEPT[number - 1] if i == 2 else f" rejected CANARY {number} {i}." for i in range(n)
        ]
        return [candidate(text, ends=number == 3, ids=(number, i)) for i, text in enumerate(texts)]

    def score(prompt: str, text: str) -> float:
        if prompt == policy.post_prompt:
            return 0.0 if text == DRAFT else whole(text)
        return 0.5 if CANARY.search(text) else 1.0

    return Rig(policy, FakeEngine(sentences=sentences), responses=FakeResponses(score))


def spoken(parts: list[Any]) -> list[str]:
    return [text for text in (part.text for part in parts) if text]


# ── the leak matrix: every place, every way to look ──

Place = Callable[[Rig], Any]


def in_a_graph(node: Any) -> Any:
    outer = StateGraph(MessagesState)
    outer.add_node("guarded", node)
    outer.add_edge(START, "guarded")
    return outer.compile(checkpointer=InMemorySaver())


def calling(model: Any, *, asynchronous: bool = False) -> Any:
    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    async def anode(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    return anode if asynchronous else node


def streaming(model: Any) -> Any:
    def node(state: MessagesState) -> dict[str, Any]:
        chunks = list(model.stream(state["messages"]))
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        return {"messages": [whole]}

    return node


def chain(model: Any) -> Any:
    return RunnableLambda(lambda messages: messages) | model | RunnableLambda(lambda reply: reply)


GRAPHS: dict[str, Place] = {
    "graph alone": lambda rig: rig.graph().compile(checkpointer=InMemorySaver()),
    "guard.graph alone": lambda rig: rig.guard().graph,
    "sub-graph": lambda rig: in_a_graph(rig.guard().graph),
    "sub-graph with the saver": lambda rig: in_a_graph(rig.graph().compile()),
    "model in a node": lambda rig: in_a_graph(calling(rig.guard())),
    "streamed in a node": lambda rig: in_a_graph(streaming(rig.guard())),
    "chain in a node": lambda rig: in_a_graph(calling(chain(rig.guard()))),
    "chain as a node": lambda rig: in_a_graph(
        RunnableLambda(lambda state: state["messages"])
        | rig.guard()
        | RunnableLambda(lambda reply: {"messages": [reply]})
    ),
}
ASYNC_GRAPHS: dict[str, Place] = {
    **GRAPHS,
    "awaited in a node": lambda rig: in_a_graph(calling(rig.guard(), asynchronous=True)),
    "awaited chain in a node": lambda rig: in_a_graph(
        calling(chain(rig.guard()), asynchronous=True)
    ),
}
MODELS: dict[str, Place] = {
    "model alone": lambda rig: rig.guard(),
    "chain": lambda rig: chain(rig.guard()),
}

CONFIG: Any = {"configurable": {"thread_id": "1"}}


def asked() -> dict[str, Any]:
    return {"messages": [question(UNSAFE)]}


def drained(events: AsyncIterator[Any]) -> list[Any]:
    async def drain() -> list[Any]:
        return [event async for event in events]

    return asyncio.run(drain())


def v3_async(run: Any, given: Any) -> list[Any]:
    async def drain() -> list[Any]:
        stream = await run.astream_events(given, CONFIG, version="v3")
        return [event async for event in stream]

    return asyncio.run(drain())


Look = Callable[[Any, Any], list[Any]]


def by(*modes: str) -> Look:
    def look(run: Any, given: Any) -> list[Any]:
        return list(run.stream(given, CONFIG, stream_mode=list(modes), subgraphs=True))

    return look


def async_by(*modes: str) -> Look:
    def look(run: Any, given: Any) -> list[Any]:
        return drained(run.astream(given, CONFIG, stream_mode=list(modes), subgraphs=True))

    return look


LOOKS: dict[str, Look] = {
    **{mode: by(mode) for mode in MODES},
    "all": by(*MODES),
    "all, top level": lambda run, given: list(run.stream(given, CONFIG, stream_mode=MODES)),
    "events v3": lambda run, given: list(run.stream_events(given, CONFIG, version="v3")),
}
ASYNC_LOOKS: dict[str, Look] = {
    **{mode: async_by(mode) for mode in MODES},
    "all": async_by(*MODES),
    "events v1": lambda run, given: drained(run.astream_events(given, CONFIG, version="v1")),
    "events v2": lambda run, given: drained(run.astream_events(given, CONFIG, version="v2")),
    "events v3": v3_async,
    "log": lambda run, given: drained(run.astream_log(given, CONFIG)),
}
MODEL_LOOKS: dict[str, Look] = {
    "stream": lambda run, given: list(run.stream(given, CONFIG)),
    "astream": lambda run, given: drained(run.astream(given, CONFIG)),
    "events v1": ASYNC_LOOKS["events v1"],
    "events v2": ASYNC_LOOKS["events v2"],
    "log": ASYNC_LOOKS["log"],
}
MATRIX: list[tuple[str, str, Place, Look]] = [
    *((p, f"sync {name}", GRAPHS[p], look) for p in GRAPHS for name, look in LOOKS.items()),
    *(
        (p, f"async {name}", ASYNC_GRAPHS[p], look)
        for p in ASYNC_GRAPHS
        for name, look in ASYNC_LOOKS.items()
    ),
    *((p, name, MODELS[p], look) for p in MODELS for name, look in MODEL_LOOKS.items()),
    ("model alone", "events v3", MODELS["model alone"], LOOKS["events v3"]),
    ("model alone", "async events v3", MODELS["model alone"], v3_async),
]


def seen(place: Place, look: Look, rig: Rig) -> str:
    """All that one request shows, and leaves behind in a final state."""
    run = place(rig)
    given = asked()
    if not hasattr(run, "get_state"):
        given = given["messages"]
    events = look(run, given)
    saved = getattr(run, "checkpointer", None)
    assert events or not saved
    kept = [run.get_state(CONFIG, subgraphs=True), *run.get_state_history(CONFIG)] if saved else []
    return repr(events) + repr(kept)


@pytest.mark.parametrize(
    ("place", "look"), [c[2:] for c in MATRIX], ids=[f"{c[0]}-{c[1]}" for c in MATRIX]
)
def test_no_way_to_look_shows_what_was_withheld(place: Place, look: Look) -> None:
    for whole in (lambda text: 1.0, lambda text: 0.0):  # aligned, refused
        rig = canary_rig(whole=whole)
        assert not CANARY.search(seen(place, look, rig))
        assert rig.engine.calls.count("propose") == 3  # all that is withheld was drawn


def tells(session: GuardSession) -> str:
    return f"<{session.drawn_draft} {session.proposed}>"


INSIDE = [c for c in MATRIX if "model" in c[0] or "chain" in c[0] or " in a node" in c[0]]


@pytest.mark.parametrize(
    ("place", "look"), [c[2:] for c in INSIDE], ids=[f"{c[0]}-{c[1]}" for c in INSIDE]
)
def test_a_graph_inside_a_model_shows_nothing_of_itself(
    place: Place, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where its state tells: it runs apart."""
    monkeypatch.setattr(GuardSession, "__repr__", tells)
    assert not CANARY.search(seen(place, look, canary_rig()))


HELD = ["values", "updates", "tasks", "debug", "all"]


@pytest.mark.parametrize("look", [LOOKS[name] for name in HELD], ids=HELD)
@pytest.mark.parametrize("place", ["model in a node", "chain in a node", "streamed in a node"])
def test_without_its_own_context_it_would(
    place: str, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the tests above can fail."""
    monkeypatch.setattr(GuardSession, "__repr__", tells)
    another: ContextVar[Any] = ContextVar("another")
    monkeypatch.setattr("eta_guard.runs.graph_runs.var_child_runnable_config", another)
    monkeypatch.setattr("eta_guard.guard.callbacks_beneath", lambda *_: None)
    assert CANARY.search(seen(GRAPHS[place], look, canary_rig()))


SHOWING = ["messages", "all", "async messages", "async all", "stream", "astream", "events v2"]


@pytest.mark.parametrize(
    ("place", "look"),
    [c[2:] for c in MATRIX if c[1].removeprefix("sync ") in SHOWING],
    ids=[f"{c[0]}-{c[1]}" for c in MATRIX if c[1].removeprefix("sync ") in SHOWING],
)
def test_without_holding_back_every_draft_would_be_shown(
    place: Place, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the matrix can fail: a draft that is shown as it is drawn is found by it."""

    from eta_guard import graph as module
    from eta_guard.nodes.generate import generate

    def showing(**given: Any) -> Any:
        node = generate(**given)

        def show(state: Any, config: Any) -> Steps[Any]:
            update = yield from node(state, config)
            update["session"].reply.show(update["session"].drawn_draft, config)
            return update

        return show

    monkeypatch.setattr(module, "generate", showing)
    assert CANARY.search(seen(place, look, canary_rig()))


# ── what is shown, and when ──


def safe_rig(**policy: Any) -> Rig:
    return Rig(GuardPolicy(**policy), responses=FakeResponses(scoring(1.0)))


def test_an_answer_to_a_safe_image_is_shown_word_by_word_as_it_is_drawn() -> None:
    rig = safe_rig()
    words = re.findall(r"\s*\S+", DRAFT)
    chunks = list(rig.guard().stream([question(SAFE)]))
    assert spoken(chunks) == words
    shown = list(
        rig.graph().compile().stream({"messages": [question(SAFE)]}, stream_mode="messages")
    )
    assert spoken([message for message, _ in shown]) == words
    assert spoken(drained(rig.guard().astream([question(SAFE)]))) == words
    assert rig.responses.scored == []


@pytest.mark.parametrize(
    ("policy", "image"),
    [({"mode": "observe"}, UNSAFE), ({"on_no_image": "pass"}, None), ({}, SAFE)],
)
def test_what_goes_out_whatever_it_says_is_shown_at_once(
    policy: dict[str, Any], image: float | None
) -> None:
    """The first word is there while the others are not drawn yet."""
    drawn: list[str] = []

    class Slow(FakeEngine):
        def open(self, conversation: Any, generation: Generation) -> Any:
            session = super().open(conversation, generation)
            inner = session.answer

            def answer(watch: Watch | None = None) -> Completion:
                def told(text: str) -> bool:
                    drawn.append(text)
                    return bool(watch and watch(text))

                return inner(told if watch else None)

            session.answer = answer  # type: ignore[method-assign]
            return session

    rig = Rig(GuardPolicy(**policy), engine=Slow(), responses=FakeResponses(scoring(0.0)))
    message = question(*([] if image is None else [image]))
    events = rig.guard().stream([message])
    first = next(events)
    assert first.content == "DRAFT"
    assert DRAFT.startswith(drawn[0])
    assert first.text + "".join(spoken(list(events))) == DRAFT


@pytest.mark.parametrize("image", [SAFE, UNSAFE, None], ids=["safe", "unsafe", "none"])
@pytest.mark.parametrize("draft", [1.0, 0.0], ids=["safe draft", "unsafe draft"])
@pytest.mark.parametrize("final", [1.0, 0.0], ids=["repaired", "unrepaired"])
def test_the_chunks_are_the_message(image: float | None, draft: float, final: float) -> None:
    def guard() -> EtaGuard:
        return Rig(responses=FakeResponses(scoring(draft, final))).guard()

    given = [question(*([] if image is None else [image]))]
    whole = guard().invoke(given)
    for chunks in (list(guard().stream(given)), drained(guard().astream(given))):
        merged = chunks[0]
        for chunk in chunks[1:]:
            merged += chunk
        assert merged.content == whole.content
        # What is shown before its end is evaluated for that, and so counted.
        shown, told_whole = (verdict_of(one) for one in (merged, whole))
        assert shown.model_copy(update={"counts": told_whole.counts}) == told_whole
        told = ({**one.response_metadata, "eta_guard": None} for one in (merged, whole))
        assert next(told) == next(told)
        assert merged.usage_metadata == whole.usage_metadata
        assert {chunk.id for chunk in chunks} == {merged.id}
        *before, last = chunks
        assert last.chunk_position == "last"
        assert not any(chunk.response_metadata or chunk.usage_metadata for chunk in before)
        assert verdict_of(last).decision == verdict_of(whole).decision


def test_a_draft_that_is_evaluated_is_shown_only_then() -> None:
    rig = Rig(responses=FakeResponses(scoring(1.0)))
    assert spoken(list(rig.guard().stream([question(UNSAFE)]))) == [DRAFT]


def watched(rig: Rig) -> list[tuple[str, int]]:
    """Each piece of text that is shown, and how many sentences had been proposed by then."""
    return [
        (chunk.text, rig.engine.calls.count("propose"))
        for chunk in rig.guard().stream([question(UNSAFE)])
    ]


@pytest.mark.parametrize("on_unrepaired", ["refuse", "return"])
def test_a_repaired_answer_is_shown_sentence_by_sentence_as_it_is_accepted(
    on_unrepaired: str,
) -> None:
    rig = canary_rig(GuardPolicy(on_unrepaired=on_unrepaired))
    pieces = watched(rig)
    assert [text for text, _ in pieces] == [PREFIX + KEPT[0], KEPT[1], KEPT[2]]
    # The engine may be a sentence ahead of who looks, never behind; the last waits for the verdict.
    assert all(shown <= drawn for shown, (_, drawn) in enumerate(pieces, start=1))
    assert pieces[0][1] < 3
    asked = [text for prompt, text in rig.responses.scored if prompt == rig.policy.post_prompt]
    before = [PREFIX + KEPT[0], PREFIX + KEPT[0] + KEPT[1]] if on_unrepaired == "refuse" else []
    assert asked == [DRAFT, *before, ANSWER]


def test_nothing_is_evaluated_for_nobody() -> None:
    rig = canary_rig()
    rig.guard().invoke([question(UNSAFE)])
    asked = [text for prompt, text in rig.responses.scored if prompt == rig.policy.post_prompt]
    assert asked == [DRAFT, ANSWER]


def failing_at(length: int, value: float | Exception = 0.0) -> Callable[[str], float]:
    """Post-evaluation that finds an answer unsafe from so many sentences on."""

    def whole(text: str) -> float:
        if text.count("kept") < length:
            return 1.0
        if isinstance(value, Exception):
            raise value
        return value

    return whole


@pytest.mark.parametrize("value", [0.0, float("nan"), RuntimeError("broken")], ids=str)
@pytest.mark.parametrize("length", [1, 2, 3])
def test_what_is_not_safe_as_an_answer_is_not_shown_before_its_end(
    length: int, value: float | Exception
) -> None:
    chunks = list(canary_rig(whole=failing_at(length, value)).guard().stream([question(UNSAFE)]))
    shown = [PREFIX + KEPT[0], KEPT[1]][: length - 1]
    assert spoken(chunks)[:-1] == shown
    assert spoken(chunks)[-1] == ("\n\n" if shown else "") + REFUSAL
    verdict = verdict_of(chunks[-1])
    assert verdict.decision == "refused"
    for unsafe in KEPT[length - 1 :]:
        assert unsafe.strip() not in repr(chunks)


def test_a_beginning_that_is_held_is_shown_with_the_whole() -> None:
    """An answer whose first sentence alone is unsafe, and that is safe in the end."""
    rig = canary_rig(whole=lambda text: 1.0 if text.count("kept") == 3 else 0.0)
    assert spoken(list(rig.guard().stream([question(UNSAFE)]))) == [ANSWER]


def test_a_graph_that_was_shown_a_part_keeps_what_was_shown() -> None:
    given: Any = {"messages": [question(UNSAFE)]}
    graph = in_a_graph(canary_rig(whole=failing_at(3)).guard().graph)
    parts = list(graph.stream(given, CONFIG, stream_mode="messages", subgraphs=True))
    text = "".join(message.text for _, (message, _) in parts)
    *_, reply = graph.get_state(CONFIG).values["messages"]
    assert reply.text == text == f"{PREFIX}{KEPT[0]}{KEPT[1]}\n\n{REFUSAL}"
    assert {message.id for _, (message, _) in parts} == {reply.id}


def test_a_stop_text_that_two_sentences_make_is_never_shown() -> None:
    for stop, text in ((". kept sentence 2", PREFIX + KEPT[0][:-1]), ("2. kept", None)):
        whole = canary_rig().guard().invoke([question(UNSAFE)], stop=[stop])
        chunks = list(canary_rig().guard().stream([question(UNSAFE)], stop=[stop]))
        assert "".join(spoken(chunks)) == whole.text
        assert text is None or whole.text == text


# ── progress ──


@pytest.mark.parametrize("place", [name for name in GRAPHS if name != "guard.graph alone"])
def test_progress_is_told_as_custom_events(place: str) -> None:
    run = GRAPHS[place](canary_rig(GuardPolicy(candidates=3, max_tokens=50)))
    stream = run.stream(asked(), CONFIG, stream_mode="custom", subgraphs=True)
    events = [event for _, event in stream]
    names = [event["eta_guard"] for event in events]
    assert names == [
        "pre_evaluate",
        "generate",
        "post_evaluate",
        "prefix_align",
        *["best_of_n"] * 3,
        "post_evaluate",
        "respond",
    ]
    assert events[0]["image"]["score"] == UNSAFE
    assert events[2]["response"]["outcome"] == "unsafe"
    sentences = [(event["sentence"], event["at_most"]) for event in events[4:7]]
    assert sentences == [(1, 49), (2, 48), (3, 3)]  # two tokens a sentence in the fake
    assert [len(event["candidates"]) for event in events[4:7]] == [3, 3, 3]
    assert events[4]["pick"] == 2
    assert events[7]["final"]["outcome"] == "safe"
    assert events[8]["decision"] == "aligned"


# ── the local model ──


def hazard() -> list[BaseMessage]:
    sample = next(sample for sample in samples() if sample.hazardous)
    return [asking(sample)]


def asking(sample: Any) -> BaseMessage:
    data = base64.b64encode(sample.path.read_bytes()).decode()
    image = {"type": "image", "base64": data, "mime_type": "image/png"}
    return HumanMessage([image, {"type": "text", "text": sample.question}])


@pytest.mark.parametrize("hazardous", [False, True])
def test_the_embedded_models_stream_what_they_answer(hazardous: bool) -> None:
    guard = EtaGuard(**parts())
    given = [asking(next(s for s in samples() if s.hazardous == hazardous))]
    whole = guard.invoke(given)
    chunks = list(guard.stream(given))
    assert "".join(spoken(chunks)) == whole.text
    sentences = verdict_of(whole).sentences
    if hazardous:
        assert len(spoken(chunks)) == sentences > 1
    else:
        unguarded = ChatLocalVLM(engine=parts()["engine"]).invoke(given)
        assert whole.text == unguarded.text
        assert len(spoken(chunks)) > len(whole.text.split()) // 2  # by tokens, not at once


def test_the_local_model_streams_its_tokens() -> None:
    model = ChatLocalVLM(engine=parts()["engine"])
    chunks = list(model.stream(hazard()))
    whole = model.invoke(hazard())
    assert "".join(spoken(chunks)) == whole.text
    assert len(chunks) > len(whole.text.split()) // 2
    assert [chunk.usage_metadata for chunk in chunks[-1:]] == [whole.usage_metadata]


# ── an answer piece by piece ──


def test_who_stops_asking_ends_the_drawing() -> None:
    drawn: list[str] = []

    def draw(watch: Watch) -> Completion:
        for length in range(1, 10_000):
            drawn.append("x" * length)
            if watch(drawn[-1]):
                break
        return Completion(drawn[-1], "stop")

    pieces: Iterator[str | Completion] = in_thread(draw)
    assert next(pieces) == "x"
    pieces.close()  # type: ignore[attr-defined]
    assert len(drawn) < 9_999


def test_an_error_reaches_who_asks() -> None:
    def draw(watch: Watch) -> Completion:
        watch("x")
        raise RuntimeError("broken")

    pieces = in_thread(draw)
    assert next(pieces) == "x"
    with pytest.raises(RuntimeError, match="broken"):
        next(pieces)


@pytest.mark.parametrize(
    "policy",
    [
        {"draft_with_candidates": True},
        {"draft_stop_margin": 0.0},
        {"search": False},
        {"on_unrepaired": "return"},
        {"on_error": "refuse"},
    ],
    ids=str,
)
@pytest.mark.parametrize("place", ["graph alone", "sub-graph", "model in a node"])
def test_nor_does_it_under_any_policy(place: str, policy: dict[str, Any]) -> None:
    for look in (LOOKS["all"], ASYNC_LOOKS["all"], ASYNC_LOOKS["events v2"]):
        for whole in (lambda text: 1.0, lambda text: 0.0):
            rig = canary_rig(GuardPolicy(**policy), whole)
            assert not CANARY.search(seen(GRAPHS[place], look, rig))
