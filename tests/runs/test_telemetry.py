"""Spans, metrics and log lines, by the SDK and the Prometheus exporter that a service would use."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from opentelemetry import metrics, trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from eta_guard import EtaGuardMiddleware, Finding, GuardPolicy, Region, counts
from eta_guard.engines.local.turns import Turns
from eta_guard.errors import InputError
from eta_guard.runs import otel
from eta_guard.runs.telemetry import waiting
from tests.chat_fakes import FakeChat
from tests.fakes import DRAFT, SAFE, UNSAFE, FakeImages, FakeResponses, Rig, question, verdict_of
from tests.middleware.agents import CANARIES, asked, score
from tests.runs.test_streaming import canary_rig

NODES = [
    "pre_evaluate",
    "generate",
    "post_evaluate",
    "prefix_align",
    *["best_of_n"] * 3,
    "post_evaluate",
    "respond",
]
WITHHELD = re.compile("|".join(["canary", "What is this", *CANARIES]), re.IGNORECASE)
REQUEST = "invoke_workflow eta_guard"


class Shown:
    """All that leaves the process."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.registry = CollectorRegistry()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("tests")
        reader = PrometheusMetricReader(registry=self.registry)
        trace.set_tracer_provider(provider)
        metrics.set_meter_provider(MeterProvider([reader]))
        self.before: dict[str, float] = {}

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def attributes(self, name: str) -> dict[str, Any]:
        (span,) = self.named(name)
        return dict(span.attributes or {})

    @property
    def page(self) -> str:
        """What Prometheus is given."""
        return generate_latest(self.registry).decode()

    def samples(self) -> dict[str, float]:
        families = text_string_to_metric_families(self.page)
        return {
            f"{one.name} {sorted(one.labels.items())}": one.value
            for family in families
            for one in family.samples
            if not one.name.endswith(("_bucket", "_sum", "_created"))
        }

    def grown(self, name: str, **labels: str) -> float:
        """By how much the samples have grown in the test whose labels hold these."""
        wanted = [f"('{label}', '{value}')" for label, value in labels.items()]
        return sum(
            value - self.before.get(key, 0.0)
            for key, value in self.samples().items()
            if key.split()[0] == name and all(one in key for one in wanted)
        )


@pytest.fixture(scope="module")
def providers() -> Iterator[Shown]:
    gc.collect()
    gc.freeze()  # what stands now need not be gone through again before every test
    yield Shown()  # a process has one of each for good
    gc.unfreeze()


@pytest.fixture
def shown(providers: Shown, caplog: pytest.LogCaptureFixture) -> Iterator[Shown]:
    gc.collect()  # what other tests have left unfinished ends now
    providers.exporter.clear()
    providers.before = providers.samples()
    with caplog.at_level(logging.INFO, "eta_guard"):
        yield providers


def test_what_was_covered_is_counted_on_its_node_and_on_the_request(shown: Shown) -> None:
    rig = Rig(GuardPolicy(aligner="mask"))
    rig.ask(question(UNSAFE, SAFE, UNSAFE))
    for name in ("eta_guard.mask_align", REQUEST):
        assert shown.attributes(name)["eta_guard.masked.images"] == 2
    assert shown.attributes(REQUEST)["eta_guard.final.outcome"] == "safe"


def agent(rig: Rig) -> Any:
    guard = EtaGuardMiddleware(FakeImages(), FakeResponses(score), GuardPolicy(candidates=3))
    return create_agent(FakeChat(), middleware=[guard])


Ask = Callable[[Rig], Any]
GIVEN: Any = {"messages": [question(UNSAFE)]}
ASKS: dict[str, Ask] = {
    "guard": lambda rig: rig.guard().invoke([question(UNSAFE)]),
    "guard, async": lambda rig: asyncio.run(rig.guard().ainvoke([question(UNSAFE)])),
    "guard, streamed": lambda rig: list(rig.guard().stream([question(UNSAFE)])),
    "graph": lambda rig: rig.guard().graph.invoke(GIVEN),
    "graph, async": lambda rig: asyncio.run(rig.guard().graph.ainvoke(GIVEN)),
    "middleware": lambda rig: agent(rig).invoke(asked()),
    "middleware, async": lambda rig: asyncio.run(agent(rig).ainvoke(asked())),
}
every = pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)


