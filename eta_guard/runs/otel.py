"""Spans and metrics by OpenTelemetry's API; a service's own SDK decides where they go.

Names are those of the semantic conventions for generative AI (release 0.1.0, all of it still in
development) where there are such; all others begin with ``eta_guard.``. The guard is a workflow
around a model, not a call of one: what a provider's own instrumentation tells of its calls stands
beneath, and no token is counted twice under one name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from time import perf_counter
from typing import Any

from langgraph.errors import GraphBubbleUp
from opentelemetry import metrics, trace
from opentelemetry.trace import Span, Status, StatusCode

from eta_guard.runs.told_regions import told_regions

NAME = "eta_guard"
BUCKETS = [0.01 * 2**power for power in range(14)]
"""Upper ends in seconds, as the conventions have them for durations."""
KINDS = ("image", "response", "final")
"""What is evaluated once a request; pictures in an answer, under ``drawn``, may be several."""

_tracer = trace.get_tracer(NAME, version(NAME))
_meter = metrics.get_meter(NAME, version(NAME))

_requests = _meter.create_counter(
    "eta_guard.requests", unit="{request}", description="Requests, by what became of them."
)
_evaluations = _meter.create_counter(
    "eta_guard.evaluations",
    unit="{evaluation}",
    description="Evaluations, by evaluator and outcome.",
)
_tokens = _meter.create_counter(
    "eta_guard.tokens",
    unit="{token}",
    description="Tokens of the chat model, those that were thrown away included.",
)
_node_seconds = _meter.create_histogram(
    "eta_guard.node.duration",
    unit="s",
    description="Seconds that a node took.",
    explicit_bucket_boundaries_advisory=BUCKETS,
)
_request_seconds = _meter.create_histogram(
    "gen_ai.invoke_agent.duration",
    unit="s",
    description="Seconds from a request's first node to its decision.",
    explicit_bucket_boundaries_advisory=BUCKETS,
)
_waiting = _meter.create_up_down_counter(
    "eta_guard.waiting", unit="{request}", description="Requests that wait for their turn."
)
_waited = _meter.create_histogram(
    "eta_guard.waiting.duration",
    unit="s",
    description="Seconds that a request waited for its turn.",
    explicit_bucket_boundaries_advisory=BUCKETS,
)


def begin(model: str, *, resumed: bool) -> Span:
    """The span of a request, beneath the caller's."""
    return _tracer.start_span(
        f"invoke_workflow {NAME}",
        attributes={
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.agent.name": NAME,
            "eta_guard.resumed": resumed,
            **({"gen_ai.request.model": model} if model else {}),
        },
    )


def end(request: Span, seconds: float, decision: str, verdict: Mapping[str, Any]) -> None:
    """Ends the span of a request, and counts it.

    Args:
        request: Its span.
        seconds: Since its first node.
        decision: The verdict's, or what became of a request that came to none.
        verdict: As plain values; empty where there is none.
    """
    of_workflow = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.agent.name": NAME}
    _request_seconds.record(seconds, {**of_workflow, "eta_guard.decision": decision})
    _requests.add(1, {"eta_guard.decision": decision})
    counts = verdict.get("counts", {})
    for kind in ("input", "output"):
        if spent := int(counts.get(f"{kind}_tokens", 0)):
            request.set_attribute(f"gen_ai.usage.{kind}_tokens", spent)
    if verdict:
        request.set_attribute("eta_guard.policy", verdict["policy"])
        request.set_attribute("eta_guard.flagged", verdict["flagged"])
        request.set_attributes(_marks(verdict))
    request.set_attribute("eta_guard.decision", decision)
    request.end()


def failed(span: Span, error: BaseException) -> None:
    """Says of what type an error was, and nothing else: its message may quote a withheld text."""
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(Status(StatusCode.ERROR, type(error).__name__))


