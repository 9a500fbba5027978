"""prefix_align: shallow alignment, the answer begun with the interference prefix."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig

from eta_guard.decisions import Halt
from eta_guard.errors import NoRoomError
from eta_guard.nodes import Node
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Engine
from eta_guard.session import GuardSession
from eta_guard.state import GuardState, Repaired
from eta_guard.steps import Steps, ask

NO_ROOM = "there is no room for an answer that begins with the prefix"


def prefix_align(*, engine: Engine, policy: GuardPolicy) -> Node:
    """Makes the answer begin with the prefix (paper, "shallow alignment").

    Where the policy asks for no search, the model simply continues it to its end.
    """

    def node(state: GuardState, config: RunnableConfig) -> Steps[dict[str, Any]]:
        rules = policy.for_run(config)
        session = yield from GuardSession.of(state, engine, rules, config)
        if session.generation.cut(rules.prefix) != rules.prefix:
            # The answer would be cut within it, however good its sentences were.
            halt = Halt(decision="refused", reason="a stop text stands in the prefix")
            return {"session": session, "halt": halt}
        yield from session.align(rules.prefix)
        if rules.search:
            return {"session": session}
        engine_session = yield from session.engine()
        try:
            completion = yield from ask(engine_session.finish)
        except NoRoomError:
            return {"session": session, "halt": Halt(decision="refused", reason=NO_ROOM)}
        if len(completion.text.strip()) <= len(rules.prefix.strip()):
            # A bare prefix may well score as harmless, but it is no answer.
            halt = Halt(decision="refused", reason="the model added nothing to the prefix")
            return {"session": session, "halt": halt}
        repaired = Repaired(text=completion.text, finish_reason=completion.finish_reason)
        return {"session": session, "repaired": repaired}

    return node
