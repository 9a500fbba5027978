"""What a real vLLM answers over the shipped weights; the other tests play the server."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from eta_guard import EtaGuard, GuardPolicy, VllmEngine
from eta_guard.bench.served import measure_server
from eta_guard.embedded import Sample, samples
from eta_guard.evaluation import EvaluationRun, Setup, Suite, Threads, read_suite
from eta_guard.pretrained import Parts, load_chat_model, load_parts, panel_of
from eta_guard.prompts import POST_PROMPT
from eta_guard.protocols import Generation, Sampling
from eta_guard.request.conversation import read_conversation
from tests.fakes import verdict_of
from tests.vllm_server import metric

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

AT_ONCE = 16
BLOCK = 32
"""Of ``.ci/vllm``."""
RATES = (
    "unsafe_rate",
    "unsafe_rate_shown",
    "text_hazard_unsafe_rate",
    "over_refusal_rate",
    "helpful_rate",
    "safe_answers_unchanged_rate",
)
OBSERVING = GuardPolicy(mode="observe")


@pytest.fixture(scope="module")
def parts() -> Parts:
    return load_parts()


@pytest.fixture
def served(chat_server: str, parts: Parts) -> Iterator[Parts]:
    with httpx.Client() as client:
        yield {**parts, "engine": VllmEngine(f"{chat_server}/v1", "chat", client=client)}


async def together(guard: EtaGuard, cases: Sequence[list[BaseMessage]]) -> list[AIMessage]:
    """The replies, with so many requests in flight."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(messages: list[BaseMessage]) -> AIMessage:
        async with places:
            return await guard.ainvoke(messages)

    return list(await asyncio.gather(*map(one, cases)))


def told(reply: AIMessage) -> tuple[Any, ...]:
    """What a verdict rests on."""
    verdict = verdict_of(reply)
    scores = [one and one.score for one in (verdict.image, verdict.response)]
    return verdict.decision, verdict.flagged, verdict.route, *scores


async def test_plain_answers_and_decisions_are_those_of_the_local_engine(
    parts: Parts, served: Parts
) -> None:
    suite = read_suite("embedded", limit=70)
    asked: list[list[BaseMessage]] = [case.messages() for case in suite.cases]
    # Only watched, the draft goes out whatever is thought of it.
    found = await together(EtaGuard(**served, policy=OBSERVING), asked)
    here = EtaGuard(**parts, policy=OBSERVING)
    wanted = await asyncio.to_thread(lambda: [here.invoke(one) for one in asked])
    assert len(asked) >= 200
    pairs = list(zip(suite.cases, found, wanted, strict=True))
    others = [case.id for case, there, ours in pairs if there.text != ours.text]
    assert others == []
    differing = {case.id: (told(a), told(b)) for case, a, b in pairs if told(a) != told(b)}
    assert len(differing) <= len(asked) // 100, differing
    assert {verdict_of(one).flagged for one in found} == {True, False}


def test_an_evaluation_over_it_gives_the_figures_of_the_local_one(
    chat_server: str, parts: Parts
) -> None:
    suite = read_suite("embedded", limit=12)
    names = {"assembly": "embedded", "chat_model": f"chat@{chat_server}/v1"}
    over_it = Setup(judge="grammar", models=names, methods=("full",))
    here = Setup(judge="grammar", methods=("full",), parts=parts)
    served: Parts = {**parts, "engine": load_chat_model(names["chat_model"])}
    there = EvaluationRun(suite, over_it, spread=Threads(AT_ONCE, lambda: served))
    local = EvaluationRun(suite, here)
    for row, ours in zip(there.figures()["rows"], local.figures()["rows"], strict=True):
        assert row["method"] == ours["method"]
        for name in RATES:
            low, high = ours[f"{name}_ci"]
            assert low <= row[name] <= high, (row["method"], name, row[name], (low, high))
    decided = [_decisions(run, suite) for run in (there, local)]
    differing = {case: (decided[0][case], one) for case, one in decided[1].items()}
    assert {case: pair for case, pair in differing.items() if pair[0] != pair[1]} == {}
    assert set(decided[0].values()) >= {"passed", "aligned"}


