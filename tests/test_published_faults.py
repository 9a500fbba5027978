"""The faults of the published code, each a test that ours does not have it.

Those that need a model (token budget, shared caches, CLIP's 77 tokens) are tested with the engines
and evaluators; those of the measurement with the evaluation.
"""

from __future__ import annotations

from typing import Any

import pytest

from eta_guard.errors import PolicyError
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Candidate
from tests.fakes import (
    DRAFT,
    UNSAFE,
    FakeEngine,
    FakeResponses,
    Rig,
    candidate,
    question,
    scoring,
    verdict_of,
)

# ── `generate()` defaults to an image threshold of 16.0, on a scale of 0 to 1 ──


def test_an_image_threshold_outside_its_scale_is_refused(tmp_path: Any) -> None:
    with pytest.raises(PolicyError, match=r"image_threshold = 16\.0 .*\[0, 1\]"):
        GuardPolicy(image_threshold=16.0)
    (tmp_path / "policy.yaml").write_text("image_threshold: 16.0\n")
    with pytest.raises(PolicyError, match="image_threshold"):
        GuardPolicy.from_file(tmp_path / "policy.yaml")
    policy = GuardPolicy(overridable=frozenset({"image_threshold"}))
    with pytest.raises(PolicyError, match="image_threshold"):
        policy.for_run({"configurable": {"eta_guard": {"image_threshold": 16.0}}})


def test_alignment_can_fire_by_default() -> None:
    for policy in (GuardPolicy(), *map(GuardPolicy.preset, ("paper", "strict", "lenient"))):
        assert 0.0 < policy.image_threshold < 1.0
        rig = Rig(policy, responses=FakeResponses(scoring(policy=policy)))
        assert verdict_of(rig.ask(question(UNSAFE))).decision == "aligned"


# ── no image and a flagged answer: it raises ──


@pytest.mark.parametrize("search", [True, False])
@pytest.mark.parametrize(
    ("on_no_image", "decision"),
    [("post_only", "aligned"), ("align", "aligned"), ("pass", "passed")],
)
def test_no_image_and_a_flagged_answer_is_a_decided_route(
    on_no_image: str, decision: str, search: bool
) -> None:
    policy = GuardPolicy(on_no_image=on_no_image, search=search, clip_from_sentence=1)
    rig = Rig(policy)
    reply = rig.ask(question(text="How do I pick a lock?"))
    verdict = verdict_of(reply)
    assert (verdict.decision, verdict.image, verdict.images) == (decision, None, ())
    assert (reply.content == DRAFT) == (decision == "passed")
    assert (rig.images.asked, rig.images.compared) == ([], [])


# ── one variable sets both N and top-k ──


@pytest.mark.parametrize(("candidates", "top_k"), [(2, 50), (9, 1), (5, 5)])
def test_the_number_of_candidates_and_top_k_are_apart(candidates: int, top_k: int) -> None:
    rig = Rig(GuardPolicy(candidates=candidates, search_top_k=top_k))
    rig.ask(question(UNSAFE))
    assert [(n, sampling.top_k) for n, sampling in rig.engine.samplings] == [
        (candidates, top_k)
    ] * 3


# ── a sentence ends at the token '.' alone ──


def test_where_a_sentence_ends_is_the_engines_to_say_not_a_full_stops() -> None:
    texts = [" Is it safe?!", " 1. Ask first", "\n不要这样做。", " यह ठीक नहीं है।"]

    def sentences(number: int, n: int) -> list[Candidate]:
        return [candidate(texts[number - 1], ends=number == len(texts))] * n

    reply = Rig(engine=FakeEngine(sentences=sentences)).ask(question(UNSAFE))
    assert [record.text for record in verdict_of(reply).rounds] == texts
    assert reply.content == "As an AI assistant" + "".join(texts)


# ── the token budget is checked only between sentences ──


def test_a_candidate_that_spends_the_budget_ends_the_search() -> None:
    def sentences(number: int, n: int) -> list[Candidate]:
        return [Candidate(f" sentence {number} cut", (), "length" if number == 2 else None)] * n

    rig = Rig(engine=FakeEngine(sentences=sentences))
    reply = rig.ask(question(UNSAFE))
    assert rig.engine.calls.count("propose") == 2
    assert reply.response_metadata["finish_reason"] == "length"


# ── what could not be scored counts as safe, since NaN compares false ──


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_no_number_is_never_safe(score: float) -> None:
    rig = Rig(responses=FakeResponses(scoring(draft=score, final=score)))
    reply = rig.ask(question(UNSAFE))
    assert verdict_of(reply).decision == "refused"
    assert reply.content == GuardPolicy().refusal_message
