"""best_of_n: deep alignment, one sentence a pass."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig

from eta_guard.decisions import Halt
from eta_guard.errors import DeadlineExceededError, EvaluationError, NoRoomError
from eta_guard.nodes import Node
from eta_guard.nodes.accepted import show_accepted
from eta_guard.nodes.prefix_align import NO_ROOM
from eta_guard.nodes.search import SentenceSearch
from eta_guard.panel.panel import Panel
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Candidate, Engine
from eta_guard.session import GuardSession
from eta_guard.state import GuardState, Repaired
from eta_guard.steps import Steps

STEPS_AFTER = 3
"""Steps that a foreign graph must have left when a pass ends: the evaluation, the reply, and the
one that the graph takes to see that it is done."""


def best_of_n(*, engine: Engine, panel: Panel, policy: GuardPolicy) -> Node:
    """Searches the aligned answer sentence by sentence (paper, "deep alignment").

    A pass is a sentence. Inside a graph whose recursion limit is near, one pass goes on to the end
    of the answer, so that a limit made for agent turns does not cut a repair off.
    """

    def node(state: GuardState, config: RunnableConfig) -> Steps[dict[str, Any]]:
        rules = policy.for_run(config)
        session = yield from GuardSession.of(state, engine, rules, config)
        rounds, accepted = list(state["rounds"]), list(state["accepted"])
        if not session.aligning:
            yield from session.align(rules.prefix, _resumed(rounds, accepted))
        search = SentenceSearch(panel, rules, session.picture(state))
        to_the_end = state["remaining_steps"] <= STEPS_AFTER
        while True:
            try:
                record, kept = yield from search.run(session, number=len(rounds) + 1)
            except NoRoomError:
                return {"session": session, "halt": Halt(decision="refused", reason=NO_ROOM)}
            except DeadlineExceededError:
                return _cut_short(rules.prefix, rounds, session)
            rounds.append(record.model_dump(mode="json"))
            update = {"session": session, "rounds": rounds, "accepted": accepted}
            if kept is None:
                return {**update, "halt": _nothing_scored(rules, panel.ranker.name)}
            accepted.append(list(kept.token_ids))
            # An engine that adds nothing and never ends must not keep the request for ever.
            spent = "length" if len(rounds) >= rules.max_tokens else None
            if finish_reason := kept.finish_reason or spent:
                text = "".join(record["text"] for record in rounds)
                return {**update, **_whole(rules.prefix, text, finish_reason, session)}
            so_far = rules.prefix + "".join(record["text"] for record in rounds)
            yield from show_accepted(session, so_far, panel, rules, config)
            if not to_the_end:
                return update

    return node


def _resumed(rounds: list[dict[str, Any]], accepted: list[list[int]]) -> list[Candidate]:
    return [
        Candidate(text=record["text"], token_ids=tuple(ids), finish_reason=None)
        for record, ids in zip(rounds, accepted, strict=True)
    ]


def _whole(prefix: str, searched: str, finish_reason: str, session: GuardSession) -> dict[str, Any]:
    # A stop text may have come about across two sentences, or stand in the prefix.
    text = session.generation.cut(prefix + searched).rstrip()
    if len(text) <= len(prefix):
        # A bare prefix may well score as harmless, but it is no answer.
        return {"halt": Halt(decision="refused", reason="the search found no sentence")}
    return {"repaired": Repaired(text=text.strip(), finish_reason=finish_reason)}


def _cut_short(prefix: str, rounds: list[dict[str, Any]], session: GuardSession) -> dict[str, Any]:
    """What has been accepted by the time that nothing more can be; raises again if that is nothing.

    A plain answer that was drawn alongside is not whole either.
    """
    searched = "".join(record["text"] for record in rounds)
    if not searched.strip():
        raise DeadlineExceededError
    whole = _whole(prefix, searched, "length", session)
    return {"session": session, **whole, "cut_short": True, "drafting": False}


def _nothing_scored(policy: GuardPolicy, evaluator: str) -> Halt:
    if policy.unscored_leads_to([evaluator]) == "raise":
        raise EvaluationError(
            "No candidate could be scored.",
            hint='Mend the response evaluator, or choose another `on_unscored` than "raise".',
        )
    return Halt(decision="refused", reason="no candidate could be scored")
