"""What the real LangSmith client sends, caught by a server of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.langchain import LangChainTracer, wait_for_all_tracers
from langsmith import Client, tracing_context
from langsmith.utils import get_env_var

from eta_guard import EtaGuard, Finding, GuardPolicy, Region
from eta_guard.runs.tracing import WITHHELD, without_images
from tests.fakes import SAFE, UNSAFE, FakeImages, Rig, image_block, question
from tests.langsmith_server import PROJECT, Received, langsmith
from tests.runs.test_streaming import ANSWER, CANARY, CONFIG, GRAPHS, canary_rig, drained
from tests.test_guard import costly_rig

pytestmark = [
    pytest.mark.loopback,
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
]

ALIGNED = [
    "pre_evaluate",
    "generate",
    "post_evaluate",
    "prefix_align",
    *["best_of_n"] * 3,
    "post_evaluate",
    "respond",
]
IMAGE = image_block(UNSAFE)["base64"].encode()


@pytest.fixture
def server() -> Iterator[tuple[Client, Received]]:
    with langsmith() as found:
        yield found


def traced(server: tuple[Client, Received], work: Callable[[Any], Any]) -> Received:
    """Does some work with a tracer among its callbacks."""
    client, received = server
    work({**CONFIG, "callbacks": [LangChainTracer(client=client, project_name="tests")]})
    client.flush()
    return received


Ask = Callable[[EtaGuard, Any, Any], Any]
ASKS: dict[str, Ask] = {
    "invoke": lambda guard, given, config: guard.invoke(given, config),
    "ainvoke": lambda guard, given, config: asyncio.run(guard.ainvoke(given, config)),
    "batch": lambda guard, given, config: guard.batch([given], config),
    "stream": lambda guard, given, config: list(guard.stream(given, config)),
    "astream": lambda guard, given, config: drained(guard.astream(given, config)),
    "events v2": lambda guard, given, config: drained(
        guard.astream_events(given, config, version="v2")
    ),
    "events v3": lambda guard, given, config: list(
        guard.stream_events(given, config, version="v3")
    ),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_one_tree_a_request(ask: Ask, server: tuple[Client, Received]) -> None:
    rig = canary_rig()
    given = [question(UNSAFE)]
    received = traced(server, lambda config: ask(rig.guard(), given, config))
    (model,) = received.roots
    assert (model["name"], model["run_type"]) == ("EtaGuard", "llm")
    assert ANSWER in repr(model["outputs"])
    (graph,) = received.tree(model)
    assert graph["name"] == "eta_guard"
    assert [node["name"] for node in received.tree(graph)] == ALIGNED
    assert len(received.runs) == 2 + len(ALIGNED)  # edges and sentences have none of their own
    assert all(run["end_time"] and not run.get("error") for run in received.runs.values())


def test_scores_thresholds_and_decision_stand_on_the_runs(server: tuple[Client, Received]) -> None:
    received = traced(
        server, lambda config: canary_rig().guard().invoke([question(UNSAFE)], config)
    )
    (model,) = received.roots
    (graph,) = received.tree(model)
    expected = {
        "eta_image_outcome": "unsafe",
        "eta_image_score": 0.8,
        "eta_image_threshold": 0.16,
        "eta_response_outcome": "unsafe",
        "eta_response_score": 0.0,
        "eta_response_threshold": 0.06,
        "eta_final_outcome": "safe",
        "eta_final_score": 1.0,
        "eta_final_threshold": 0.06,
        "eta_decision": "aligned",
    }
    for run in (model, graph):
        assert expected.items() <= run["extra"]["metadata"].items()
        assert "eta:aligned" in run["tags"]
    nodes = received.tree(graph)
    assert nodes[0]["extra"]["metadata"]["eta_image_score"] == 0.8
    assert "eta_response_score" not in nodes[0]["extra"]["metadata"]
    assert nodes[2]["extra"]["metadata"]["eta_response_outcome"] == "unsafe"
    assert [node["outputs"]["sentence"] for node in nodes[4:7]] == [1, 2, 3]
    assert nodes[4]["outputs"]["pick"] == 2
    assert len(nodes[4]["outputs"]["candidates"]) == 5


def test_each_of_several_evaluators_tells_its_score(server: tuple[Client, Received]) -> None:
    rig = canary_rig(GuardPolicy(short_circuit=False))
    several = [rig.images, FakeImages(name="other", threshold=0.9)]
    guard = EtaGuard(
        engine=rig.engine,
        image_evaluator=several,
        response_evaluator=rig.responses,
        policy=rig.policy,
    )
    received = traced(server, lambda config: guard.invoke([question(UNSAFE)], config))
    (model,) = received.roots
    told = model["extra"]["metadata"]
    assert (told["eta_image_clip_score"], told["eta_image_other_score"]) == (0.8, 0.8)
    assert "eta_response_reward_score" not in told


class FakeRegions(FakeImages):
    """Says where, though it is not the one that decides."""

    def evaluate(self, images: Any, prompt: str, question: str = "") -> list[Finding]:
        return [Finding(0.95, regions=(Region(0.0, 0.25, 0.75, 1.0, 0.9),)) for _ in images]


def test_where_a_picture_is_unsafe_is_told_in_numbers(server: tuple[Client, Received]) -> None:
    rig = canary_rig(GuardPolicy(short_circuit=False))
    guard = EtaGuard(
        engine=rig.engine,
        image_evaluator=[rig.images, FakeRegions(name="regions", threshold=0.9)],
        response_evaluator=rig.responses,
        policy=rig.policy,
    )
    received = traced(server, lambda config: guard.invoke([question(UNSAFE)], config))
    (model,) = received.roots
    told = model["extra"]["metadata"]
    assert told["eta_image_region"] == [0.0, 0.25, 0.75, 1.0]
    assert (told["eta_image_regions"], told["eta_image_region_score"]) == (1, 0.9)


def test_each_part_says_what_it_spent(server: tuple[Client, Received]) -> None:
    received = traced(
        server, lambda config: costly_rig().guard().invoke([question(UNSAFE)], config)
    )
    (model,) = received.roots
    (graph,) = received.tree(model)
    spent = [
        (node["name"], node["extra"]["metadata"].get("eta_output_tokens"))
        for node in received.tree(graph)
    ]
    assert spent[4:7] == [("best_of_n", 20)] * 3
    assert spent[0] == ("pre_evaluate", None)
    usage = model["extra"]["metadata"]["usage_metadata"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (100, 60)


def test_payloads_are_small_and_an_image_is_sent_once(server: tuple[Client, Received]) -> None:
    received = traced(
        server, lambda config: canary_rig().guard().invoke([question(UNSAFE)], config)
    )
    assert b"".join(received.bodies).count(IMAGE) == 1
    (graph,) = received.tree(received.roots[0])
    for node in received.tree(graph):
        assert node["inputs"].keys() == {"messages", "sentences"}
        assert len(repr(node["outputs"])) < 1500
        assert "Session" not in repr(node)
    assert not CANARY.search(repr(received.bodies))


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_images_can_be_kept_out(ask: Ask, server: tuple[Client, Received]) -> None:
    rig = canary_rig()
    guard = rig.guard().model_copy(update={"hide_images": True})
    received = traced(server, lambda config: ask(guard, [question(UNSAFE)], config))
    sent = b"".join(received.bodies)
    assert IMAGE not in sent
    assert WITHHELD.encode() in sent
    assert b"What is this?" in sent
    assert rig.images.asked[0][0] == 1  # the guard itself saw it


@pytest.mark.parametrize("place", ["model in a node", "streamed in a node", "chain as a node"])
@pytest.mark.parametrize("mode", ["messages", "custom", "values"])
def test_one_tree_when_a_graph_around_it_streams(
    place: str, mode: Any, server: tuple[Client, Received]
) -> None:
    graph = GRAPHS[place](canary_rig())
    given: Any = {"messages": [question(UNSAFE)]}
    received = traced(server, lambda config: list(graph.stream(given, config, stream_mode=mode)))
    (root,) = received.roots
    assert root["run_type"] == "chain"
    (model,) = [run for run in received.runs.values() if run["run_type"] == "llm"]
    assert {run["trace_id"] for run in received.runs.values()} == {root["id"]}
    (inner,) = received.tree(model)
    assert [node["name"] for node in received.tree(inner)] == ALIGNED
    assert "eta:aligned" in model["tags"]
    below = [model, inner, *received.tree(inner)]
    assert repr(below).count(IMAGE.decode()) == 1
    assert not CANARY.search(repr(received.bodies))


@pytest.mark.parametrize("place", ["graph alone", "sub-graph"])
def test_the_nodes_of_a_graph_record_no_images(place: str, server: tuple[Client, Received]) -> None:
    graph = GRAPHS[place](canary_rig())
    given: Any = {"messages": [question(UNSAFE)]}
    received = traced(server, lambda config: graph.invoke(given, config))
    runs = list(received.runs.values())
    assert len([run for run in runs if not run.get("parent_run_id")]) == 1
    nodes = [run for run in runs if run["name"] in ALIGNED]
    assert sorted(node["name"] for node in nodes) == sorted(ALIGNED)
    assert IMAGE.decode() not in repr(nodes)
    (around,) = {node["parent_run_id"] for node in nodes}
    assert "eta:aligned" in received.runs[around]["tags"]


def test_without_their_policy_they_would(
    server: tuple[Client, Received], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eta_guard.graph.node_trace", lambda: None)
    received = traced(
        server,
        lambda config: GRAPHS["sub-graph"](canary_rig()).invoke(
            {"messages": [question(UNSAFE)]}, config
        ),
    )
    nodes = [run for run in received.runs.values() if run["name"] in ALIGNED]
    assert IMAGE.decode() in repr(nodes)


@pytest.mark.parametrize("ask", [ASKS["invoke"], ASKS["stream"]], ids=["invoke", "stream"])
def test_tracing_by_the_environment_makes_one_tree_too(
    ask: Ask, server: tuple[Client, Received]
) -> None:
    client, received = server
    with tracing_context(enabled=True, client=client, project_name="tests"):
        ask(canary_rig().guard(), [question(UNSAFE)], CONFIG)
        (RunnableLambda(lambda given: given) | canary_rig().guard()).invoke([question(SAFE)])
    client.flush()
    assert sorted(run["name"] for run in received.roots) == ["EtaGuard", "RunnableSequence"]


def test_scores_can_be_sent_as_feedback(server: tuple[Client, Received]) -> None:
    guard = canary_rig().guard().model_copy(update={"feedback": True})
    received = traced(server, lambda config: guard.invoke([question(UNSAFE)], config))
    (model,) = received.roots
    found = {one["key"]: (one["score"], one["value"]) for one in received.feedback}
    assert found == {
        "eta_image_score": (0.8, "unsafe"),
        "eta_response_score": (0.0, "unsafe"),
        "eta_final_score": (1.0, "safe"),
    }
    assert {one["run_id"] for one in received.feedback} == {model["id"]}
    assert {one["session_id"] for one in received.feedback} == {PROJECT["id"]}


def test_no_feedback_is_sent_unasked(server: tuple[Client, Received]) -> None:
    received = traced(server, lambda config: Rig().guard().invoke([question(UNSAFE)], config))
    assert received.feedback == []


def test_feedback_that_fails_leaves_the_answer_alone(
    server: tuple[Client, Received], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise OSError("placeholder")

    monkeypatch.setattr(Client, "create_feedback", failing)
    guard = canary_rig().guard().model_copy(update={"feedback": True})
    replies: list[AIMessage] = []
    traced(server, lambda config: replies.append(guard.invoke([question(UNSAFE)], config)))
    assert replies[0].text == ANSWER


# ── leaving images out of any value ──

DATA = "iVBORw0KGgo" * 20
FORMS: list[Any] = [
    {"type": "image", "base64": DATA, "mime_type": "image/png"},
    {"type": "image", "url": f"data:image/png;base64,{DATA}"},
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}},
    {"type": "image_url", "image_url": f"data:image/png;base64,{DATA}"},
    {"type": "image", "source": {"type": "base64", "data": DATA}},
    {"type": "image", "source_type": "base64", "data": DATA},
    {"type": "media", "mime_type": "image/png", "data": DATA.encode()},
    {"type": "tool_result", "content": [{"type": "image", "base64": DATA}]},
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_images_are_left_out_in_every_form(form: Any) -> None:
    text = {"type": "text", "text": "What is this? " * 20}
    for value in (
        HumanMessage([form, text]),
        [[HumanMessage([form, text])]],
        {"messages": ({"content": [form, text]},)},
    ):
        left = repr(without_images(value))
        assert DATA not in left
        assert WITHHELD in left
        assert text["text"] in left


def test_an_image_is_sent_once_however_long_a_request_takes(
    server: tuple[Client, Received],
) -> None:
    client, _ = server
    rig = canary_rig()
    score = rig.responses.score

    def slowly(prompt: str, text: str) -> float:
        client.flush()  # the beginning of each run has gone out before its end
        return score(prompt, text)

    rig.responses.score = slowly
    received = traced(server, lambda config: rig.guard().invoke([question(UNSAFE)], config))
    assert b"".join(received.bodies).count(IMAGE) == 1
    assert received.roots[0]["inputs"]


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_where_tracing_is_switched_off_nothing_is_sent(
    ask: Ask, server: tuple[Client, Received], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, received = server
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setenv("LANGSMITH_ENDPOINT", client.api_url)
    get_env_var.cache_clear()  # type: ignore[attr-defined]
    with tracing_context(enabled=False):
        ask(canary_rig().guard(), [question(UNSAFE)], CONFIG)
    wait_for_all_tracers()
    get_env_var.cache_clear()  # type: ignore[attr-defined]
    assert not received.runs