def _decisions(run: EvaluationRun, suite: Suite) -> dict[str, str | None]:
    records = {record.id: record for record in run.finish()}
    return {case.id: records[case.id].answers["full"].decision for case in suite.cases}


def test_no_full_block_of_a_prompt_is_computed_twice_within_a_request(
    chat_server: str, parts: Parts
) -> None:
    bodies: list[dict[str, Any]] = []

    def remember(request: httpx.Request) -> None:
        if request.url.path == "/v1/chat/completions":
            bodies.append(_read(request))

    with httpx.Client(event_hooks={"request": [remember]}) as client:
        engine = VllmEngine(f"{chat_server}/v1", "chat", client=client)
        guard = EtaGuard(**{**parts, "engine": engine})
        hazard = next(case for case in samples() if case.hazardous)
        before = _cache(chat_server)
        reply = guard.invoke([_asked(hazard)])
        after = _cache(chat_server)
    assert verdict_of(reply).decision == "aligned"
    assert len(bodies) > 3
    # The pictures went out once, and were found by their ids from then on.
    assert [_pictures(body) for body in bodies] == [1] + [0] * (len(bodies) - 1)
    whole = bodies[0]["messages"]
    prompts = [_tokens(chat_server, body, whole) for body in bodies]
    assert min(map(len, prompts)) > 2 * BLOCK
    computed = (after[0] - before[0]) - (after[1] - before[1])
    assert computed <= sum(
        _most_computed(prompt, prompts[:at], body.get("n", 1))
        for at, (prompt, body) in enumerate(zip(prompts, bodies, strict=True))
    )
    counts = verdict_of(reply).counts
    # The draft's, and of the search as far as the server came to its end by itself.
    assert 2 * BLOCK <= counts["cached_tokens"] < counts["prompt_tokens"]


def _most_computed(prompt: list[int], before: list[list[int]], rows: int) -> int:
    """Tokens outside of the blocks that stand whole in an earlier prompt, or the last token."""
    common = max((_common(prompt, other) for other in before), default=0)
    known = min(common, len(prompt) - 1) // BLOCK * BLOCK
    rest = len(prompt) - (len(prompt) - 1) // BLOCK * BLOCK
    return len(prompt) - known + (rows - 1) * rest


def _common(prompt: list[int], other: list[int]) -> int:
    same = [one == two for one, two in zip(prompt, other, strict=False)]
    return [*same, False].index(False)


def _cache(server: str) -> tuple[float, float]:
    return metric(server, "prefix_cache_queries_total"), metric(server, "prefix_cache_hits_total")


def _tokens(server: str, body: dict[str, Any], whole: list[Any]) -> list[int]:
    kept = ("continue_final_message", "add_generation_prompt", "model")
    asked = {name: body[name] for name in kept if name in body}
    begun = [one for one in body["messages"] if one["role"] == "assistant"]
    answer = httpx.post(f"{server}/tokenize", json={**asked, "messages": [*whole, *begun]})
    found: list[int] = answer.raise_for_status().json()["tokens"]
    return found


def _pictures(body: dict[str, Any]) -> int:
    blocks = [
        block
        for one in body["messages"]
        if not isinstance(one["content"], str)
        for block in one["content"]
    ]
    return sum(bool(block.get("image_url")) for block in blocks)


def _read(request: httpx.Request) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.content)
    return found


def _asked(sample: Sample) -> HumanMessage:
    data = base64.b64encode(sample.path.read_bytes()).decode()
    image = {"type": "image", "base64": data, "mime_type": "image/png"}
    return HumanMessage([image, {"type": "text", "text": sample.question}])


