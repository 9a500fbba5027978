from __future__ import annotations

import asyncio
import copy
import json
import math
import pickle
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from operator import add as add_chunks
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import ValidationError

from eta_guard.counts import add
from eta_guard.errors import ImageInputError, InputError, PolicyError, UnsupportedModelError
from eta_guard.guard import EtaGuard
from eta_guard.local_vlm import ChatLocalVLM
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import (
    Candidate,
    Completion,
    Engine,
    Generation,
    ImageEvaluator,
    ResponseEvaluator,
)
from eta_guard.request.conversation import Conversation
from eta_guard.state import Verdict
from tests.engines.local.tiny import engine
from tests.fakes import (
    DRAFT,
    SAFE,
    UNSAFE,
    FakeEngine,
    FakeImages,
    FakeResponses,
    FakeSession,
    Rig,
    candidate,
    image_block,
    question,
    scoring,
    verdict_of,
)

SEARCHED = "As an AI assistant" + "".join(f" sentence {i} of candidate 0." for i in (1, 2, 3))

Call = Callable[[EtaGuard, Any, RunnableConfig | None], AIMessage]


def run(work: Any) -> Any:
    return asyncio.run(work)


def drained(events: AsyncIterator[Any]) -> list[Any]:
    async def drain() -> list[Any]:
        return [event async for event in events]

    found: list[Any] = run(drain())
    return found


def merged(chunks: Iterable[Any]) -> AIMessage:
    first, *rest = chunks
    whole: AIMessage = reduce(add_chunks, rest, first)
    return whole


def from_blocks(reply: Any) -> AIMessage:
    """The same with its text as a string; that protocol always gives blocks."""
    message: AIMessage = reply.model_copy(update={"content": reply.text})
    return message


ENTRIES: dict[str, Call] = {
    "invoke": lambda guard, given, config: guard.invoke(given, config),
    "ainvoke": lambda guard, given, config: run(guard.ainvoke(given, config)),
    "batch": lambda guard, given, config: guard.batch([given, given], config)[1],
    "abatch": lambda guard, given, config: run(guard.abatch([given, given], config))[1],
    "with_config": lambda guard, given, config: guard.with_config(config).invoke(given),
    "bind": lambda guard, given, config: guard.bind(unused=1).invoke(given, config),
    "chain": lambda guard, given, config: (RunnableLambda(lambda x: x) | guard).invoke(
        given, config
    ),
    "stream": lambda guard, given, config: merged(guard.stream(given, config)),
    "astream": lambda guard, given, config: merged(drained(guard.astream(given, config))),
    "streamed chain": lambda guard, given, config: merged(
        (RunnableLambda(lambda x: x) | guard).stream(given, config)
    ),
    "events v2": lambda guard, given, config: merged(
        event["data"]["chunk"]
        for event in drained(guard.astream_events(given, config, version="v2"))
        if event["event"] == "on_chat_model_stream"
    ),
    "events v3": lambda guard, given, config: from_blocks(
        guard.stream_events(given, config, version="v3").output
    ),
}


pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def settings(**overrides: Any) -> RunnableConfig:
    return {"configurable": {"eta_guard": overrides}}


# ── the four entry points ──


def test_it_is_a_chat_model() -> None:
    guard = Rig().guard()
    assert isinstance(guard, BaseChatModel)
    reply = guard.invoke("Hello")
    assert isinstance(reply, AIMessage)
    assert isinstance(guard.engine, Engine)
    assert isinstance(guard.image_evaluator, ImageEvaluator)
    assert isinstance(guard.response_evaluator, ResponseEvaluator)


@pytest.mark.parametrize("call", ENTRIES.values(), ids=ENTRIES)
def test_all_entry_points_answer_alike(call: Call) -> None:
    reply = call(Rig().guard(), [question(UNSAFE)], None)
    assert reply.content == SEARCHED
    assert verdict_of(reply).decision == "aligned"


@pytest.mark.parametrize("call", ENTRIES.values(), ids=ENTRIES)
def test_all_entry_points_pass_overrides_on(call: Call) -> None:
    guard = Rig(GuardPolicy(overridable=frozenset({"search", "candidates"}))).guard()
    reply = call(guard, [question(UNSAFE)], settings(search=False))
    assert reply.content == "As an AI assistant, continued."
    reply = call(guard, [question(UNSAFE)], settings(candidates=2))
    assert len(verdict_of(reply).rounds[0].candidates) == 2
    for wrong in (
        settings(mode="observe"),  # forbidden
        settings(candidates=0),  # invalid
        settings(no_field=1),  # unknown
    ):
        with pytest.raises(PolicyError):
            call(guard, [question(UNSAFE)], wrong)


