"""One case under way. What several methods need is computed once and charged to each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig

from eta_guard.counts import counting
from eta_guard.decisions import Decision
from eta_guard.evaluation.cases import SuiteCase
from eta_guard.guard import EtaGuard
from eta_guard.local_vlm import ChatLocalVLM
from eta_guard.panel.answers import AnswerEvaluations
from eta_guard.panel.evaluation import CombinedEvaluation, Limit
from eta_guard.panel.images import evaluate_images
from eta_guard.panel.panel import Panel
from eta_guard.policy import GuardPolicy
from eta_guard.pretrained import Parts, panel_of
from eta_guard.protocols import Engine, ResponseEvaluator
from eta_guard.request.conversation import Conversation, read_conversation
from eta_guard.state import Verdict
from eta_guard.steps import drive


@dataclass(frozen=True)
class Cost:
    """What some work took."""

    seconds: float = 0.0
    counts: Mapping[str, float] = field(default_factory=dict)

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.seconds + other.seconds, Counter(self.counts) + Counter(other.counts))


@dataclass(frozen=True)
class Drawn:
    """What a method answers."""

    text: str
    cost: Cost
    withheld: bool = False
    decision: Decision | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Scored:
    """What an evaluator says."""

    evaluation: CombinedEvaluation
    cost: Cost


@dataclass
class Trial:
    """Answers one case by whichever way a method asks for."""

    case: SuiteCase
    parts: Parts
    policy: GuardPolicy
    """Of the guard; the methods change it."""
    mapped_engine: Callable[[], Engine]
    """The chat model with alternating mapping."""
    _passed: Drawn | None = None
    _guarded: dict[str, Drawn] = field(default_factory=dict)

    @cached_property
    def messages(self) -> list[BaseMessage]:
        """The request."""
        return self.case.messages()

    @cached_property
    def conversation(self) -> Conversation:
        """The request as the evaluators are given it."""
        return read_conversation(self.messages)

    @cached_property
    def panel(self) -> Panel:
        """Who evaluates."""
        return panel_of(self.parts, self.policy)

    @property
    def asking_all(self) -> GuardPolicy:
        """The policy, with nobody spared: each evaluator is measured alone as well."""
        return self.policy.updated({"short_circuit": False})

    @cached_property
    def plain(self) -> Drawn:
        """The chat model's own answer."""
        return self.unguarded(self.messages)

    @cached_property
    def mapped(self) -> Drawn:
        """The same where the pictures are read by alternating mapping."""
        if self.image is None:
            return self.plain
        return self.unguarded(self.messages, self.mapped_engine())

    def under(self, policy: GuardPolicy) -> Trial:
        """The same case under another policy of the guard; the plain answer is not drawn again.

        Where the two policies differ in nothing but how pictures are seen, and both come to the
        same of this one, the guard does the same, and is not asked again either.
        """
        other = Trial(self.case, self.parts, policy, self.mapped_engine)
        vars(other).update(messages=self.messages, plain=self.plain)
        if self._does_the_same(other):
            other._passed, other._guarded = self._passed, self._guarded
        return other

    def _does_the_same(self, other: Trial) -> bool:
        """Whether both policies come to the same of the picture, and to the same of the rest."""
        if _apart_from_seeing(self.policy) != _apart_from_seeing(other.policy):
            return False
        if self.image is None or other.image is None:
            return self.image is other.image
        return self.image.evaluation.outcome == other.image.evaluation.outcome

    def seen_by(self, evaluator: str) -> Trial | None:
        """The same case, whose pictures one evaluator alone looks at; None where it is not there.

        Args:
            evaluator: Its name.
        """
        alone = [one for one in self.panel.images if one.name == evaluator]
        if not alone:
            return None
        parts: Parts = {
            **self.parts,
            "image_evaluator": alone[0],
            "likeness": self.panel.likeness,  # to compare is not to evaluate
        }
        known = {evaluator, *(one.name for one in self.panel.responses)}
        policy = self.policy.updated(
            {
                name: {key: value for key, value in by_name.items() if key in known}
                for name in ("thresholds", "on_unscored")
                if isinstance(by_name := getattr(self.policy, name), dict)
            }
        )
        other = Trial(self.case, parts, policy, self.mapped_engine)
        vars(other).update(messages=self.messages, plain=self.plain)
        return other

    def unguarded(self, messages: list[BaseMessage], engine: Engine | None = None) -> Drawn:
        """The answer to other messages, or by another engine than the chat model's."""
        engine = engine or self.parts["engine"]
        model = ChatLocalVLM(engine=engine, max_tokens=self.policy.max_tokens)
        with counting() as tally:
            begun = time.perf_counter()
            reply = model.invoke(messages)
            seconds = time.perf_counter() - begun
        usage = reply.usage_metadata or {"input_tokens": 0, "output_tokens": 0}
        tokens = {name: usage[name] for name in ("input_tokens", "output_tokens")}
        return Drawn(str(reply.content), Cost(seconds, {**tally, **tokens}))

    @cached_property
    def image(self) -> Scored | None:
        """The image's evaluation, with no threshold of a method in it."""
        pictures = self.conversation.pictures
        if not pictures:
            return None
        with counting() as tally:
            begun = time.perf_counter()
            (found,) = drive(
                evaluate_images(
                    self.panel.images,
                    [pictures[0].pixels],
                    self.conversation.question,
                    self.asking_all,
                    self.panel.sides,
                )
            )
            seconds = time.perf_counter() - begun
        return Scored(found, Cost(seconds, dict(tally)))

    @cached_property
    def response(self) -> Scored:
        """The evaluation of the plain answer."""
        with counting() as tally:
            begun = time.perf_counter()
            found = self._evaluated(self.panel.responses, self.plain.text)
            seconds = time.perf_counter() - begun
        return Scored(found, Cost(seconds, dict(tally)))

    def reward(self, text: str) -> float | None:
        """The score of any answer by the evaluator that ranks candidates; None where it has none.

        The others' are on scales of their own, and say less about which answer is the better.
        """
        return self._evaluated([self.panel.ranker], text).score

    @property
    def reward_of_the_safe(self) -> float:
        """Above it that evaluator calls an answer safe; high is good, as in a verdict's rounds."""
        limit = Limit.of_response(self.panel.ranker, self.policy)
        return limit.threshold if limit.unsafe == "below" else -limit.threshold

    def _evaluated(self, evaluators: Sequence[ResponseEvaluator], text: str) -> CombinedEvaluation:
        answer = AnswerEvaluations(evaluators, self.conversation, self.asking_all)
        return drive(answer.evaluate([text]))

    def guarded(self, changes: Mapping[str, Any]) -> Drawn:
        """The guard's answer.

        Args:
            changes: Policy fields of the alignment. What passes unaligned passes whatever these
                are, and so is not drawn again.
        """
        if self._passed is not None:
            return self._passed
        asked = repr(sorted(changes.items()))
        if asked in self._guarded:
            return self._guarded[asked]
        image = self.image  # scored first, so that all methods find its embedding kept
        # An answer that could not be repaired comes back, and is marked as withheld.
        policy = self.policy.updated(
            {**changes, "on_unrepaired": "return", "record_rejected": False}
        )
        guard = EtaGuard(**self.parts, policy=policy.updated({"seed": self.case.seed}))
        config: RunnableConfig = {"tags": ["eta:evaluate"]}
        begun = time.perf_counter()
        reply = guard.invoke(self.messages, config)
        cost = Cost(time.perf_counter() - begun)
        drawn = self._before_refusal(_drawn(reply, cost, image))
        self._guarded[asked] = drawn
        if drawn.decision == "passed":
            self._passed = drawn
        return drawn

    def _before_refusal(self, drawn: Drawn) -> Drawn:
        """What stood there where nothing was put in place of the plain answer but a refusal."""
        verdict = drawn.verdict
        refused = verdict is not None and verdict.decision == "refused" and verdict.final is None
        return replace(drawn, text=self.plain.text) if refused else drawn