@contextmanager
def node(request: Span, name: str) -> Iterator[Span]:
    """The span of a node, beneath its request's, around whatever the node asks."""
    begun = perf_counter()
    try:
        with _tracer.start_as_current_span(
            f"{NAME}.{name}",
            trace.set_span_in_context(request),
            attributes={"eta_guard.node": name},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except GraphBubbleUp:
                raise
            except BaseException as error:
                failed(span, error)
                raise
    finally:
        _node_seconds.record(perf_counter() - begun, {"eta_guard.node": name})


def found(span: Span, update: Mapping[str, Any], spent: Mapping[str, float]) -> None:
    """Tells what a node found: evaluations as events of its span and as counts.

    Args:
        span: The node's.
        update: What it says to the state.
        spent: Its own counts.
    """
    for kind in ("input", "output"):
        if amount := spent.get(f"{kind}_tokens"):
            _tokens.add(amount, {"gen_ai.token.type": kind})
    repeated = "messages" in update  # the reply tells what the nodes before it have told
    for kind, evaluation in () if repeated else _evaluated(update):
        for one in evaluation["findings"]:
            _evaluation(span, kind, one)
    if not span.is_recording():
        return
    span.set_attributes({f"eta_guard.counts.{name}": amount for name, amount in spent.items()})
    if repeated:
        return
    span.set_attributes(_marks(update))
    if update.get("halt"):
        span.set_attribute("eta_guard.halt", update["halt"]["decision"])
    if update.get("rounds"):
        span.set_attributes(_of_round(update["rounds"][-1]))


def waiting(change: int) -> None:
    """Counts those who wait for their turn: 1 as one begins to, -1 as it ends."""
    _waiting.add(change)


def waited(seconds: float) -> None:
    """Records how long one has waited for its turn."""
    _waited.record(seconds)


def _evaluated(update: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for kind, several in (("image", "images"), ("drawn", "drawn")):
        for evaluation in update.get(several) or ():
            yield kind, evaluation
    for kind in ("response", "final"):
        if evaluation := update.get(kind):
            yield kind, evaluation


def _evaluation(span: Span, kind: str, found: Mapping[str, Any]) -> None:
    label = {
        "gen_ai.evaluation.name": found["evaluator"],
        "gen_ai.evaluation.score.label": found["outcome"],
        "eta_guard.evaluation.of": kind,
    }
    _evaluations.add(1, label)
    told = {
        "gen_ai.evaluation.score.value": found["score"],
        "eta_guard.evaluation.threshold": found["threshold"],
        "eta_guard.evaluation.unsafe": found["unsafe"],
        "eta_guard.evaluation.category": found["category"],
        "eta_guard.evaluation.reading": found["reading"] or None,
        "eta_guard.evaluation.view": found["view"],
        "eta_guard.evaluation.seconds": found["seconds"],
    }
    told |= {f"eta_guard.evaluation.{name}": value for name, value in told_regions(found).items()}
    # No explanation: a reason may quote what could not be read.
    span.add_event("gen_ai.evaluation.result", {**label, **_known(told)})


def _marks(told: Mapping[str, Any]) -> dict[str, Any]:
    masked = told.get("masked")
    covered = {"eta_guard.masked.images": len(masked["pictures"])} if masked else {}
    return covered | {
        f"eta_guard.{kind}.{part}": told[kind][part]
        for kind in KINDS
        if told.get(kind)
        for part in ("outcome", "score", "threshold")
        if told[kind][part] is not None
    }


def _of_round(record: Mapping[str, Any]) -> dict[str, Any]:
    pick = record["pick"]
    kept = {} if pick is None else record["candidates"][pick]
    told = {"sentence": record["sentence"], "pick": pick, "candidates": len(record["candidates"])}
    told |= {name: kept.get(name) for name in ("reward", "similarity", "utility")}
    return {f"eta_guard.{name}": value for name, value in _known(told).items()}


def _known(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value is not None}