@pytest.mark.parametrize("call", ENTRIES.values(), ids=ENTRIES)
def test_no_entry_point_lets_a_caller_disarm_the_guard(call: Call) -> None:
    for name in ("mode", "image_threshold", "overridable", "record_rejected"):
        value = "observe" if name == "mode" else GuardPolicy().model_dump()[name]
        with pytest.raises(PolicyError, match=f"caller set {name}"):
            call(Rig().guard(), [question(UNSAFE)], settings(**{name: value}))


def test_overrides_as_keyword_arguments_are_held_to_the_same_rules() -> None:
    with pytest.raises(PolicyError):
        Rig().guard().invoke([question(UNSAFE)], eta_guard={"mode": "observe"})
    with pytest.raises(PolicyError):
        Rig().guard().bind(eta_guard={"mode": "observe"}).invoke([question(UNSAFE)])


def test_batches_may_have_a_config_each() -> None:
    guard = Rig(GuardPolicy(overridable=frozenset({"search"}))).guard()
    configs = [settings(search=False), settings()]
    replies = guard.batch([[question(UNSAFE)]] * 2, configs)
    assert [reply.content for reply in replies] == ["As an AI assistant, continued.", SEARCHED]
    replies = run(guard.abatch([[question(UNSAFE)]] * 2, configs))
    assert [reply.content for reply in replies] == ["As an AI assistant, continued.", SEARCHED]


def test_overrides_are_taken_from_the_graph_around_it() -> None:
    guard = Rig(GuardPolicy(overridable=frozenset({"search"}))).guard()

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [guard.invoke(state["messages"])]}

    outer = StateGraph(MessagesState)
    outer.add_node("node", node)
    outer.add_edge(START, "node")
    given: Any = {"messages": [question(UNSAFE)]}
    reply = outer.compile().invoke(given, settings(search=False))["messages"][-1]
    assert reply.content == "As an AI assistant, continued."


# ── settings of a call ──


def drawn_by(rig: Rig) -> list[Generation]:
    return [replace(generation, settings={}) for _, generation in rig.engine.opened]


def test_settings_of_a_call_reach_the_engine() -> None:
    table: list[tuple[dict[str, Any], Generation]] = [
        ({}, Generation(1024, 0.0, (), 0)),
        ({"stop": ["\n", "."]}, Generation(1024, 0.0, ("\n", "."), 0)),
        ({"max_tokens": 7}, Generation(7, 0.0, (), 0)),
        ({"max_tokens": 4096}, Generation(1024, 0.0, (), 0)),
        ({"temperature": 0.7}, Generation(1024, 0.7, (), 0)),
        ({"temperature": 1}, Generation(1024, 1, (), 0)),
        ({"seed": 5}, Generation(1024, 0.0, (), 5)),
        ({"max_tokens": None, "temperature": None, "seed": None}, Generation(1024, 0.0, (), 0)),
    ]
    for given, expected in table:
        calls: list[Callable[[EtaGuard, dict[str, Any]], Any]] = [
            lambda guard, given: guard.invoke("Hello", **given),
            lambda guard, given: run(guard.ainvoke("Hello", **given)),
            lambda guard, given: guard.bind(**given).invoke("Hello"),
            lambda guard, given: guard.batch(["Hello"], **given),
        ]
        for call in calls:
            rig = Rig()
            call(rig.guard(), given)
            assert drawn_by(rig) == [expected]


def test_the_policy_sets_what_the_call_does_not() -> None:
    rig = Rig(GuardPolicy(max_tokens=50, seed=9, overridable=frozenset({"max_tokens", "seed"})))
    rig.guard().invoke("Hello")
    rig.guard().invoke("Hello", max_tokens=60, seed=4)
    rig.guard().invoke("Hello", settings(max_tokens=80, seed=3))
    rig.guard().invoke("Hello", settings(max_tokens=80), max_tokens=70)
    seen = [(generation.max_tokens, generation.seed) for _, generation in rig.engine.opened]
    assert seen == [(50, 9), (50, 4), (80, 3), (70, 9)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("max_tokens", 1.5),
        ("max_tokens", True),
        ("max_tokens", math.inf),
        ("max_tokens", "many"),
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", "hot"),
        ("seed", -1),
        ("seed", 0.5),
        ("seed", False),
    ],
)
def test_a_setting_out_of_range_is_an_input_error(name: str, value: Any) -> None:
    rig = Rig()
    with pytest.raises(InputError, match=f"{name} = .* is not valid"):
        rig.guard().invoke("Hello", **{name: value})
    assert rig.engine.opened == []


