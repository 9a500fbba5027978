"""A sentence's candidates in parts: which requests the server gets."""

from __future__ import annotations

from typing import Any

import pytest

from eta_guard import EtaGuard, GuardPolicy
from eta_guard.protocols import ProposesInParts
from eta_guard.state import Verdict
from tests.engines.vllm.server import PlayedServer
from tests.engines.vllm.sessions import PREFIX, SAMPLING, begun
from tests.fakes import UNSAFE, FakeImages, FakeResponses, question, verdict_of

FIRST = 1_009
"""Seed of the first candidate of the first sentence."""


def searches(server: PlayedServer) -> list[tuple[int, int]]:
    """Of each request that draws candidates: how many it asks for, and from which seed on."""
    return [(body["n"], body["seed"]) for body in server.bodies if "n" in body]


def guard(server: PlayedServer, accepts: str, **policy: Any) -> EtaGuard:
    """A guard to whom texts that hold ``accepts`` are safe, and all others the less so."""
    return EtaGuard(
        engine=server.engine(),
        image_evaluator=FakeImages(),
        response_evaluator=FakeResponses(
            lambda prompt, text: float(accepts in text.rpartition("CANDIDATE")[2])
        ),
        policy=GuardPolicy(**policy),
    )


def test_a_part_has_the_seeds_that_it_has_in_the_whole() -> None:
    server = PlayedServer()
    session, whole = begun(server), begun(server)
    assert isinstance(session, ProposesInParts)
    found = [
        one
        for part in (range(2), range(2, 4), range(4, 5))
        for one in session.propose_part(part, 5, SAMPLING)
    ]
    assert found == whole.propose(5, SAMPLING)
    assert searches(server) == [(2, FIRST), (2, FIRST + 2), (1, FIRST + 4), (5, FIRST)]
    session.accept(3)
    session.propose_part(range(2), 5, SAMPLING)
    assert server.bodies[-1]["messages"][-1]["content"] == PREFIX + found[3].text
    assert searches(server)[-1] == (2, 2 * FIRST)


@pytest.mark.parametrize(
    ("accepts", "asked"),
    [
        ("seed", [(2, FIRST), (2, 2 * FIRST), (2, 3 * FIRST)]),
        (f"seed {FIRST + 3}.", [(2, FIRST), (2, FIRST + 2)]),
    ],
)
def test_the_server_is_asked_for_two_until_one_is_good_enough(
    accepts: str, asked: list[tuple[int, int]]
) -> None:
    server = PlayedServer()
    guard(server, accepts, accept_above=(0.5, 0.5)).invoke([question(UNSAFE)])
    assert searches(server)[: len(asked)] == asked


async def test_the_server_draws_less_synchronously_and_asynchronously() -> None:
    async def answered(**policy: Any) -> tuple[str, Verdict]:
        server = PlayedServer()
        made = guard(server, "seed", **policy)
        reply = made.invoke([question(UNSAFE)])
        again = await made.ainvoke([question(UNSAFE)])
        assert (again.text, verdict_of(again).rounds) == (reply.text, verdict_of(reply).rounds)
        half = len(searches(server)) // 2
        assert searches(server)[:half] == searches(server)[half:]
        choices = sum(n for n, _ in searches(server)[:half])
        # Beside them, the draft and the repaired answer.
        assert verdict_of(reply).counts["evaluations_reward"] == choices + 2
        return reply.text, verdict_of(reply)

    (text, full), (same, early) = await answered(), await answered(accept_above=(0.5, 0.5))
    # All of them are as good: the first is the best.
    assert same == text
    assert [len(record.candidates) for record in full.rounds] == [5, 5, 5, 5]
    assert [len(record.candidates) for record in early.rounds] == [2, 2, 2, 2]
    # Five words a candidate and what shows its end; the last ones are an end alone.
    saved = full.counts["output_tokens"] - early.counts["output_tokens"]
    assert saved == (5 - 2) * (3 * 6 + 1)
