"""NodeRun: a node as LangGraph runs it, and what is done for every node so that none has to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, cast

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.errors import GraphBubbleUp

from eta_guard.admission import UnderWay
from eta_guard.counts import Counts, counting, together
from eta_guard.decisions import Halt
from eta_guard.errors import (
    DeadlineExceededError,
    EtaGuardError,
    EvaluationError,
    InputError,
    PolicyError,
    log_failure,
    quoting_nothing,
)
from eta_guard.nodes import Node
from eta_guard.policy import GuardPolicy
from eta_guard.runs.apart import hiding_drafts
from eta_guard.runs.progress import findings, report
from eta_guard.runs.telemetry import NodeSeen, RequestSeen
from eta_guard.runs.tracing import annotate, give_feedback
from eta_guard.session import GuardSession
from eta_guard.state import GuardState, fresh
from eta_guard.steps import Steps, adrive, drive, until

logger = logging.getLogger(__name__)

DRAWING = {"generate", "mask_align", "prefix_align", "best_of_n"}
"""Nodes that draw text."""
FOR_EVALUATION = 0.1
"""Share of a request's time that is kept for evaluating what was drawn until then."""


class NodeRun(Runnable[GuardState, dict[str, Any]]):
    """A node that LangGraph can run in both ways.

    It starts a request clean, records the route and the counts, tells stream, trace and telemetry
    what was found, and turns a failure into a refusal where the policy asks for that.
    """

    def __init__(
        self,
        name: str,
        node: Node,
        policy: GuardPolicy,
        *,
        model: str = "",
        feedback: bool = False,
        hide_drafts: bool = False,
        max_waiting: int | None = None,
        under_way: UnderWay | None = None,
    ) -> None:
        """Takes a node.

        Args:
            name: Of the node.
            node: Says what to ask.
            policy: Says what a failure leads to.
            model: Fingerprint of the chat model.
            feedback: Send the scores of a traced request to LangSmith at its end.
            hide_drafts: Keep what the node has asked of a provider out of traces.
            max_waiting: How many requests may be under way beside one that is served.
            under_way: Counts them.
        """
        self.name = self._name = name
        self._node = node
        self._policy = policy
        self._model = model
        self._feedback = feedback
        self._hide_drafts = hide_drafts
        self._max_waiting = max_waiting if name == "pre_evaluate" else None
        self._under_way = under_way or UnderWay()

    def invoke(
        self, input: GuardState, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Runs the node."""
        with self._entered(input) as (tally, seen):
            return drive(self._steps(input, config or {}, tally, seen))

    async def ainvoke(
        self, input: GuardState, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Runs the node without holding up the event loop."""
        with self._entered(input) as (tally, seen):
            return await adrive(self._steps(input, config or {}, tally, seen))

    @contextmanager
    def _entered(self, state: GuardState) -> Iterator[tuple[Counts, NodeSeen]]:
        first = self._name == "pre_evaluate"
        request = None if first else state.get("request")
        request = request or RequestSeen(self._model, resumed=not first)
        with (
            request.node(self._name) as seen,
            self._under_way.one(self._max_waiting),
            counting() as tally,
            hiding_drafts(self._hide_drafts),
        ):
            yield tally, seen

    def _in_time(
        self, state: GuardState, config: RunnableConfig, policy: GuardPolicy
    ) -> Steps[dict[str, Any]]:
        """What the node does; nothing that it asks is waited for beyond the request's time."""
        work = self._node(state, config)
        if policy.timeout is None or state["deadline"] is None:
            return work
        kept = policy.timeout * FOR_EVALUATION if self._name in DRAWING else 0.0
        return until(state["deadline"] - kept, work)

    def _steps(
        self, state: GuardState, config: RunnableConfig, tally: Counts, seen: NodeSeen
    ) -> Steps[dict[str, Any]]:
        begun = fresh() if self._name == "pre_evaluate" else {}
        before = cast(GuardState, {**state, **begun})
        rules = self._policy.for_run(config)
        if rules.timeout is not None and before.get("deadline") is None:
            before["deadline"] = begun["deadline"] = monotonic() + rules.timeout
        failure: Exception | None = None
        try:
            update = yield from self._in_time(before, config, rules)
        except (GraphBubbleUp, PolicyError, EvaluationError):
            raise
        except Exception as error:
            failure = error
        if failure and _raises(failure, rules):
            # Not within the handler: an error raised there carries the other one along.
            raise _without_quotes(failure, before.get("session"))
        if failure:
            seen.failed(failure)
            update = {"halt": _failure(self._name, failure, rules)}
            if self._name == "respond":  # no node after it would say so
                halted = cast(GuardState, {**before, **update})
                update = yield from self._node(halted, config)
        found = findings(update)
        report(get_stream_writer(), self._name, update, rules)
        annotate(config, found, tally)
        seen.found(update, tally)
        if self._feedback and self._name == "respond":
            give_feedback(config, found)
        counts = together(before["counts"], tally)
        route = [*before["route"], self._name]
        return {**begun, **update, "route": route, "counts": counts, "request": seen.request}


def _raises(error: Exception, policy: GuardPolicy) -> bool:
    if isinstance(error, DeadlineExceededError):
        return False
    if not isinstance(error, InputError):
        return policy.on_error == "raise"
    # Who only observes is to see what the model without a guard would have made of it.
    return policy.on_unreadable == "raise" or policy.mode == "observe"


def _without_quotes(error: Exception, session: GuardSession | None) -> Exception:
    """The error as it is; of one that quotes what was withheld, a copy that does not.

    Its type is what those around the guard go by, to ask again or to ask another model.
    """
    if isinstance(error, EtaGuardError) or session is None:
        return error
    return quoting_nothing(error, session.withheld_texts)


def _failure(name: str, error: Exception, policy: GuardPolicy) -> Halt:
    if isinstance(error, DeadlineExceededError):
        logger.warning("The timeout of %g s was over in %s.", policy.timeout, name)
        return Halt(decision="refused", reason=f"the timeout of {policy.timeout:g} s is over")
    log_failure(logger, name, error)
    if isinstance(error, InputError):
        return Halt(decision="blocked", reason=str(error))
    # The message of a foreign error may quote the draft; the log has it, the reply does not.
    return Halt(decision="refused", reason=f"{name} failed with {type(error).__name__}")
