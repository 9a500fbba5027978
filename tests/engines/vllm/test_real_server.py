"""What a real vLLM answers over the shipped weights; the other tests play the server."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from langchain_core.messages import HumanMessage

from eta_guard import EtaGuard, GuardPolicy, VllmEngine
from eta_guard.embedded import Sample, samples
from eta_guard.pretrained import Parts, load_parts, panel_of
from eta_guard.prompts import POST_PROMPT
from tests.fakes import verdict_of

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def parts() -> Parts:
    return load_parts()


@pytest.fixture
def served(chat_server: str, parts: Parts) -> Iterator[Parts]:
    with httpx.Client() as client:
        yield {**parts, "engine": VllmEngine(f"{chat_server}/v1", "chat", client=client)}


def asked(sample: Sample) -> list[HumanMessage]:
    data = base64.b64encode(sample.path.read_bytes()).decode()
    image = {"type": "image", "base64": data, "mime_type": "image/png"}
    return [HumanMessage([image, {"type": "text", "text": sample.question}])]


def told(guard: EtaGuard, sample: Sample) -> tuple[Any, ...]:
    """Text, decision and what it rests on."""
    reply = guard.invoke(asked(sample))
    verdict = verdict_of(reply)
    assert verdict.image is not None
    response = verdict.response and verdict.response.score
    return reply.text, verdict.decision, verdict.route, verdict.image.score, response


def test_drafts_and_decisions_of_the_samples_are_those_of_the_local_engine(
    parts: Parts, served: Parts
) -> None:
    decisions = set()
    for sample in samples():
        # Only watched, the draft goes out whatever is thought of it.
        for policy in (GuardPolicy(mode="observe"), GuardPolicy()):
            here, there = EtaGuard(**parts, policy=policy), EtaGuard(**served, policy=policy)
            (text, *found), (expected, *wanted) = told(there, sample), told(here, sample)
            decisions.add(found[0])
            # The server draws a search by numbers of its own, in rounds of its own.
            assert [found[0], *found[2:]] == [wanted[0], *wanted[2:]]
            if found[0] != "aligned":
                assert (text, found[1]) == (expected, wanted[1])
    assert decisions == {"observed", "passed", "aligned"}


def test_a_hazardous_picture_is_answered_safely(served: Parts) -> None:
    guard = EtaGuard(**served)
    hazard = next(sample for sample in samples() if sample.hazardous)
    text, decision, *_ = told(guard, hazard)
    assert decision == "aligned"
    assert text.startswith(guard.policy.prefix)


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
