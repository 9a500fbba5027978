"""Several evaluators of a kind in one guard."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from PIL import Image

from eta_guard import EtaGuard, GuardPolicy
from eta_guard.errors import PolicyError, UnsupportedModelError
from eta_guard.panel.evaluation import Evaluation, Limit
from eta_guard.panel.panel import Panel
from eta_guard.protocols import Finding, Region
from tests.fakes import (
    DRAFT,
    SAFE,
    UNSAFE,
    FakeEngine,
    FakeImages,
    FakeResponses,
    FakeResponseSession,
    question,
    scoring,
    verdict_of,
)


@dataclass
class Images(FakeImages):
    """Another evaluator of images, with a threshold of its own."""

    name: str = "other"
    threshold: float | None = 0.5
    cost: float = 1.0
    finding: Finding | Exception = field(default_factory=lambda: Finding(0.0))
    questions: list[str] = field(default_factory=list)
    """Of each picture that it was asked about."""

    def evaluate(
        self, images: Sequence[Image.Image], prompt: str, question: str = ""
    ) -> list[Finding]:
        self.questions += [question] * len(images)
        if isinstance(self.finding, Exception):
            raise self.finding
        return [self.finding] * len(images)


@dataclass
class Categorizing(Images):
    """Names the hazard, which costs it a further reading."""

    categorized: int = 0

    def categorize(self, image: Image.Image, question: str = "") -> str | None:
        self.categorized += 1
        return "placeholder hazard"


@dataclass
class GuardModel(FakeResponses):
    """Scores answers by the probability that they are unsafe, and sees what they are to."""

    name: str = "guard_model"
    threshold: float | None = 0.5
    unsafe: Any = "above"
    cost: float = 4.0
    seen: list[tuple[str, int]] = field(default_factory=list)

    def open(
        self, prompt: str, question: str = "", pictures: Sequence[Image.Image] = ()
    ) -> FakeResponseSession:
        self.seen.append((question, len(pictures)))
        return FakeResponseSession(self, prompt)


ALL = GuardPolicy(short_circuit=False)


def unsafe_by_half(prompt: str, text: str) -> float:
    return 0.9 if text == DRAFT else 0.1


def guard(images: Any = None, responses: Any = None, policy: GuardPolicy | None = None) -> EtaGuard:
    return EtaGuard(
        engine=FakeEngine(),
        image_evaluator=images or FakeImages(),
        response_evaluator=responses or FakeResponses(scoring()),
        policy=policy or GuardPolicy(),
    )


# ── images ──


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("finding", [Finding(0.5), Finding(float("nan")), RuntimeError("broken")])
def test_any_that_is_unsafe_or_fails_makes_the_image_unsafe(finding: Any, place: int) -> None:
    several: list[Any] = [FakeImages(), FakeImages(name="third")]
    several.insert(place, Images(finding=finding))
    verdict = verdict_of(guard(several).invoke([question(SAFE)]))
    assert verdict.decision == "aligned"
    assert verdict.image is not None
    assert verdict.image.evaluator == "other"
    assert verdict.image.outcome == ("unsafe" if finding == Finding(0.5) else "unscored")
    assert verdict.image.threshold == 0.5


def test_every_finding_stands_in_the_verdict_by_name() -> None:
    region = Region(0.0, 0.25, 0.5, 1.0, 0.9)
    found = Finding(0.9, "placeholder hazard", (region,))
    several = [FakeImages(), Images(finding=found)]
    policy = GuardPolicy(short_circuit=False)
    reply = guard(several, policy=policy).invoke([question(UNSAFE, text="What is it?")])
    verdict = verdict_of(reply)
    assert verdict.image is not None
    clip, other = verdict.image.findings
    assert (clip.evaluator, clip.score, clip.threshold) == ("clip", 0.8, 0.16)
    assert (other.evaluator, other.score, other.threshold) == ("other", 0.9, 0.5)
    assert (other.category, other.regions) == ("placeholder hazard", (region,))
    assert all(one.seconds is not None and one.seconds >= 0 for one in verdict.image.findings)
    assert several[1].questions == ["What is it?"]  # type: ignore[attr-defined]
    assert verdict.counts["evaluations_clip"] == verdict.counts["evaluations_other"] == 1
    assert verdict.models["image_evaluator"] == "fake-clip@0, fake-clip@0"


@pytest.mark.parametrize("short_circuit", [True, False])
def test_the_cheap_ones_are_asked_first_and_the_dear_ones_only_where_it_matters(
    short_circuit: bool,
) -> None:
    dear, cheap = Images(cost=8.0), FakeImages(cost=0.4)
    policy = GuardPolicy(short_circuit=short_circuit)
    model = guard([dear, cheap], policy=policy)
    safe = verdict_of(model.invoke([question(SAFE)]))
    assert safe.decision == "passed"
    assert (len(cheap.asked), len(dear.questions)) == (1, 1)
    unsafe = verdict_of(model.invoke([question(SAFE, UNSAFE)]))
    # What is called safe has been before all of them, also beside an unsafe picture.
    assert len(dear.questions) == 1 + (1 if short_circuit else 2)
    names = [[one.evaluator for one in image.findings] for image in unsafe.images]
    assert names == [["other", "clip"], ["clip"] if short_circuit else ["other", "clip"]]
    assert [image.outcome for image in unsafe.images] == ["safe", "unsafe"]


def test_a_category_that_costs_a_reading_is_asked_for_flagged_pictures_alone() -> None:
    for score, asked in ((0.4, 0), (0.6, 1)):
        other = Categorizing(finding=Finding(score))
        verdict = verdict_of(guard([FakeImages(), other]).invoke([question(SAFE)]))
        assert verdict.image is not None
        assert other.categorized == asked
        told = [one.category for one in verdict.image.findings if one.evaluator == "other"]
        assert told == ["placeholder hazard" if asked else None]
    known = Categorizing(finding=Finding(0.6, "known"))
    verdict_of(guard(known, policy=GuardPolicy(alpha=0)).invoke([question(SAFE)]))
    assert known.categorized == 0


def test_a_category_that_fails_leaves_the_score() -> None:
    class Failing(Categorizing):
        def categorize(self, image: Image.Image, question: str = "") -> str | None:
            raise RuntimeError("broken")

    verdict = verdict_of(guard(Failing(finding=Finding(0.6))).invoke([question(SAFE)]))
    assert verdict.image is not None
    assert (verdict.image.outcome, verdict.image.score) == ("unsafe", 0.6)


def test_thresholds_go_by_name() -> None:
    several = [FakeImages(), Images(finding=Finding(0.6))]
    for thresholds, decision in (
        ({}, "aligned"),
        ({"other": 0.7}, "passed"),
        ({"other": 0.7, "clip": 0.0}, "aligned"),
    ):
        policy = GuardPolicy(thresholds=thresholds)
        assert verdict_of(guard(several, policy=policy).invoke([question(SAFE)])).decision == (
            decision
        )


# ── answers ──


def test_any_answer_evaluator_withholds_and_each_sees_what_it_answers() -> None:
    fine = FakeResponses(scoring(draft=1.0))
    doubting = GuardModel(unsafe_by_half)
    verdict = verdict_of(
        guard(responses=[fine, doubting]).invoke([question(UNSAFE, UNSAFE, text="What is it?")])
    )
    assert verdict.decision == "aligned"
    assert verdict.response is not None
    assert verdict.final is not None
    assert verdict.response.evaluator == "guard_model"
    assert [one.outcome for one in verdict.response.findings] == ["safe", "unsafe"]
    assert [one.outcome for one in verdict.final.findings] == ["safe", "safe"]
    assert doubting.seen == [("What is it?", 2)] * 2


def test_the_reward_model_ranks_wherever_it_stands() -> None:
    """A guard model's probabilities would pick another candidate."""

    def reward(text: str) -> float:
        return float(text[text.rindex("candidate ") :].split()[1].rstrip(".") == "3")

    for place in (0, 1):
        several: list[Any] = [FakeResponses(scoring(candidates=reward))]
        several.insert(place, GuardModel(unsafe_by_half))
        verdict = verdict_of(guard(responses=several).invoke([question(UNSAFE)]))
        assert [one.pick for one in verdict.rounds] == [3, 3, 3]


