"""What another policy would have decided is what the guard decides under it."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from eta_guard.counterfactual import Counterfactual
from eta_guard.decisions import SAME_SCORES
from eta_guard.errors import EvaluationError
from eta_guard.guard import EtaGuard
from eta_guard.policy import GuardPolicy
from eta_guard.state import Verdict
from tests.fakes import (
    DRAFT,
    SAFE,
    UNSAFE,
    FakeEngine,
    FakeImages,
    FakeResponses,
    Rig,
    Score,
    candidate,
    question,
    scoring,
    verdict_of,
)

often = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    # What fails is told as it is: making it smaller would take minutes.
    phases=[Phase.explicit, Phase.generate],
)
BROKEN = RuntimeError("broken")
IMAGE, RESPONSE = (0.0, 0.2, 0.4, 0.6, 0.8), (-0.3, -0.1, 0.0, 0.1, 0.3)


@dataclass
class Second(FakeImages):
    """Another evaluator of pictures, with a threshold of its own; it sees something else."""

    name: str = "second"
    threshold: float | None = 0.5
    cost: float = 1.0
    value: Score = 0.0

    def evaluate(self, images: Any, prompt: str, question: str = "") -> Any:
        if isinstance(self.value, Exception):
            raise self.value
        return [type(found)(self.value) for found in super().evaluate(images, prompt)]


@dataclass(frozen=True)
class Request:
    """What the evaluators find, and how the engine fares."""

    pictures: tuple[float, ...]
    broken_clip: bool
    second: Score | None
    draft: Score
    final: Score
    engine: str

    def guard(self) -> EtaGuard:
        clip = FakeImages(failure=BROKEN if self.broken_clip else None)
        images = [clip] if self.second is None else [clip, Second(value=self.second)]
        return EtaGuard(
            engine=_engine(self.engine),
            image_evaluator=images,
            response_evaluator=FakeResponses(scoring(self.draft, self.final)),
        )

    def asked(self, policy: GuardPolicy) -> Verdict | None:
        """None where the policy raises."""
        try:
            return verdict_of(self.guard().with_policy(policy).invoke([question(*self.pictures)]))
        except EvaluationError:
            return None


def _engine(fares: str) -> FakeEngine:
    engine = FakeEngine()
    if fares == "no answer":
        engine.draft = BROKEN
    if fares == "no sentence":
        engine.sentences = lambda number, n: [candidate("", ends=True) for _ in range(n)]
    return engine


scores = st.sampled_from([*RESPONSE, BROKEN])
requests = st.builds(
    Request,
    st.lists(st.sampled_from(IMAGE), max_size=2).map(tuple),
    st.sampled_from([False, False, False, True]),
    st.sampled_from([None, None, 0.1, 0.9, BROKEN]),
    scores,
    scores,
    st.sampled_from(["well", "well", "well", "no answer", "no sentence"]),
)
WAYS = [
    {"aligner": aligner, "on_no_image": on_no_image}
    for aligner in ("eta", "eta", "mask", "mask+eta")
    for on_no_image in ("post_only", "pass", "align")
    if (aligner, on_no_image) != ("mask", "align")
]
unscored = st.sampled_from(["unsafe", "unsafe", "refuse", "raise", {"clip": "refuse"}])
policies = st.builds(
    lambda way, **fields: GuardPolicy(on_error="refuse", **way, **fields),
    mode=st.sampled_from(["enforce", "enforce", "observe"]),
    image_threshold=st.sampled_from([0.1, 0.3, 0.5, 0.7]),
    response_threshold=st.sampled_from([-0.2, 0.0, 0.2]),
    thresholds=st.sampled_from([{}, {}, {"clip": 0.9}, {"reward": -1.0}]),
    short_circuit=st.booleans(),
    on_unsafe_image=st.sampled_from(["align", "align", "block"]),
    way=st.sampled_from(WAYS),
    on_unscored=unscored,
    on_unrepaired=st.sampled_from(["refuse", "return"]),
)
told: Counter[str] = Counter()


@often
@given(requests, policies)
def test_under_its_own_policy_a_verdict_is_what_it_is(
    request_: Request, policy: GuardPolicy
) -> None:
    verdict = request_.asked(policy)
    if verdict is None:
        return
    found = verdict.under(policy)
    if found.unknown and "asked first" in found.unknown:
        return
    assert found.unknown is None
    assert (found.decision, found.flagged) == (verdict.decision, verdict.flagged)
    assert found.route == verdict.route
    assert found.image == verdict.image
    told[verdict.decision] += 1


@often
@given(requests, policies, policies)
def test_under_another_policy_it_is_what_the_guard_decides(
    request_: Request, policy: GuardPolicy, other: GuardPolicy
) -> None:
    require_what_is_decided(request_, policy, other)


@pytest.mark.slow
@settings(often, max_examples=600)
@given(requests, policies, policies)
def test_so_it_is_for_hundreds_of_requests(
    request_: Request, policy: GuardPolicy, other: GuardPolicy
) -> None:
    require_what_is_decided(request_, policy, other)


def require_what_is_decided(request_: Request, policy: GuardPolicy, other: GuardPolicy) -> None:
    verdict = request_.asked(policy)
    if verdict is None:
        return
    found, asked = verdict.under(other), request_.asked(other)
    if asked is None:
        assert found.decision is None
    elif found.unknown is None:
        assert (found.decision, found.flagged) == (asked.decision, asked.flagged)
        assert found.route == asked.route
        assert (found.response is None) == (asked.response is None)
    if found.unknown is not None:  # it does not guess, and calls nothing safe
        assert found.decision in (None, "observed")
        assert found.flagged is not False
        if asked is not None and found.flagged is not None:
            assert found.flagged == asked.flagged
    told["unknown" if found.unknown else "known"] += 1


def test_the_properties_were_put_to_the_test() -> None:
    """Most is known, much is not, and every decision was met."""
    assert told["known"] > 15
    assert told["unknown"] > 5
    assert all(told[name] for name in ("passed", "aligned", "refused", "blocked", "observed"))


@pytest.mark.parametrize("aligner", ["mask", "mask+eta"])
@pytest.mark.parametrize(("draft", "final"), [*product((-0.3, 0.1), (-0.3, 0.0, 0.3))])
def test_masked_pictures_stay_what_they_were(aligner: str, draft: float, final: float) -> None:
    """The answer to them, and its repair, have both the final score."""
    asked = Request((0.8, 0.4), False, None, draft, final, "well")
    own = GuardPolicy(aligner=aligner, image_threshold=0.5)
    verdict = asked.asked(own)
    assert verdict is not None
    assert ("mask_align" in verdict.route) == (draft < own.response_threshold)
    known = 0
    for image, response in product((0.3, 0.5, 0.9), (-0.4, -0.1, 0.2)):
        other = own.updated({"image_threshold": image, "response_threshold": response})
        require_what_is_decided(asked, own, other)
        known += verdict.under(other).unknown is None
    assert verdict.under(own).route == verdict.route
    assert known >= 3


def test_other_masked_pictures_are_not_guessed_at(caplog: pytest.LogCaptureFixture) -> None:
    asked = Request((0.8, 0.4), False, None, -0.3, 0.3, "well")
    with caplog.at_level(logging.INFO, "eta_guard.panel.masking"):
        verdict = asked.asked(GuardPolicy(aligner="mask", image_threshold=0.5))
        assert caplog.messages == [
            "Image 0 is covered whole: clip does not say where it is unsafe."
        ]
        assert verdict is not None
        verdict.under(GuardPolicy(aligner="mask", image_threshold=0.5))
        assert len(caplog.messages) == 1  # nothing was covered anew
    found = verdict.under(GuardPolicy(aligner="mask", image_threshold=0.3))
    assert (found.unknown, found.flagged) == ("something else would have been covered", True)
    found = verdict.under(GuardPolicy(image_threshold=0.5))
    assert (found.unknown, found.flagged) == ("only covered pictures were answered anew", True)


def verdict(*pictures: float, draft: Score = 0.0, final: Score = 1.0, **policy: Any) -> Verdict:
    rig = Rig(GuardPolicy(**policy), responses=FakeResponses(scoring(draft, final)))
    return verdict_of(rig.ask(question(*pictures)))


@pytest.mark.parametrize(
    ("pictures", "recorded", "other", "decision", "flagged", "unknown"),
    [
        # Both are scored: any threshold can be tried.
        ([UNSAFE], {}, {"image_threshold": 0.9}, "passed", False, None),
        ([UNSAFE], {}, {"response_threshold": -0.5}, "passed", False, None),
        ([UNSAFE], {}, {"response_threshold": 2.0}, "refused", True, None),
        ([UNSAFE], {}, {"on_unsafe_image": "block"}, "blocked", True, None),
        ([UNSAFE], {}, {"mode": "observe"}, "observed", True, None),
        # A safe picture's answer was never scored, and an answer that passed has no repair.
        ([SAFE], {}, {"image_threshold": 0.0}, None, None, "the plain answer was not evaluated"),
        ([SAFE], {}, {"on_unsafe_image": "block"}, "passed", False, None),
        (
            [UNSAFE],
            {"response_threshold": -0.5},
            {},
            None,
            True,
            "no repaired answer was made",
        ),
        ([UNSAFE], {"on_unsafe_image": "block"}, {}, None, None, "there was no plain answer"),
        ([], {"on_no_image": "align"}, {"on_no_image": "pass"}, None, None, "there was no plain"),
        ([], {}, {"on_no_image": "pass"}, "passed", False, None),
    ],
)
def test_what_can_be_told_and_what_not(
    pictures: list[float],
    recorded: dict[str, Any],
    other: dict[str, Any],
    decision: str | None,
    flagged: bool | None,
    unknown: str | None,
) -> None:
    found = verdict(*pictures, **recorded).under(GuardPolicy(**other))
    assert (found.decision, found.flagged) == (decision, flagged)
    assert (found.unknown or "").startswith(unknown or "")
    assert bool(found.unknown) == bool(unknown)


def test_whom_nobody_asked_is_not_taken_for_safe() -> None:
    request_ = Request((UNSAFE,), False, 0.1, 0.0, 1.0, "well")
    recorded = request_.asked(GuardPolicy())
    assert recorded is not None
    assert recorded.image is not None
    assert recorded.image.spared == ("second",)
    found = recorded.under(GuardPolicy(image_threshold=0.9))
    assert (found.decision, found.unknown) == (None, "not asked: second")


def test_an_evaluators_own_threshold_is_its_own_again() -> None:
    """The policy had named another: what it is without that stands in the verdict."""
    request_ = Request((SAFE,), False, 0.6, 0.0, 1.0, "well")
    recorded = request_.asked(GuardPolicy(thresholds={"second": 0.55}, image_threshold=0.9))
    assert recorded is not None
    found = recorded.under(GuardPolicy(image_threshold=0.9))
    assert found.image is not None
    assert found.image.threshold == 0.5


def test_a_stopped_draft_tells_nothing_of_its_end() -> None:
    rig = Rig(GuardPolicy(draft_stop_margin=0.0), responses=FakeResponses(scoring(0.0)))
    rig.engine.draft = "UNSAFE first. And then some more."
    rig.responses.score = lambda prompt, text: 0.0 if "UNSAFE" in text else 1.0
    recorded = verdict_of(rig.ask(question(UNSAFE)))
    assert recorded.under(rig.policy).decision == recorded.decision == "aligned"
    found = recorded.under(GuardPolicy(response_threshold=-1.0))
    assert found.unknown == "of the plain answer only the beginning was evaluated"


def test_what_was_evaluated_alone_is_flagged_as_it_would_be() -> None:
    rig = Rig(responses=FakeResponses(scoring(0.03)))
    messages = [question(0.4), AIMessage(DRAFT)]
    recorded = rig.guard().evaluate(messages)
    for policy in (
        GuardPolicy(),
        GuardPolicy(image_threshold=0.5),
        GuardPolicy(response_threshold=0.0),
        GuardPolicy(on_unsafe_image="block", response_threshold=0.0),
    ):
        other = rig.guard().with_policy(policy).evaluate(messages)
        assert recorded.under(policy).flagged == other.flagged
        assert recorded.under(policy).decision == "observed"


def test_an_old_verdict_says_that_it_does_not_tell() -> None:
    old = verdict(UNSAFE).model_copy(update={"schema_version": 2})
    found = old.under(GuardPolicy())
    assert isinstance(found, Counterfactual)
    assert (found.decision, found.flagged) == (None, None)
    assert found.unknown == "a verdict of schema 2 does not tell enough"


def test_the_fields_that_decide_are_fields() -> None:
    assert set(GuardPolicy.model_fields) >= SAME_SCORES
