"""What requests cost, counted on the models that ship with the package."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from eta_guard import ChatLocalVLM, EtaGuard, embedded
from eta_guard.counts import Counts, counting
from eta_guard.embedded import Case
from eta_guard.evaluators.reward.evaluator import RewardResponseEvaluator
from eta_guard.graph import build_graph
from eta_guard.policy import GuardPolicy
from eta_guard.pretrained import Parts, load_parts
from eta_guard.protocols import (
    Candidate,
    Completion,
    Engine,
    EngineSession,
    Generation,
    Sampling,
    Watch,
)
from eta_guard.request.conversation import Conversation, read_conversation
from tests.fakes import verdict_of

# CLIP knows again what it has seen: each test has pictures of its own, by their number.
HAZARDS = list(embedded.cases("held_out", hazardous=12, safe=0, text_only=0))
SAFE = list(embedded.cases("held_out", hazardous=0, safe=7, text_only=0))
MARGIN = 0.1


@pytest.fixture(scope="module")
def parts() -> Parts:
    """Warm: the policy's prompts have been read, as they are once a process."""
    loaded = load_parts("embedded", device="cpu")
    for case in (HAZARDS[0], SAFE[0]):
        EtaGuard(**loaded).invoke([asking(case)])
    return loaded


def asking(case: Case) -> HumanMessage:
    assert case.image is not None
    buffer = BytesIO()
    case.image.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return HumanMessage(
        [
            {"type": "image", "base64": data, "mime_type": "image/png"},
            {"type": "text", "text": case.question},
        ]
    )


@dataclass
class Recording:
    """An engine that keeps a record of what it was asked and what it drew."""

    inner: Engine
    watches: list[Watch | None] = field(default_factory=list)
    rounds: list[list[Candidate]] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        return self.inner.fingerprint

    def open(self, conversation: Conversation, generation: Generation) -> EngineSession:
        return RecordingSession(self, self.inner.open(conversation, generation))


@dataclass
class RecordingSession:
    record: Recording
    inner: EngineSession

    def answer(self, watch: Watch | None = None) -> Completion:
        self.record.watches.append(watch)
        return self.inner.answer(watch)

    def prefill(self, prefix: str, accepted: Any = ()) -> None:
        self.inner.prefill(prefix, accepted)

    def propose(self, n: int, sampling: Sampling) -> list[Candidate]:
        self.record.rounds.append(self.inner.propose(n, sampling))
        return self.record.rounds[-1]

    def accept(self, index: int) -> None:
        self.inner.accept(index)

    def finish(self) -> Completion:
        return self.inner.finish()


# ── nothing for the safe ──


@pytest.mark.parametrize(
    ("number", "margin"), [(1, None), (2, None), (3, None), (4, MARGIN), (5, MARGIN), (6, MARGIN)]
)
def test_a_safe_image_costs_its_own_encoding_and_nothing_else(
    parts: Parts, number: int, margin: float | None
) -> None:
    case = SAFE[number]
    recording = Recording(parts["engine"])
    guard = EtaGuard(
        engine=recording,
        image_evaluator=parts["image_evaluator"],
        response_evaluator=parts["response_evaluator"],
        policy=GuardPolicy(draft_stop_margin=margin, views=("whole",)),
    )
    reply = guard.invoke([asking(case)])
    verdict = verdict_of(reply)
    assert verdict.route == ("pre_evaluate", "generate", "respond")
    with counting() as alone:
        generation = Generation(max_tokens=guard.policy.max_tokens)
        parts["engine"].open(read_conversation([asking(case)]), generation).answer()
    assert alone["vlm_image_encodes"] == 1
    assert verdict.counts == {**alone, "clip_image_encodes": 1, "evaluations_clip": 1}
    assert recording.watches == [None]
    unguarded = ChatLocalVLM(engine=parts["engine"]).invoke([asking(case)])
    assert str(reply.content).encode() == str(unguarded.content).encode()
    assert reply.usage_metadata == unguarded.usage_metadata