def test_without_a_reward_model_the_least_unsafe_candidate_is_kept() -> None:
    def unsafe(prompt: str, text: str) -> float:
        return 0.2 if text.endswith("candidate 2.") else unsafe_by_half(prompt, text) / 2 + 0.25

    alone = GuardModel(unsafe, threshold=0.4)
    verdict = verdict_of(guard(responses=alone).invoke([question(UNSAFE)]))
    assert [one.pick for one in verdict.rounds] == [2, 2, 2]
    assert verdict.rounds[0].candidates[2].reward == -0.2
    assert verdict.decision == "aligned"


# ── over a network ──


@dataclass
class Remote(Images):
    """Answers only once the others of its kind have been asked too."""

    remote: bool = True
    others: list[asyncio.Event] = field(default_factory=list)
    asked_at_once: asyncio.Event = field(default_factory=asyncio.Event)

    async def aevaluate(
        self, images: Sequence[Image.Image], prompt: str, question: str = ""
    ) -> list[Finding]:
        self.asked_at_once.set()
        await asyncio.wait_for(asyncio.gather(*(one.wait() for one in self.others)), 10)
        return self.evaluate(images, prompt, question)


async def test_those_over_a_network_are_asked_at_the_same_time() -> None:
    one, two = Remote(name="one"), Remote(name="two")
    one.others, two.others = [two.asked_at_once], [one.asked_at_once]
    verdict = verdict_of(await guard([one, FakeImages(), two]).ainvoke([question(SAFE)]))
    assert verdict.image is not None
    assert [found.outcome for found in verdict.image.findings] == ["safe"] * 3
    assert verdict.counts["evaluations_one"] == verdict.counts["evaluations_two"] == 1


