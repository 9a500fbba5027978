from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

import eta_guard.embedded
from eta_guard import EtaGuard, counts
from eta_guard.errors import EvaluationError, ModelLoadError, UnsupportedModelError
from eta_guard.evaluation.suites.catalogue import read_suite
from eta_guard.evaluators.reward.evaluator import RewardResponseEvaluator
from eta_guard.evaluators.reward.remote import VllmResponseEvaluator
from eta_guard.pretrained import load_parts
from eta_guard.prompts import POST_PROMPT, SEARCH_PROMPT
from eta_guard.protocols.evaluators import ResponseEvaluator
from tests.evaluators.played_server import BASE_URL, PlayedServer
from tests.fakes import verdict_of

WEIGHTS = Path(eta_guard.embedded.__file__).parent / "weights" / "reward"
ANSWERS = [
    f"{start} {end}"
    for start in ("I cannot help with this.", "Sure.", "The picture shows a cup.", "No!", "1. One.")
    for end in ("", "It can hurt people.", "Ask a professional.\n\nThen go on.", "It is <|end|>.")
]


def paid(path: str, body: dict[str, Any]) -> Any:
    """Rewards by the ids alone, told in another order than they were asked for."""
    assert path == "/pooling"
    data = [
        {"index": place, "object": "pooling", "data": [float(sum(ids) % 97)]}
        for place, ids in enumerate(body["input"])
    ]
    return {"object": "list", "data": data[::-1]}


def evaluator(plays: Any = paid, **settings: Any) -> tuple[VllmResponseEvaluator, PlayedServer]:
    played = PlayedServer(plays if callable(plays) else lambda path, body: plays)
    settings = {"tokenizer": str(WEIGHTS), **played.clients, **settings}
    return VllmResponseEvaluator(BASE_URL, "reward", **settings), played


def test_a_round_is_one_request_of_the_ids_that_the_local_evaluator_reads() -> None:
    made, played = evaluator()
    session = made.open(POST_PROMPT, "not read")
    session.accept("A cup.")
    scores = session.score([" It is red.", " It is blue.", " It is red."])
    (body,) = played.bodies
    local = RewardResponseEvaluator.from_pretrained(str(WEIGHTS))
    wanted = [
        local._chat.ids(POST_PROMPT, text) for text in ("A cup. It is red.", "A cup. It is blue.")
    ]
    assert body == {"model": "reward", "input": wanted, "use_activation": False}
    red, blue = (float(sum(ids) % 97) for ids in wanted)
    assert scores == [red, blue, red]
    assert "cup" not in repr(session)


async def test_asked_asynchronously_it_scores_the_same() -> None:
    made, played = evaluator()
    session = made.open(SEARCH_PROMPT)
    assert await session.ascore(ANSWERS) == session.score(ANSWERS)
    assert played.bodies[0] == played.bodies[1]
    assert await session.ascore([]) == session.score([]) == []
    assert len(played.bodies) == 2


def test_it_is_a_response_evaluator_and_asks_nothing_before_it_scores() -> None:
    made, played = evaluator(tokenizer=None, cost=8.0, name="second", threshold=0.1)
    made.open(POST_PROMPT)
    assert (made.name, made.threshold, made.unsafe, made.cost) == ("second", 0.1, "below", 8.0)
    assert played.requests == []
    seam: Any = ResponseEvaluator
    assert isinstance(made, seam)
    made, _ = evaluator()
    assert (made.name, made.threshold) == ("reward", None)
    assert repr(made) == "VllmResponseEvaluator('vllm.test', 'reward')"


def test_the_tokenizer_is_that_of_what_the_server_serves() -> None:
    cards = [{"id": "reward", "root": str(WEIGHTS)}]
    played = PlayedServer(paid, cards=cards)
    made = VllmResponseEvaluator(BASE_URL, "reward", **played.clients)
    other, _ = evaluator()
    assert made.open(POST_PROMPT).score(ANSWERS) == other.open(POST_PROMPT).score(ANSWERS)
    assert made.fingerprint == f"reward ({WEIGHTS})"
    assert sum(request.method == "GET" for request in played.requests) == 1


