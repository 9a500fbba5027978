"""What those who run a service see of each request: spans, metrics and a log line.

Spans and metrics go by OpenTelemetry (extra ``otel``) to whatever SDK the service has set up; where
its API is not installed, there are none. The log line of a decision goes to the logger
``eta_guard.decisions`` at level INFO, its numbers also as the record's attribute ``eta_guard``. No
text stands in any of them, neither a user's nor a model's, nor a message of an error.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import perf_counter
from typing import Any

from langgraph.errors import GraphBubbleUp

try:
    from eta_guard.runs import otel
except ModuleNotFoundError as missing:
    if not (missing.name or "").startswith("opentelemetry"):
        raise
    otel = None  # type: ignore[assignment]

decisions = logging.getLogger("eta_guard.decisions")

FAILED, CANCELLED, UNFINISHED = "failed", "cancelled", "unfinished"
"""What becomes of a request that comes to no decision: an error was raised; nobody waits for it any
more; or its graph stopped between two nodes, for good or to be resumed."""


class RequestSeen:
    """One request, from its first node to its decision.

    It travels in a channel that is never checkpointed. A run that is resumed begins another one.
    """

    __slots__ = ("_begun", "_ended", "_span")

    def __init__(self, model: str = "", *, resumed: bool = False) -> None:
        """Begins the request.

        Args:
            model: Fingerprint of the chat model; empty where none is asked.
            resumed: It begins after its first node.
        """
        self._ended = False
        self._begun = perf_counter()
        self._span: Any = None
        if otel is not None:
            self._span = otel.begin(model, resumed=resumed)

    def __repr__(self) -> str:
        return "<RequestSeen>"

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()

    def __del__(self) -> None:
        # A stream that is closed between two nodes tells nobody.
        if not self._ended:
            self._end(UNFINISHED, {})

    @contextmanager
    def node(self, name: str) -> Iterator[NodeSeen]:
        """Watches a node; what it raises ends the request."""
        around: AbstractContextManager[Any] = nullcontext()
        if self._span is not None:
            around = otel.node(self._span, name)
        try:
            with around as span:
                seen = NodeSeen(self, span)
                yield seen
        except GraphBubbleUp:  # the run goes on elsewhere, or later
            raise
        except BaseException as error:
            if self._span is not None:
                otel.failed(self._span, error)
            decision = FAILED if isinstance(error, Exception) else CANCELLED
            self._end(decision, {}, type(error).__name__)
            raise
        if seen.verdict:
            self._end(seen.verdict["decision"], seen.verdict)

    def _end(self, decision: str, verdict: Mapping[str, Any], error: str = "") -> None:
        if self._ended:
            return
        self._ended = True
        seconds = perf_counter() - self._begun
        if self._span is not None:
            otel.end(self._span, seconds, decision, verdict)
        if decisions.isEnabledFor(logging.INFO):
            told = {"decision": decision, **_numbers(verdict), "seconds": round(seconds, 3)}
            told |= {"error": error} if error else {}
            line = " ".join(f"{name}={value}" for name, value in told.items())
            decisions.info("%s", line, extra={"eta_guard": told})


class NodeSeen:
    """A node that runs."""

    def __init__(self, request: RequestSeen, span: Any) -> None:
        """Belongs to a request.

        Args:
            request: Whose node it is.
            span: Its span, where there is one.
        """
        self.request, self._span = request, span
        self.verdict: Mapping[str, Any] = {}
        """As plain values, once this node has decided."""

    def found(self, update: Mapping[str, Any], spent: Mapping[str, float]) -> None:
        """Tells what it found, and keeps the verdict where it has one.

        Args:
            update: What it says to the state.
            spent: Its own counts.
        """
        if self._span is not None:
            otel.found(self._span, update, spent)
        for reply in update.get("messages", ())[-1:]:
            self.verdict = reply.response_metadata["eta_guard"]

    def evaluated(self, verdict: Mapping[str, Any]) -> None:
        """Tells what was found where nothing was generated.

        Args:
            verdict: As plain values.
        """
        if self._span is not None:
            otel.found(self._span, verdict, verdict["counts"])
        self.verdict = verdict

    def failed(self, error: Exception) -> None:
        """Tells of an error that is not raised: the policy makes a refusal of it."""
        if self._span is not None:
            otel.failed(self._span, error)


@contextmanager
def waiting() -> Iterator[None]:
    """What happens within is a request's waiting for its turn.

    How many wait is the metric ``eta_guard.waiting``, for how long ``eta_guard.waiting.duration``.
    """
    if otel is None:
        yield
        return
    begun = perf_counter()
    otel.waiting(1)
    try:
        yield
    finally:
        otel.waiting(-1)
        otel.waited(perf_counter() - begun)


def _numbers(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """What the log line tells of a verdict."""
    if not verdict:
        return {}
    told: dict[str, Any] = {"flagged": verdict["flagged"]}
    for kind in ("image", "response", "final"):
        if found := verdict[kind]:
            told[kind] = found["outcome"]
            told[f"{kind}_score"] = found["score"] and round(found["score"], 4)
            told[f"{kind}_threshold"] = found["threshold"]
    counts = verdict["counts"]
    if masked := verdict["masked"]:
        told["masked_images"] = len(masked["pictures"])
    told["sentences"] = len(verdict["rounds"])
    told |= {name: int(counts.get(name, 0)) for name in ("input_tokens", "output_tokens")}
    model = {"model": asked} if (asked := verdict["models"].get("chat_model")) else {}
    return {**told, "policy": verdict["policy"], **model}