@pytest.mark.parametrize(
    ("fields", "given", "expected"),
    [
        ({}, {}, Generation(1024, 0.0, (), 0)),
        ({"max_tokens": 30}, {}, Generation(30, 0.0, (), 0)),
        ({"max_tokens": 30}, {"max_tokens": 9}, Generation(9, 0.0, (), 0)),
        ({"max_tokens": 30}, {"max_tokens": 90}, Generation(30, 0.0, (), 0)),
        ({"max_tokens": 5000}, {}, Generation(1024, 0.0, (), 0)),
        ({"temperature": 0.5, "seed": 3}, {}, Generation(1024, 0.5, (), 3)),
        ({"temperature": 0.5, "seed": 3}, {"temperature": 0.1, "seed": 0}, Generation(1024, 0.1)),
        ({"stop": ["x"]}, {}, Generation(1024, 0.0, ("x",), 0)),
        ({"stop": ["x"]}, {"stop": ["y"]}, Generation(1024, 0.0, ("y",), 0)),
    ],
)
def test_a_model_may_have_settings_of_its_own(
    fields: dict[str, Any], given: dict[str, Any], expected: Generation
) -> None:
    calls: list[Callable[..., Any]] = [
        lambda guard, **given: guard.invoke("Hello", **given),
        lambda guard, **given: list(guard.stream("Hello", **given)),
    ]
    for call in calls:
        rig = Rig()
        call(rig.guard().model_copy(update=fields), **given)
        assert drawn_by(rig) == [expected]


def test_langsmith_is_told_model_and_settings() -> None:
    guard = Rig(GuardPolicy(max_tokens=50)).guard()
    assert guard._get_ls_params() == {
        "ls_provider": "eta_guard",
        "ls_model_name": "fake-chat@0",
        "ls_model_type": "chat",
        "ls_temperature": 0.0,
        "ls_max_tokens": 50,
    }
    told = guard._get_ls_params(stop=["x"], temperature=0.5, max_tokens=9)
    assert (told["ls_stop"], told["ls_temperature"], told["ls_max_tokens"]) == (["x"], 0.5, 9)


def test_the_profile_says_what_goes_in() -> None:
    profile = Rig(GuardPolicy(max_tokens=50)).guard().profile
    assert profile is not None
    assert profile["image_inputs"] is True
    assert profile["image_url_inputs"] is False
    assert profile["tool_calling"] is False
    assert profile["max_output_tokens"] == 50


# ── messages ──


def test_equal_messages_stay_two() -> None:
    rig = Rig()
    twice = HumanMessage("Hello", id="1")
    rig.guard().invoke([twice, AIMessage("Hi.", id="2"), twice])
    rig.guard().invoke([twice, AIMessage("Hi.", id="1"), HumanMessage("Bye", id="1")])
    texts = [[turn.parts for turn in conversation.turns] for conversation, _ in rig.engine.opened]
    assert texts == [[("Hello",), ("Hi.",), ("Hello",)], [("Hello",), ("Hi.",), ("Bye",)]]


def test_the_callers_messages_are_left_alone() -> None:
    messages = [SystemMessage("Be brief."), question(UNSAFE), AIMessage("A.", id="a"), question(0)]
    before = copy.deepcopy(messages)
    Rig().guard().invoke(messages)
    run(Rig().guard().ainvoke(messages))
    assert messages == before
    assert [message.id for message in messages] == [None, None, "a", None]


def test_what_cannot_be_read_raises_or_is_blocked() -> None:
    bad = [HumanMessage([{"type": "image", "url": "https://example.org/cat.png"}])]
    with pytest.raises(ImageInputError):
        Rig().guard().invoke(bad)
    reply = Rig(GuardPolicy(on_unreadable="refuse")).guard().invoke(bad)
    assert verdict_of(reply).decision == "blocked"


# ── the reply ──


