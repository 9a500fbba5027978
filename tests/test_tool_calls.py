"""The graph around answers that call tools: evaluated, let out or refused, never searched."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolCall

from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Completion, Generation
from tests.fakes import (
    SAFE,
    UNSAFE,
    FakeEngine,
    FakeResponses,
    FakeSession,
    Rig,
    question,
    verdict_of,
)

CALL = ToolCall(name="search", args={"query": "ARGUMENT canary"}, id="1", type="tool_call")
WHOLE = AIMessage(
    [{"type": "reasoning", "reasoning": "REASONING canary"}, {"type": "text", "text": "Look."}],
    tool_calls=[CALL],
    response_metadata={"provider": "p"},
    id="its-own",
)


class CallingSession(FakeSession):
    def answer(self, watch: Any = None) -> Completion:
        assert isinstance(self.engine, CallingEngine)
        return Completion("Look.", "stop", (CALL,), self.engine.message)


@dataclass
class CallingEngine(FakeEngine):
    message: AIMessage | None = field(default=None)
    passes_messages_on: bool = True

    def open(self, conversation: Any, generation: Generation) -> FakeSession:
        return CallingSession(self, generation)


def rig(score: float, message: AIMessage | None = None, **policy: Any) -> Rig:
    return Rig(
        GuardPolicy(**policy),
        engine=CallingEngine(message=message),
        responses=FakeResponses(lambda prompt, text: score if "ARGUMENT" in text else 1.0),
    )


@pytest.mark.parametrize("mode", ["enforce", "observe"])
def test_a_safe_call_goes_out(mode: str) -> None:
    reply = rig(1.0, mode=mode).ask(question(UNSAFE))
    assert (reply.content, reply.tool_calls) == ("Look.", [CALL])


@pytest.mark.parametrize("policy", [{}, {"on_unrepaired": "return"}, {"search": False}])
def test_an_unsafe_call_is_refused_and_nothing_is_searched(policy: dict[str, Any]) -> None:
    asked = rig(0.0, **policy)
    reply = asked.ask(question(UNSAFE))
    verdict = verdict_of(reply)
    assert verdict.decision == "refused"
    assert verdict.route == ("pre_evaluate", "generate", "post_evaluate", "respond")
    assert reply.content == asked.policy.refusal_message
    assert reply.tool_calls == []
    assert asked.engine.calls == []
    assert "canary" not in repr(reply)


def test_where_every_answer_is_aligned_a_safe_call_is_let_out() -> None:
    reply = rig(1.0, on_no_image="align").ask(question())
    assert reply.tool_calls == [CALL]


@pytest.mark.parametrize(
    ("score", "mode", "scored"),
    [(SAFE, "enforce", 0.0), (UNSAFE, "observe", 0.0), (UNSAFE, "enforce", 1.0)],
)
def test_the_message_of_a_chat_model_goes_out_as_it_came(
    score: float, mode: str, scored: float
) -> None:
    """One that was evaluated and is safe as well: providers want back what they have signed."""
    reply = rig(scored, WHOLE, mode=mode).ask(question(score))
    assert (reply.content, reply.tool_calls, reply.id) == (WHOLE.content, [CALL], "its-own")
    assert reply.response_metadata["provider"] == "p"
    assert verdict_of(reply).decision == ("passed" if mode == "enforce" else "observed")
    assert "eta_guard" not in WHOLE.response_metadata
