"""Drafts that are drawn alongside the candidates: another order, the same answers."""

from __future__ import annotations

import base64
from functools import cache
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from eta_guard import EtaGuard, GuardPolicy
from eta_guard.embedded import Sample, samples
from eta_guard.errors import PolicyError
from eta_guard.graph import build_graph
from eta_guard.state import Verdict
from tests.fakes import UNSAFE, Rig, question

HAZARDS = [sample for sample in samples() if sample.hazardous]


@cache
def loaded() -> EtaGuard:
    return EtaGuard.from_pretrained("embedded")


def asked(sample: Sample) -> HumanMessage:
    data = base64.b64encode(sample.path.read_bytes()).decode()
    image = {"type": "image", "base64": data, "mime_type": "image/png"}
    return HumanMessage([image, {"type": "text", "text": sample.question}])


def guard(**settings: Any) -> EtaGuard:
    policy = GuardPolicy(**{"record_rejected": True, "draft_with_candidates": True, **settings})
    return loaded().model_copy(update={"policy": policy})


def answered(model: EtaGuard, sample: Sample) -> tuple[str, Verdict]:
    reply = model.invoke([asked(sample)])
    return str(reply.content), Verdict.model_validate(reply.response_metadata["eta_guard"])


@pytest.mark.parametrize("sample", HAZARDS, ids=lambda sample: sample.path.stem)
def test_only_order_and_cost_change(sample: Sample) -> None:
    text, plain = answered(guard(draft_with_candidates=False), sample)
    same, drafted = answered(guard(), sample)
    assert same == text
    for field in ("decision", "draft", "response", "final"):
        assert getattr(drafted, field) == getattr(plain, field), field
    assert drafted.route.index("prefix_align") < drafted.route.index("post_evaluate")
    if plain.decision == "aligned":
        assert (drafted.rounds, drafted.rejected) == (plain.rounds, plain.rejected)
        assert drafted.counts["vlm_forwards"] < plain.counts["vlm_forwards"]
        assert drafted.counts["vlm_positions"] == plain.counts["vlm_positions"]


def test_the_first_that_is_good_enough_is_the_same_beside_a_draft() -> None:
    settings: dict[str, Any] = {"accept_above": (0.3, 0.37)}
    text, plain = answered(guard(draft_with_candidates=False, **settings), HAZARDS[0])
    same, drafted = answered(guard(**settings), HAZARDS[0])
    assert (same, drafted.rounds) == (text, plain.rounds)
    for number, record in enumerate(plain.rounds, 1):
        enough = 0.37 - (0.37 - 0.3) / number
        rewards = [one.reward for one in record.candidates if one.reward is not None]
        passing = [index for index, reward in enumerate(rewards) if reward >= enough]
        assert len(rewards) == 5
        assert not passing or record.pick == passing[0]
    assert plain.counts["evaluations_reward"] == 5 * len(plain.rounds) + 2


@pytest.mark.parametrize("sample", HAZARDS[:2], ids=lambda sample: sample.path.stem)
def test_a_draft_that_turns_out_safe_goes_out(sample: Sample) -> None:
    lenient: dict[str, Any] = {"response_threshold": -100.0}
    text, verdict = answered(guard(**lenient), sample)
    plain, expected = answered(guard(draft_with_candidates=False, **lenient), sample)
    assert (verdict.decision, expected.decision) == ("passed", "passed")
    assert text == plain
    assert verdict.final is None


def test_a_search_is_left_as_soon_as_the_draft_is_known_to_be_safe() -> None:
    reply = guard(response_threshold=-100.0).invoke([asked(HAZARDS[0])], stop=[" the picture"])
    verdict = Verdict.model_validate(reply.response_metadata["eta_guard"])
    assert verdict.decision == "passed"
    _, whole = answered(guard(), HAZARDS[0])
    assert 0 < verdict.route.count("best_of_n") < whole.route.count("best_of_n")


def test_a_search_that_fails_in_vain_is_forgotten() -> None:
    # The stop text stands in the prefix, and leaves the aligned answer nothing.
    stop, lenient = [" AI"], {"response_threshold": -100.0}
    reply = guard(**lenient).invoke([asked(HAZARDS[0])], stop=stop)
    plain = guard(draft_with_candidates=False, **lenient).invoke([asked(HAZARDS[0])], stop=stop)
    assert reply.content == plain.content
    assert reply.response_metadata["eta_guard"]["decision"] == "passed"
    reply = guard().invoke([asked(HAZARDS[0])], stop=stop)
    assert reply.response_metadata["eta_guard"]["decision"] == "refused"


@pytest.mark.parametrize("pause", ["prefix_align", "best_of_n", "post_evaluate", "respond"])
def test_a_resumed_request_ends_alike(pause: str) -> None:
    guarded, config = guard(), RunnableConfig(configurable={"thread_id": "1"})
    text, expected = answered(guarded, HAZARDS[0])
    graph = build_graph(
        engine=guarded.engine,
        image_evaluator=guarded.image_evaluator,
        response_evaluator=guarded.response_evaluator,
        policy=guarded.policy,
    ).compile(checkpointer=InMemorySaver(), interrupt_before=[pause])
    given: Any = {"messages": [asked(HAZARDS[0])]}
    state: Any = graph.invoke(given, config)
    while graph.get_state(config).next:
        state = graph.invoke(None, config)
    reply = state["messages"][-1]
    verdict = Verdict.model_validate(reply.response_metadata["eta_guard"])
    assert str(reply.content) == text
    assert verdict.decision == expected.decision
    for mine, one in zip(verdict.rounds, expected.rounds, strict=True):
        assert (mine.pick, mine.text) == (one.pick, one.text)
        # Read in one forward, and not sentence by sentence, scores may differ in the last bit.
        assert [c.ended for c in mine.candidates] == [c.ended for c in one.candidates]
        for name in ("reward", "similarity", "utility"):
            found, wanted = ([getattr(c, name) for c in r.candidates] for r in (mine, one))
            assert found == pytest.approx(wanted, abs=1e-6)


def test_an_engine_that_cannot_draws_first() -> None:
    rig = Rig(policy=GuardPolicy(draft_with_candidates=True))
    rig.ask(question(UNSAFE))
    assert rig.engine.calls.index("answer") < rig.engine.calls.index("prefill")


def test_safe_images_are_answered_as_ever() -> None:
    sample = next(sample for sample in samples() if not sample.hazardous)
    _, verdict = answered(guard(), sample)
    assert verdict.route == ("pre_evaluate", "generate", "respond")


def test_a_caller_cannot_turn_it_on() -> None:
    with pytest.raises(PolicyError, match="draft_with_candidates"):
        GuardPolicy(overridable=frozenset({"draft_with_candidates"}))