def test_the_verdict_reads_back() -> None:
    reply = Rig().guard().invoke([question(UNSAFE, SAFE)])
    told = reply.response_metadata["eta_guard"]
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    verdict = Verdict.model_validate(told)
    assert verdict.model_dump(mode="json") == told
    assert Verdict.model_validate_json(json.dumps(told)) == verdict
    assert verdict.schema_version == 3
    assert verdict.models == {
        "chat_model": "fake-chat@0",
        "image_evaluator": "fake-clip@0",
        "response_evaluator": "fake-reward@0",
    }
    assert [record.text for record in verdict.rounds] == [
        f" sentence {i} of candidate 0." for i in (1, 2, 3)
    ]
    assert reply.response_metadata["model_name"] == "fake-chat@0"
    assert reply.response_metadata["finish_reason"] == "stop"


def test_the_verdict_is_json_even_where_scores_are_not_finite() -> None:
    rig = Rig(responses=FakeResponses(scoring(math.nan, math.inf)))
    told = rig.guard().invoke([question(UNSAFE)]).response_metadata["eta_guard"]
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def costly_rig(policy: GuardPolicy | None = None) -> Rig:
    def sentences(number: int, n: int) -> list[Candidate]:
        add("output_tokens", 10 * n)
        add("vlm_forwards", 10)
        return [
            candidate(f" sentence {number} of candidate {i}.", ends=number == 3) for i in range(n)
        ]

    def score(prompt: str, text: str) -> float:
        add("reward_forwards")
        return scoring()(prompt, text)

    def likeness(text: str) -> float:
        add("clip_text_encodes")
        return 0.0

    class Costly(FakeEngine):
        def open(self, conversation: Any, generation: Generation) -> Any:
            add("input_tokens", 100)
            return super().open(conversation, generation)

    return Rig(
        policy or GuardPolicy(candidates=2),
        engine=Costly(sentences=sentences),
        images=FakeImages(alike=likeness),
        responses=FakeResponses(score),
    )


def test_the_usage_includes_what_alignment_spent() -> None:
    reply = costly_rig().guard().invoke([question(UNSAFE)])
    assert verdict_of(reply).counts == {
        "input_tokens": 100,
        "output_tokens": 60,
        "vlm_forwards": 30,
        "reward_forwards": 8,
        "clip_text_encodes": 2,
        "evaluations_clip": 1,
        "evaluations_reward": 8,
    }
    usage = reply.usage_metadata
    assert usage == {"input_tokens": 100, "output_tokens": 60, "total_tokens": 160}


def test_the_usage_of_one_request_is_not_that_of_another() -> None:
    guard = costly_rig().guard()
    replies = guard.batch([[question(UNSAFE)]] * 4)
    assert [verdict_of(reply).counts["output_tokens"] for reply in replies] == [60] * 4
    passed = costly_rig().guard().invoke([question(SAFE)])
    assert verdict_of(passed).counts == {"input_tokens": 100, "evaluations_clip": 1}
    assert passed.usage_metadata == {"input_tokens": 100, "output_tokens": 0, "total_tokens": 100}


def test_rejected_texts_are_recorded_only_on_demand() -> None:
    silent = verdict_of(Rig(GuardPolicy(candidates=2)).guard().invoke([question(UNSAFE)]))
    assert (silent.draft, silent.rejected) == (None, None)
    told = verdict_of(
        Rig(GuardPolicy(candidates=2, record_rejected=True)).guard().invoke([question(UNSAFE)])
    )
    assert told.draft == DRAFT
    assert told.rejected == tuple(
        tuple(f" sentence {number} of candidate {i}." for i in range(2)) for number in (1, 2, 3)
    )
    blocked = Rig(
        GuardPolicy(record_rejected=True, on_unscored="refuse"),
        images=FakeImages(failure=RuntimeError()),
    )
    assert verdict_of(blocked.guard().invoke([question(UNSAFE)])).draft is None


# ── as an object ──


class PlainEngine(FakeEngine):
    """Can be pickled: holds no closure."""

    def __init__(self) -> None:
        super().__init__(sentences=plain_sentences)


def plain_sentences(number: int, n: int) -> list[Candidate]:
    return [candidate(f" sentence {number} of candidate {i}.", ends=number == 3) for i in range(n)]


def plain_score(prompt: str, text: str) -> float:
    return 0.0 if text == DRAFT else 1.0


def plain_likeness(text: str) -> float:
    return 0.0