# ── what is put together wrongly ──


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"image_evaluator": []}, "no ImageEvaluator"),
        ({"image_evaluator": [FakeImages(), FakeImages()]}, "Two evaluators have the name clip"),
        ({"response_evaluator": [FakeResponses(), object()]}, "object is no ResponseEvaluator"),
        ({"likeness": object()}, "object is no Likeness"),
    ],
)
def test_parts_that_do_not_fit_are_refused(given: dict[str, Any], told: str) -> None:
    parts = {"image_evaluator": FakeImages(), "response_evaluator": FakeResponses()} | given
    with pytest.raises(UnsupportedModelError, match=told):
        EtaGuard(engine=FakeEngine(), **parts)


def test_a_threshold_for_nobody_is_refused() -> None:
    policy = GuardPolicy(thresholds={"clipp": 0.3})
    with pytest.raises(PolicyError, match=r"clipp.*clip, reward"):
        guard(policy=policy)
    with pytest.raises(PolicyError, match="clipp"):
        guard().with_policy(policy)
    caller = GuardPolicy(overridable=frozenset({"thresholds"}))
    asked: Any = {"configurable": {"eta_guard": {"thresholds": {"clipp": 0.3}}}}
    with pytest.raises(PolicyError, match="clipp"):
        guard(policy=caller).invoke([question(SAFE)], asked)


class OnlyScores:
    """An evaluator of images that cannot compare them with texts."""

    name, fingerprint, threshold, unsafe, cost = "bare", "bare@0", 0.5, "above", 0.0

    def evaluate(self, images: Any, prompt: str, question: str = "") -> list[Finding]:
        return [Finding(1.0)] * len(images)


