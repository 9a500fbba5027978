"""A sentence's candidates in parts: which calls the provider gets."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage

from eta_guard import ChatModelEngine, EtaGuard, GuardPolicy
from eta_guard.counts import counting
from eta_guard.protocols import Generation, Sampling
from eta_guard.request.conversation import read_conversation
from tests.chat_fakes import FakeChat, repairs, says
from tests.fakes import UNSAFE, FakeImages, FakeResponses, question, verdict_of

SAMPLING = Sampling(top_k=5, temperature=1.5, max_sentence_tokens=70)
PARTS = (range(2), range(2, 4), range(4, 5))
FIRST = 1_009
"""Seed of the first candidate."""


def begun(model: FakeChat) -> Any:
    session = ChatModelEngine(model).open(read_conversation([question(UNSAFE)]), Generation())
    session.prefill("As an AI")
    return session


def failing(*candidates: int) -> FakeChat:
    """A provider whose calls for these candidates fail, each in its own way."""

    def script(messages: list[BaseMessage], settings: dict[str, Any]) -> AIMessage:
        number = settings["seed"] - FIRST if settings["seed"] else None
        if number in candidates:
            raise ConnectionError(f"{number} failed")
        return says()(messages, settings)

    return FakeChat(script=script)


def asked(model: FakeChat) -> list[int]:
    """The candidates that were asked for, by their numbers."""
    return sorted(asked["seed"] - FIRST for messages, asked in model.calls if repairs(messages))


def test_parts_together_are_the_whole() -> None:
    session, whole = begun(FakeChat()), begun(FakeChat())
    found = [one for part in PARTS for one in session.propose_part(part, 5, SAMPLING)]
    assert found == whole.propose(5, SAMPLING)
    session.accept(3)
    whole.accept(3)
    assert session.finish().text == whole.finish().text


def test_a_part_may_fail_where_another_comes() -> None:
    session = begun(failing(0, 1, 2))
    with counting() as tally:
        found = [session.propose_part(part, 5, SAMPLING) for part in PARTS]
    assert [len(candidates) for candidates in found] == [0, 1, 1]
    assert tally["failed_candidates"] == 3
    session.accept(1)
    assert f"seed {FIRST + 4}." in session.finish().text


def test_where_all_fail_the_first_failure_is_raised() -> None:
    session = begun(failing(*range(5)))
    assert [session.propose_part(part, 5, SAMPLING) for part in PARTS[:2]] == [[], []]
    with pytest.raises(ConnectionError, match="0 failed"):
        session.propose_part(PARTS[2], 5, SAMPLING)


@pytest.mark.parametrize(
    ("model", "accepts", "calls"),
    [
        (FakeChat(), "seed", [0, 1]),
        (FakeChat(), f"seed {FIRST + 2}.", [0, 1, 2, 3]),
        (FakeChat(), "nothing", [0, 1, 2, 3, 4]),
        (failing(0, 1), "seed", [0, 1, 2, 3]),
    ],
    ids=["the first", "the third", "none", "two fail"],
)
@pytest.mark.parametrize("form", ["sync", "async"])
async def test_the_provider_is_called_no_further_than_needed(
    model: FakeChat, accepts: str, calls: list[int], form: str
) -> None:
    model = model.model_copy(update={"calls": []})
    made = EtaGuard(
        engine=ChatModelEngine(model),
        image_evaluator=FakeImages(),
        response_evaluator=FakeResponses(lambda prompt, text: float(accepts in text)),
        policy=GuardPolicy(accept_above=(0.5, 0.9), on_unrepaired="return"),
    )
    messages = [question(UNSAFE)]
    reply = await made.ainvoke(messages) if form == "async" else made.invoke(messages)
    assert asked(model) == calls
    verdict = verdict_of(reply)
    failed = int(verdict.counts.get("failed_candidates", 0))
    assert len(verdict.rounds[0].candidates) == len(calls) - failed
    assert verdict.decision == "aligned"