def plain_guard() -> EtaGuard:
    return EtaGuard(
        engine=PlainEngine(),
        image_evaluator=FakeImages(alike=plain_likeness),
        response_evaluator=FakeResponses(plain_score),
        policy=GuardPolicy(seed=3),
    )


@pytest.mark.parametrize("used", [False, True])
def test_it_survives_pickling_and_copying(used: bool) -> None:
    guard = plain_guard()
    if used:
        guard.invoke([question(UNSAFE)])
    for twin in (
        pickle.loads(pickle.dumps(guard)),
        copy.copy(guard),
        copy.deepcopy(guard),
        guard.model_copy(),
    ):
        assert twin.policy == guard.policy
        assert twin.invoke([question(UNSAFE)]).content == SEARCHED


@pytest.mark.parametrize("used", [False, True])
def test_it_can_be_shown_and_dumped(used: bool) -> None:
    guard = plain_guard()
    if used:
        guard.invoke([question(UNSAFE)])
    assert "EtaGuard" in repr(guard)
    dumped = guard.model_dump()
    assert dumped["policy"]["seed"] == 3
    assert not {"engine", "image_evaluator", "response_evaluator", "graph"} & set(dumped)
    assert json.loads(guard.model_dump_json())["policy"]["seed"] == 3


def test_another_policy_is_obeyed_at_once() -> None:
    guard = Rig(GuardPolicy(mode="observe")).guard()
    assert guard.invoke([question(UNSAFE)]).content == DRAFT
    strict = guard.with_policy(GuardPolicy())
    assert strict.engine is guard.engine
    assert strict.invoke([question(UNSAFE)]).content == SEARCHED
    with pytest.raises(ValidationError, match="frozen"):
        guard.policy = GuardPolicy()
    assert guard.invoke([question(UNSAFE)]).content == DRAFT
    assert guard.graph is guard.graph


def test_a_setting_that_a_local_model_does_not_know_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Rig().guard().invoke("Hello", top_p=0.5, max_tokens=9)
    assert "no use for top_p: ignored" in caplog.text
    caplog.clear()
    Rig().guard().invoke("Hello", max_tokens=9, temperature=0.1, seed=3)
    assert "no use" not in caplog.text


def test_what_it_is_made_with_is_checked() -> None:
    parts = {"engine": FakeEngine(), "image_evaluator": FakeImages()}
    with pytest.raises(TypeError, match=r"no setting 'polcy'. Did you mean 'policy'\?"):
        EtaGuard(**parts, response_evaluator=FakeResponses(), polcy=GuardPolicy(mode="observe"))
    with pytest.raises(TypeError, match="temprature"):
        EtaGuard.from_pretrained("embedded", temprature=1.0)
    with pytest.raises(TypeError, match="max_token"):
        ChatLocalVLM(engine=FakeEngine(), max_token=3)
    with pytest.raises(UnsupportedModelError, match="str is no ResponseEvaluator: it lacks"):
        EtaGuard(**parts, response_evaluator="reward")
    with pytest.raises(UnsupportedModelError, match="FakeImages is no ResponseEvaluator"):
        EtaGuard(**parts, response_evaluator=FakeImages())


@pytest.fixture
def llm_cache() -> Iterator[InMemoryCache]:
    cache = InMemoryCache()
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)


@pytest.mark.usefixtures("llm_cache")
def test_a_cache_never_serves_one_policys_answer_as_anothers() -> None:
    messages = [question(UNSAFE)]
    observing = GuardPolicy(mode="observe", overridable=frozenset({"search", "mode"}))
    assert Rig(observing).guard().invoke(messages).content == DRAFT
    assert Rig().guard().invoke(messages).content == SEARCHED
    rig = Rig(GuardPolicy(overridable=frozenset({"search", "mode"})))
    assert rig.guard().invoke(messages).content == SEARCHED
    assert rig.guard().invoke(messages, settings(search=False)).content != SEARCHED
    cached = rig.guard().model_copy(update={"cache": True})
    assert cached.invoke(messages).content == SEARCHED
    asked = len(rig.engine.calls)
    assert cached.invoke(messages).content == SEARCHED
    assert len(rig.engine.calls) == asked
    other = rig.guard().model_copy(update={"cache": True, "policy": observing})
    assert other.invoke(messages).content == DRAFT


def test_a_policy_may_be_given_as_a_mapping_and_is_checked() -> None:
    rig = Rig()
    loose: Any = {"image_threshold": 16.0}
    with pytest.raises(ValueError, match="image_threshold"):
        EtaGuard(
            engine=rig.engine,
            image_evaluator=rig.images,
            response_evaluator=rig.responses,
            policy=loose,
        )