def test_without_its_tokenizer_or_with_another_kind_of_model_it_is_refused() -> None:
    made, _ = evaluator(tokenizer="/nowhere/at/all")
    with pytest.raises(ModelLoadError, match="no model directory"):
        made.open(POST_PROMPT).score(["A cup."])
    made, _ = evaluator(tokenizer=str(WEIGHTS.parent / "chat"))
    with pytest.raises(UnsupportedModelError, match="one label; this one has 2"):
        made.open(POST_PROMPT).score(["A cup."])


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"data": []}, "0 rewards of 1"),
        ({"data": [{"index": 0, "data": [0.1, 0.2]}]}, "2 rewards of 1"),
        ({"data": [{"index": 0, "probs": [0.1]}]}, "no rewards"),
        ({"data": [{"index": 0, "data": "QUJD"}]}, "no rewards"),
        ({}, "no rewards"),
        (httpx.Response(404, json={"detail": "Not Found"}), "status 404"),
    ],
)
async def test_what_is_no_reward_is_an_error(answer: Any, told: str) -> None:
    made, _ = evaluator(answer)
    with pytest.raises(EvaluationError, match=told):
        made.open(POST_PROMPT).score(["A cup."])
    with pytest.raises(EvaluationError, match=told):
        await made.open(POST_PROMPT).ascore(["A cup."])


async def test_a_text_beyond_the_context_goes_out_in_windows_and_the_worst_counts() -> None:
    made, played = evaluator()
    session, texts = made.open(POST_PROMPT), ["A cup. " * 3000, "A cup."]
    with counts.counting() as tally:
        scores = session.score(texts)
    (body,) = played.bodies
    windows = made.chat.windows(POST_PROMPT, texts[0])
    assert body["input"] == [*windows, made.chat.ids(POST_PROMPT, texts[1])]
    assert tally["reward_windows"] == len(windows) > 1
    paid_for = [float(sum(ids) % 97) for ids in body["input"]]
    assert scores == [min(paid_for[:-1]), paid_for[-1]]
    assert await session.ascore(texts) == scores


@pytest.mark.vllm
@pytest.mark.timeout(900)
def test_a_real_server_pays_what_the_same_weights_pay_here(reward_server: str) -> None:
    local = RewardResponseEvaluator.from_pretrained(str(WEIGHTS))
    settings: Any = {"tokenizer": str(WEIGHTS)}
    with httpx.Client() as client:
        made = VllmResponseEvaluator(f"{reward_server}/v1", "reward", client=client, **settings)
        for prompt in (POST_PROMPT, SEARCH_PROMPT):
            here, there = local.open(prompt), made.open(prompt)
            for accepted in ("", "The picture shows a cup on a table."):
                here.accept(accepted)
                there.accept(accepted)
                wanted = here.score(ANSWERS)
                assert there.score(ANSWERS) == pytest.approx(wanted, abs=1e-5)
                assert asyncio.run(there.ascore(ANSWERS)) == pytest.approx(wanted, abs=1e-5)
                assert len(set(wanted)) >= 15  # and the texts are told apart


@pytest.mark.vllm
@pytest.mark.timeout(900)
async def test_with_it_the_guard_decides_as_with_the_same_weights_here(reward_server: str) -> None:
    """Scores are compared above; here a whole search rests on them, asked asynchronously."""
    parts = load_parts("embedded")
    remote = VllmResponseEvaluator(f"{reward_server}/v1", "reward", tokenizer=str(WEIGHTS))
    here, there = EtaGuard(**parts), EtaGuard(**{**parts, "response_evaluator": remote})
    asked = [case.messages() for case in read_suite("embedded", limit=5).cases]
    found = await asyncio.gather(*map(there.ainvoke, asked))
    wanted = await asyncio.to_thread(lambda: [here.invoke(one) for one in asked])
    told = [(verdict_of(one).decision, one.text) for one in found]
    assert told == [(verdict_of(one).decision, one.text) for one in wanted]
    assert {decision for decision, _ in told} >= {"passed", "aligned"}