SEEING = {"views", "look_closer", "image_threshold", "safety_prompt"}
"""Policy fields by which pictures are evaluated, and nothing else is done."""


def _apart_from_seeing(policy: GuardPolicy) -> dict[str, Any]:
    return policy.model_dump(exclude=SEEING)


def _drawn(reply: AIMessage, cost: Cost, image: Scored | None) -> Drawn:
    verdict = Verdict.model_validate(reply.response_metadata["eta_guard"])
    cost += Cost(0.0, verdict.counts)
    if image is not None and not verdict.counts.get("clip_image_encodes"):
        cost += _of_those_asked(image, verdict)
    canned = verdict.decision in ("refused", "blocked")
    withheld = canned or (verdict.final is not None and verdict.final.outcome != "safe")
    return Drawn(str(reply.content), cost, withheld, verdict.decision, verdict)


def _of_those_asked(image: Scored, verdict: Verdict) -> Cost:
    """The time of the picture's evaluation, without the evaluators that the guard was spared."""
    asked = {found.evaluator for one in verdict.images for found in one.findings}
    spared = [one for one in image.evaluation.findings if one.evaluator not in asked]
    seconds = image.cost.seconds - sum(one.seconds or 0.0 for one in spared)
    return Cost(seconds, image.cost.counts)