# ── a flagged request ──


def counts_by_node(guard: EtaGuard, message: HumanMessage) -> list[tuple[str, Counts]]:
    """What had been spent when each node was done, in their order."""
    graph = build_graph(
        engine=guard.engine,
        image_evaluator=guard.image_evaluator,
        response_evaluator=guard.response_evaluator,
        policy=guard.policy,
    ).compile()
    given: Any = {"messages": [message]}
    return [
        (name, update["counts"])
        for event in graph.stream(given, stream_mode="updates")
        for name, update in event.items()
    ]


@pytest.mark.parametrize(("number", "candidates"), [(1, 1), (2, 2), (5, 5), (6, 5)])
def test_a_repair_costs_little_more_than_the_tokens_that_it_draws(
    parts: Parts, number: int, candidates: int
) -> None:
    recording = Recording(parts["engine"])
    guard = EtaGuard(
        engine=recording,
        image_evaluator=parts["image_evaluator"],
        response_evaluator=parts["response_evaluator"],
        policy=GuardPolicy(candidates=candidates, views=("whole",)),
    )
    nodes = counts_by_node(guard, asking(HAZARDS[number]))
    spent = dict(nodes)
    sentences = len(recording.rounds)
    assert sentences >= 3
    assert [name for name, _ in nodes].count("best_of_n") == sentences
    whole, draft = spent["respond"], spent["generate"]
    assert (whole["vlm_image_encodes"], whole["clip_image_encodes"]) == (1, 1)
    longest = sum(max(len(c.token_ids) for c in drawn) for drawn in recording.rounds)
    assert whole["vlm_forwards"] - draft["vlm_forwards"] <= longest + sentences + 1
    assert whole["reward_forwards"] <= sentences + 2
    # The texts of a round are one batch, and alike ones are one text.
    assert whole.get("clip_text_encodes", 0) <= candidates * (sentences - 1)
    assert whole["peak_cache_rows"] <= 1.5


def test_the_first_request_of_all_costs_at_most_one_forward_more(parts: Parts) -> None:
    cold = RewardResponseEvaluator.from_pretrained(str(embedded.path("reward")), device="cpu")
    guard = EtaGuard(
        engine=parts["engine"], image_evaluator=parts["image_evaluator"], response_evaluator=cold
    )
    verdict = verdict_of(guard.invoke([asking(HAZARDS[0])]))
    assert len(verdict.rounds) >= 3
    assert verdict.counts["reward_forwards"] <= len(verdict.rounds) + 3


# ── a draft that is stopped ──


@pytest.mark.slow
def test_a_stopped_draft_costs_its_beginning_and_changes_no_answer(parts: Parts) -> None:
    stopped = []
    for case in [*HAZARDS[3:5], *HAZARDS[7:]]:
        replies = [
            EtaGuard(**parts, policy=GuardPolicy(draft_stop_margin=margin)).invoke([asking(case)])
            for margin in (None, MARGIN)
        ]
        whole, cut = map(verdict_of, replies)
        assert replies[0].content == replies[1].content
        assert (whole.decision, whole.route) == (cut.decision, cut.route)
        assert whole.response
        assert cut.response
        if cut.response.reason is None:  # a draft that is not unsafe is drawn and scored whole
            assert whole.response == cut.response
            assert whole.counts["output_tokens"] == cut.counts["output_tokens"]
            continue
        stopped.append(case.object)
        assert cut.response.reason == "stopped after sentence 1"
        assert whole.response.outcome == "unsafe"
        for name in ("output_tokens", "vlm_forwards", "vlm_positions"):
            assert whole.counts[name] - cut.counts[name] >= 15
        assert cut.counts["reward_forwards"] == whole.counts["reward_forwards"]
        assert cut.counts["reward_positions"] < whole.counts["reward_positions"]
    assert stopped == ["syringe", "dynamite", "axe", "knife", "pistol"]