@every
def test_a_span_a_node_beneath_the_request_and_that_beneath_the_caller(
    ask: Ask, shown: Shown
) -> None:
    with shown.tracer.start_as_current_span("caller") as caller:
        ask(canary_rig())
    (request,) = shown.named(REQUEST)
    assert request.parent == caller.get_span_context()
    nodes = [span for span in shown.spans if span.name.startswith("eta_guard.")]
    names = [span.name.removeprefix("eta_guard.") for span in nodes]
    assert [name for name in names if name != "best_of_n"] == [n for n in NODES if n != "best_of_n"]
    assert "best_of_n" in names
    assert len(shown.spans) == len(nodes) + 2
    for node in nodes:
        assert node.parent == request.context
        assert (request.start_time or 0) <= (node.start_time or 0) < (node.end_time or 0)
        assert (node.end_time or 0) <= (request.end_time or 0)
    assert shown.attributes(REQUEST)["eta_guard.decision"] == "aligned"
    assert shown.attributes(REQUEST)["eta_guard.resumed"] is False


@every
def test_no_text_stands_in_spans_metrics_and_log(
    ask: Ask, shown: Shown, caplog: pytest.LogCaptureFixture
) -> None:
    ask(canary_rig())
    assert not WITHHELD.search("".join(span.to_json() for span in shown.spans))
    assert not WITHHELD.search(shown.page)
    (line,) = [one for one in caplog.records if one.name == "eta_guard.decisions"]
    assert line.getMessage().startswith(
        "decision=aligned flagged=True image=unsafe image_score=0.8"
    )
    assert not WITHHELD.search(repr(vars(line)))


@every
def test_metrics_count_the_request(ask: Ask, shown: Shown) -> None:
    ask(canary_rig())
    assert shown.grown("eta_guard_requests_total") == 1
    assert shown.grown("eta_guard_requests_total", eta_guard_decision="aligned") == 1
    unsafe = {"gen_ai_evaluation_score_label": "unsafe"}
    for name in ("clip", "reward"):
        assert (
            shown.grown("eta_guard_evaluations_total", gen_ai_evaluation_name=name, **unsafe) == 1
        )
    assert shown.grown("gen_ai_invoke_agent_duration_seconds_count") == 1
    for node in set(NODES) - {"best_of_n"}:
        seconds = shown.grown("eta_guard_node_duration_seconds_count", eta_guard_node=node)
        assert seconds == NODES.count(node)


def test_a_canary_would_be_found(shown: Shown) -> None:
    """So the test above can fail."""
    with shown.tracer.start_as_current_span("caller") as span:
        span.set_attribute("answer", DRAFT)
    assert WITHHELD.search("".join(span.to_json() for span in shown.spans))