async def test_a_cancelled_search_is_aborted_on_the_server(chat_server: str, served: Parts) -> None:
    """By its own metrics, while many candidates are drawn: they stop, and never come to an end.

    A request that is aborted by who asked for it is counted under no reason to have finished.
    """
    guard = EtaGuard(**served, policy=GuardPolicy(candidates=48))
    running = partial(metric, chat_server, "num_requests_running")
    drawn = partial(metric, chat_server, "generation_tokens_total")
    await _until(lambda: running() == 0)
    hazard = next(sample for sample in samples() if sample.hazardous)
    task = asyncio.create_task(guard.ainvoke([_asked(hazard)]))
    await _until(lambda: running() > 8)
    before = _finished(chat_server)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _until(lambda: running() == 0)
    spent = drawn()
    await asyncio.sleep(1)
    assert drawn() == spent
    assert _finished(chat_server) - before < 8


async def test_a_stream_that_is_closed_is_aborted_on_the_server(
    chat_server: str, served: Parts
) -> None:
    guard = EtaGuard(**served, policy=OBSERVING)
    before = _finished(chat_server)
    for sample in samples()[:4]:
        chunks: Any = guard.astream([_asked(sample)])
        await anext(chunks)
        await chunks.aclose()
    await _until(lambda: metric(chat_server, "num_requests_running") == 0)
    assert _finished(chat_server) - before < 4


def _finished(server: str) -> float:
    return metric(server, "request_success_total")


async def _until(holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        if await asyncio.to_thread(holds):
            return
        await asyncio.sleep(0.02)
    pytest.fail("It never came about.")


def test_32_requests_with_16_in_flight_say_what_they_say_one_after_another(
    chat_server: str,
) -> None:
    """As ``eta-guard bench --engine vllm`` measures it: whole searches, each with its own seed."""
    found = measure_server(f"{chat_server}/v1", requests=32, at_once=AT_ONCE)
    assert (found["model"], found["same_text"]) == ("chat", 32)
    assert found["most_threads"] < AT_ONCE
    for side in ("alone", "together"):
        assert found[side]["output_tokens"] > 32
        assert found[side]["cache_hit_share"] > 0.5


def test_a_candidate_is_the_same_in_a_part_and_in_the_whole(served: Parts) -> None:
    asked = [_asked(case) for case in samples() if case.hazardous][:4]
    sampling = Sampling(top_k=5, temperature=1.5, max_sentence_tokens=70)
    found: list[list[list[str]]] = [[], []]
    for message in asked:
        for texts, parts in zip(
            found, ([range(5)], [range(2), range(2, 4), range(4, 5)]), strict=True
        ):
            session: Any = served["engine"].open(read_conversation([message]), Generation())
            session.prefill(GuardPolicy().prefix)
            drawn = [session.propose_part(part, 5, sampling) for part in parts]
            texts.append([one.text for candidates in drawn for one in candidates])
    assert found[0] == found[1]
    assert any(len(set(texts)) > 1 for texts in found[0])


def test_a_server_draws_less_where_the_first_good_candidate_is_kept(
    chat_server: str, served: Parts
) -> None:
    hazard = _asked(next(case for case in samples() if case.hazardous))
    drawn = {}
    for name, pair in (("full", None), ("early", (0.06, 0.06))):
        before = metric(chat_server, "generation_tokens_total")
        guard = EtaGuard(**served, policy=GuardPolicy(accept_above=pair))
        verdict = verdict_of(guard.invoke([hazard]))
        assert verdict.decision == "aligned"
        drawn[name] = metric(chat_server, "generation_tokens_total") - before
    assert drawn["early"] < 0.8 * drawn["full"]


@pytest.mark.parametrize("path", ["pooling", "classify"])
def test_the_reward_model_scores_as_ours_does(reward_server: str, parts: Parts, path: str) -> None:
    answer = "I cannot help with this. The pistol can hurt people."
    chat = [{"role": "user", "content": POST_PROMPT}, {"role": "assistant", "content": answer}]
    wanted = {
        "model": "reward",
        "messages": chat,
        "add_generation_prompt": False,
        "use_activation": False,
    }
    found = httpx.post(f"{reward_server}/{path}", json=wanted).raise_for_status().json()["data"][0]
    (score,) = found["data" if path == "pooling" else "probs"]
    (ours,) = panel_of(parts, GuardPolicy()).responses[0].open(POST_PROMPT).score([answer])
    assert score == pytest.approx(ours, abs=1e-5)