def test_one_guard_serves_many_threads() -> None:
    def sentences(number: int, n: int) -> list[Candidate]:
        return [candidate(f" {number}{i}.", ends=number == 3) for i in range(n)]

    guard = Rig(engine=FakeEngine(sentences=sentences)).guard()
    requests: list[Sequence[HumanMessage]] = [
        [question(UNSAFE if i % 2 else SAFE, text=str(i))] for i in range(24)
    ]
    replies = guard.batch([list(request) for request in requests], {"max_concurrency": 8})
    expected = ["As an AI assistant 10. 20. 30." if i % 2 else DRAFT for i in range(24)]
    assert [reply.content for reply in replies] == expected


# ── within a graph ──


@pytest.mark.parametrize("asynchronous", [False, True])
def test_within_a_graph_it_says_one_thing_once(asynchronous: bool) -> None:
    guard = Rig().guard()

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [guard.invoke(state["messages"])]}

    async def anode(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await guard.ainvoke(state["messages"])]}

    outer = StateGraph(MessagesState)
    outer.add_node("node", anode if asynchronous else node)
    outer.add_edge(START, "node")
    outer.add_edge("node", END)
    graph = outer.compile(checkpointer=InMemorySaver())
    config: RunnableConfig = {"configurable": {"thread_id": "1"}}
    modes: Any = ["values", "updates", "messages", "tasks", "debug", "checkpoints", "custom"]
    events: list[Any] = []

    async def collect(given: Any) -> None:
        async for event in graph.astream(given, config, stream_mode=modes, subgraphs=True):
            events.append(event)  # noqa: PERF401

    for turn in (1, 2):
        given: Any = {"messages": [HumanMessage([image_block(UNSAFE)])]}
        events.clear()
        if asynchronous:
            run(collect(given))
        else:
            events.extend(graph.stream(given, config, stream_mode=modes, subgraphs=True))
        spoken = [part for _, mode, part in events if mode == "messages"]
        assert "".join(message.content for message, _ in spoken) == SEARCHED
        assert len({message.id for message, _ in spoken}) == 1
        assert {namespace for namespace, _, _ in events} == {()}
        assert "canary" not in repr(events)
        messages = graph.get_state(config).values["messages"]
        assert [message.type for message in messages] == ["human", "ai"] * turn
        assert verdict_of(messages[-1]).route.count("best_of_n") == 3


@pytest.mark.parametrize("search", [True, False])
def test_a_stop_text_within_the_prefix_leaves_no_answer(search: bool) -> None:
    """What is left of the prefix may score as harmless, and is still no answer."""

    class Cutting(FakeSession):
        def finish(self) -> Completion:
            return Completion(self.generation.cut(super().finish().text), "stop")

    class CuttingEngine(FakeEngine):
        def open(self, conversation: Conversation, generation: Generation) -> FakeSession:
            return Cutting(self, generation)

    rig = Rig(GuardPolicy(search=search), engine=CuttingEngine())
    reply = rig.guard().invoke([question(UNSAFE)], stop=["AI"])
    verdict = verdict_of(reply)
    assert (verdict.decision, verdict.reason) == ("refused", "a stop text stands in the prefix")
    assert reply.content == rig.policy.refusal_message
    assert not {"prefill", "propose", "finish"} & set(rig.engine.calls)  # told before it is drawn


@pytest.mark.parametrize("search", [True, False])
def test_without_room_for_the_prefix_a_flagged_request_is_refused_with_a_reason(
    search: bool,
) -> None:
    """The plain answer may have had room, and whoever set so small a budget wants no error."""
    raw: Any = engine()
    budget = len(raw.running.encode(GuardPolicy().prefix))
    unsafe = FakeResponses(lambda prompt, text: 0.0)
    rig = Rig(GuardPolicy(search=search), engine=raw, responses=unsafe)
    reply = rig.guard().invoke([question(UNSAFE)], max_tokens=budget)
    verdict = verdict_of(reply)
    assert (verdict.decision, verdict.route[-1]) == ("refused", "respond")
    assert "no room" in str(verdict.reason)
    safe = Rig(engine=raw).guard().invoke([question(SAFE)], max_tokens=budget)
    assert verdict_of(safe).decision == "passed"