def test_where_a_picture_is_unsafe_stands_in_its_event(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = canary_rig()
    found = Finding(0.8, regions=(Region(0.0, 0.25, 0.75, 1.0, 0.82), Region(0.0, 0.0, 0.5, 0.5)))
    monkeypatch.setattr(rig.images, "evaluate", lambda images, prompt, question: [found])
    rig.guard().invoke([question(UNSAFE)])
    (event,) = shown.named("eta_guard.pre_evaluate")[0].events
    told = dict(event.attributes or {})
    assert told["eta_guard.evaluation.region"] == (0.0, 0.25, 0.75, 1.0)
    assert told["eta_guard.evaluation.regions"] == 2
    assert told["eta_guard.evaluation.region_score"] == 0.82


def test_scores_and_thresholds_are_events_by_the_conventions(shown: Shown) -> None:
    reply = canary_rig().guard().invoke([question(UNSAFE)])
    (span,) = shown.named("eta_guard.pre_evaluate")
    (event,) = span.events
    assert event.name == "gen_ai.evaluation.result"
    told = dict(event.attributes or {})
    assert told.pop("eta_guard.evaluation.seconds")
    assert told == {
        "gen_ai.evaluation.name": "clip",
        "gen_ai.evaluation.score.value": pytest.approx(0.8),
        "gen_ai.evaluation.score.label": "unsafe",
        "eta_guard.evaluation.of": "image",
        "eta_guard.evaluation.threshold": 0.16,
        "eta_guard.evaluation.unsafe": "above",
    }
    kinds = [
        (event.attributes or {})["eta_guard.evaluation.of"]
        for span in shown.named("eta_guard.post_evaluate")
        for event in span.events
    ]
    assert kinds == ["response", "final"]
    request, verdict = shown.attributes(REQUEST), verdict_of(reply)
    assert request["gen_ai.operation.name"] == "invoke_workflow"
    assert request["gen_ai.request.model"] == "fake-chat@0"
    assert request["eta_guard.policy"] == verdict.policy
    assert request["eta_guard.image.threshold"] == 0.16
    assert request["eta_guard.response.outcome"] == "unsafe"
    assert request["eta_guard.final.score"] == 1.0
    rounds = shown.named("eta_guard.best_of_n")
    told_of = [(dict(span.attributes or {})) for span in rounds]
    assert [one["eta_guard.sentence"] for one in told_of] == [1, 2, 3]
    assert {one["eta_guard.pick"] for one in told_of} == {2}
    assert {one["eta_guard.reward"] for one in told_of} == {1.0}


def test_tokens_are_those_of_the_verdict(shown: Shown) -> None:
    rig = canary_rig()

    def drawing(number: int, n: int, sentences: Any = rig.engine.sentences) -> Any:
        counts.add("output_tokens", 7)
        return sentences(number, n)

    rig.engine.sentences = drawing
    reply = rig.guard().invoke([question(UNSAFE)])
    assert verdict_of(reply).counts["output_tokens"] == 21
    assert shown.grown("eta_guard_tokens_total", gen_ai_token_type="output") == 21
    assert shown.attributes(REQUEST)["gen_ai.usage.output_tokens"] == 21
    spent = [span.attributes or {} for span in shown.named("eta_guard.best_of_n")]
    assert [one["eta_guard.counts.output_tokens"] for one in spent] == [7, 7, 7]


@pytest.mark.parametrize("form", ["evaluate", "aevaluate"])
def test_what_is_only_evaluated_is_a_request_as_well(
    form: str, shown: Shown, caplog: pytest.LogCaptureFixture
) -> None:
    guard = canary_rig().guard()
    given = [question(UNSAFE), AIMessage("canary of an answer")]
    ask = guard.evaluate if form == "evaluate" else lambda it: asyncio.run(guard.aevaluate(it))
    verdict: Any = ask(given)
    (request,), (node,) = shown.named(REQUEST), shown.named("eta_guard.evaluate")
    assert node.parent is not None
    assert request.context is not None
    assert node.parent.span_id == request.context.span_id
    told = shown.attributes(REQUEST)
    assert told["eta_guard.decision"] == "observed"
    assert told["eta_guard.flagged"] == verdict.flagged
    assert "gen_ai.request.model" not in told
    assert [event.name for event in node.events] == ["gen_ai.evaluation.result"] * 2
    assert shown.grown("eta_guard_requests_total", eta_guard_decision="observed") == 1
    assert shown.grown("eta_guard_evaluations_total", eta_guard_evaluation_of="response") == 1
    assert shown.grown("eta_guard_node_duration_seconds_count", eta_guard_node="evaluate") == 1
    assert [line for line in caplog.messages if line.startswith("decision=observed")]
    assert not WITHHELD.search(
        shown.page + caplog.text + str([span.to_json() for span in shown.spans])
    )


def test_an_evaluation_that_fails_is_counted_as_one(shown: Shown) -> None:
    with pytest.raises(InputError):
        canary_rig().guard().evaluate([HumanMessage([{"type": "image", "base64": "QQ=="}])])
    assert shown.attributes(REQUEST)["eta_guard.decision"] == "failed"
    assert shown.grown("eta_guard_requests_total", eta_guard_decision="failed") == 1


def test_what_the_engine_asks_stands_beneath_its_node(shown: Shown) -> None:
    rig = canary_rig()

    def instrumented(number: int, n: int, sentences: Any = rig.engine.sentences) -> Any:
        with shown.tracer.start_as_current_span("POST"):
            return sentences(number, n)

    rig.engine.sentences = instrumented
    asyncio.run(rig.guard().ainvoke([question(UNSAFE)]))
    asked_in = [span.parent for span in shown.named("POST")]
    assert asked_in == [span.context for span in shown.named("eta_guard.best_of_n")]


@pytest.mark.parametrize("on_error", ["raise", "refuse"])
def test_an_error_tells_its_type_alone(
    on_error: Any, shown: Shown, caplog: pytest.LogCaptureFixture
) -> None:
    rig = canary_rig(GuardPolicy(on_error=on_error))
    rig.engine.draft = RuntimeError(DRAFT)
    if on_error == "raise":
        with pytest.raises(RuntimeError):
            rig.guard().invoke([question(UNSAFE)])
    else:
        rig.guard().invoke([question(UNSAFE)])
    (node,) = shown.named("eta_guard.generate")
    assert (node.status.status_code, node.status.description) == (StatusCode.ERROR, "RuntimeError")
    assert (node.attributes or {})["error.type"] == "RuntimeError"
    assert not node.events  # an exception would be one, with its message
    decision = "failed" if on_error == "raise" else "refused"
    assert shown.attributes(REQUEST)["eta_guard.decision"] == decision
    assert shown.grown("eta_guard_requests_total", eta_guard_decision=decision) == 1
    assert shown.grown("eta_guard_requests_total") == 1
    assert not WITHHELD.search("".join(span.to_json() for span in shown.spans))
    assert f"decision={decision}" in caplog.text
    assert not WITHHELD.search(caplog.text)


def test_input_that_cannot_be_read_is_one_request(shown: Shown) -> None:
    rig = Rig(GuardPolicy(on_unreadable="refuse"))
    rig.guard().graph.invoke({"messages": []})
    assert shown.attributes(REQUEST)["eta_guard.decision"] == "blocked"
    assert shown.grown("eta_guard_requests_total") == 1


async def test_a_cancelled_request_ends(shown: Shown) -> None:
    rig, begun = canary_rig(), asyncio.Event()

    class Slow(FakeImages):
        async def aevaluate(self, *given: Any) -> Any:
            begun.set()
            await asyncio.sleep(60)

    rig.images = Slow()
    task = asyncio.create_task(rig.guard().ainvoke([question(UNSAFE)]))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert shown.attributes(REQUEST)["eta_guard.decision"] == "cancelled"
    assert len(shown.named("eta_guard.pre_evaluate")) == 1
    assert shown.grown("eta_guard_requests_total", eta_guard_decision="cancelled") == 1


def test_a_stream_that_is_closed_ends_the_request_without_a_decision(shown: Shown) -> None:
    stream: Any = canary_rig().guard().graph.stream(GIVEN, stream_mode="updates")
    next(stream)
    stream.close()
    del stream
    gc.collect()
    assert shown.attributes(REQUEST)["eta_guard.decision"] == "unfinished"


def test_a_safe_request_and_two_at_once_are_told_apart(shown: Shown) -> None:
    guard = canary_rig().guard()
    guard.batch([[question(SAFE)], [question(UNSAFE)], [question(SAFE)]])
    found = sorted(
        str((span.attributes or {})["eta_guard.decision"]) for span in shown.named(REQUEST)
    )
    assert found == ["aligned", "passed", "passed"]
    for request in shown.named(REQUEST):
        nodes = [span.name for span in shown.spans if span.parent == request.context]
        aligned = (request.attributes or {})["eta_guard.decision"] == "aligned"
        assert len(nodes) == (len(NODES) if aligned else 3)


def test_waiting_is_counted_while_it_lasts(shown: Shown) -> None:
    with waiting():
        assert shown.grown("eta_guard_waiting") == 1
    assert shown.grown("eta_guard_waiting") == 0
    assert shown.grown("eta_guard_waiting_duration_seconds_count") == 1


def test_who_waits_for_a_model_is_seen(shown: Shown) -> None:
    turns = Turns()
    entered = threading.Event()

    def enter() -> None:
        with turns:
            entered.set()

    other = threading.Thread(target=enter)
    with turns:
        other.start()
        while not turns._line:
            time.sleep(0.001)
        while shown.grown("eta_guard_waiting") < 1:
            time.sleep(0.001)
    other.join()
    assert entered.is_set()
    assert shown.grown("eta_guard_waiting") == 0
    assert shown.grown("eta_guard_waiting_duration_seconds_count") == 1


def test_a_resumed_run_says_so(shown: Shown) -> None:
    thread: Any = {"configurable": {"thread_id": "1"}}
    saver = InMemorySaver()
    canary_rig().graph().compile(saver, interrupt_before=["respond"]).invoke(GIVEN, thread)
    gc.collect()
    assert shown.attributes(REQUEST)["eta_guard.decision"] == "unfinished"
    shown.exporter.clear()
    canary_rig().graph().compile(saver).invoke(None, thread)
    assert shown.attributes(REQUEST)["eta_guard.decision"] == "aligned"
    assert shown.attributes(REQUEST)["eta_guard.resumed"] is True


def test_durations_have_the_conventions_buckets(shown: Shown) -> None:
    Rig().guard().invoke([question(SAFE)])
    assert "gen_ai_invoke_agent_duration_seconds_bucket{" in shown.page
    assert f'le="{otel.BUCKETS[-1]}"' in shown.page


ALONE = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
import logging
from tests.fakes import *
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
Rig().guard().invoke([question(UNSAFE)])
from eta_guard.runs import telemetry
with telemetry.waiting():
    print(telemetry.otel, "opentelemetry" in sys.modules)
"""


def test_without_opentelemetry_there_is_the_log_line_alone() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    assert "INFO:eta_guard.decisions:decision=aligned" in done.stdout
    assert done.stdout.endswith("None False\n")