def test_likeness_is_a_seam_of_its_own() -> None:
    bare: Any = OnlyScores()
    parts: Any = {"engine": FakeEngine(), "response_evaluator": FakeResponses(scoring())}
    with pytest.raises(UnsupportedModelError, match="compares pictures with texts"):
        EtaGuard(image_evaluator=bare, **parts)
    without = EtaGuard(image_evaluator=bare, policy=GuardPolicy(alpha=0.0), **parts)
    assert verdict_of(without.invoke([question(SAFE)])).decision == "aligned"
    compares = FakeImages()
    beside = EtaGuard(image_evaluator=bare, likeness=compares, **parts)
    assert verdict_of(beside.invoke([question(SAFE)])).decision == "aligned"
    assert compares.compared
    assert compares.asked == []
    panel = Panel.of([bare, compares], FakeResponses(), None, GuardPolicy())
    assert panel.likeness is compares


def test_a_picture_beside_an_unsafe_one_is_not_called_safe_unasked() -> None:
    """A caller that drops the unsafe pictures alone would let it through."""

    class Finds(Images):
        def evaluate(
            self, images: Sequence[Image.Image], prompt: str, question: str = ""
        ) -> list[Finding]:
            black = [image.getpixel((0, 0)) == (0, 0, 0) for image in images]
            return [Finding(0.99 if dark else 0.1) for dark in black]

    verdict = guard([FakeImages(), Finds()]).evaluate([question(UNSAFE, 0.0)])
    assert [image.outcome for image in verdict.images] == ["unsafe", "unsafe"]


@pytest.mark.parametrize("threshold", [float("nan"), float("inf")])
def test_a_threshold_that_is_no_number_makes_nothing_safe(threshold: float) -> None:
    with pytest.raises(UnsupportedModelError, match="threshold of the evaluator other"):
        guard(Images(threshold=threshold, finding=Finding(0.99)))
    nan = Limit("other", float("nan"), "above")
    assert Evaluation.of(Finding(0.0), nan).outcome == "unsafe"


@dataclass
class Echoing(GuardModel):
    """Its categories repeat what it has read."""

    named: str = ""

    def open(self, *_: Any) -> FakeResponseSession:
        session: Any = FakeResponseSession(self, "")
        session.categorize = lambda text: self.named
        found: FakeResponseSession = session
        return found


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("S9", "S9"),
        ("Non-violent  Illegal Acts", "Non-violent Illegal Acts"),
        (DRAFT, None),
        (f"unsafe: {DRAFT[6:24]}", None),
        (DRAFT[:5].lower(), None),
        ("a name of a hazard that is rather long, as sentences are, and so is none", None),
    ],
)
def test_a_category_repeats_nothing_of_a_draft(named: str, told: str | None) -> None:
    doubting = Echoing(unsafe_by_half, named=named)
    model = guard(responses=[FakeResponses(scoring()), doubting], policy=ALL)
    response = verdict_of(model.invoke([question(UNSAFE)])).response
    assert response is not None
    assert response.findings[1].category == told


def test_what_is_put_together_stays_as_it_is() -> None:
    given: list[Any] = [FakeImages()]
    model = guard(given)
    given.append(Images(finding=Finding(0.9)))
    assert len(model.panel.images) == 1
    policy = GuardPolicy(thresholds={"clip": 0.3})
    with pytest.raises(TypeError, match="never changes"):
        policy.thresholds["clip"] = 0.9
    with pytest.raises(TypeError, match="never changes"):
        policy.thresholds.update(clip=0.9)
    assert hash(policy) == hash(GuardPolicy(thresholds={"clip": 0.3}))
    assert pickle.loads(pickle.dumps(policy)) == policy


def test_an_answer_that_somebody_could_not_evaluate_is_never_returned() -> None:
    class Failing(GuardModel):
        def open(self, *_: Any) -> FakeResponseSession:
            raise RuntimeError("broken")

    low = FakeResponses(scoring(final=0.0))
    policy = GuardPolicy(on_unrepaired="return")
    for several in ([low], [low, Failing(unsafe_by_half)]):
        verdict = verdict_of(guard(responses=several, policy=policy).invoke([question(UNSAFE)]))
        assert verdict.decision == ("aligned" if len(several) == 1 else "refused")


def test_one_name_is_one_evaluators() -> None:
    with pytest.raises(UnsupportedModelError, match="one of images, and another of answers"):
        guard([FakeImages(name="x")], [FakeResponses(name="x")])
