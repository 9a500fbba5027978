"""Asks the methods one case, and has each answer judged."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

from eta_guard.errors import InputError
from eta_guard.evaluation.cases import SuiteCase
from eta_guard.evaluation.judges.chat import Ask
from eta_guard.evaluation.judges.pairwise import Comparison, compare
from eta_guard.evaluation.judges.protocol import Judge, Judgement
from eta_guard.evaluation.methods.catalogue import STANDARD, method_named
from eta_guard.evaluation.methods.trial import Drawn, Trial
from eta_guard.evaluation.records import BEFORE, Answer, CaseRecord
from eta_guard.policy import GuardPolicy
from eta_guard.pretrained import Parts
from eta_guard.protocols import Engine

WORD = r"\w+"


@dataclass(frozen=True)
class CaseRunner:
    """Everything that a case needs to be asked and judged.

    Args:
        parts: The three models.
        judge: Says what an answer did.
        methods: Names that ``method_named`` knows; ``plain`` is always asked as well, since the
            others are compared with it.
        policy: Thresholds, prompts and search of the guarded methods.
        comparisons: Pairs of methods whose shown answers ``arbiter`` compares.
        arbiter: A chat model.
        before: A second policy, whose full guard answers as well, under the name ``BEFORE``.
    """

    parts: Parts
    judge: Judge
    methods: Sequence[str] = STANDARD
    policy: GuardPolicy = field(default_factory=GuardPolicy.paper)
    comparisons: Sequence[tuple[str, str]] = ()
    arbiter: Ask | None = None
    before: GuardPolicy | None = None

    def run(self, case: SuiteCase) -> CaseRecord:
        """Asks every method.

        Raises:
            EtaGuardError: The case cannot be read, or the engine failed. A judge or an evaluator
                that fails is recorded instead.
        """
        trial = Trial(case, self.parts, self.policy, lambda: self.mapped_engine)
        try:
            image = trial.image
        except InputError as error:
            raise type(error)(f"Case {case.id}: {error.message}", hint=error.hint) from error
        compared = (name for pair in self.comparisons for name in pair)
        names = dict.fromkeys(["plain", *self.methods, *compared])
        drawn = {name: method_named(name)(trial) for name in names}
        other = trial.under(self.before) if self.before else None
        if other:
            drawn[BEFORE] = method_named("full")(other)
        # Methods that let the plain answer pass share its judgement and its score.
        judged: Callable[[str], Judgement] = cache(lambda text: self.judge(case, text))
        scored: Callable[[str], float | None] = cache(trial.reward)
        return CaseRecord(
            id=case.id,
            question=case.question,
            hazardous=case.hazardous,
            kind=case.kind,
            attack=case.attack,
            has_image=image is not None,
            place=case.place,
            image=image.evaluation if image else None,
            image_before=other.image.evaluation if other and other.image else None,
            response=trial.response.evaluation,
            answers={
                name: self._answer(found, judged(found.text), scored(self._shown(found)), case)
                for name, found in drawn.items()
            },
            comparisons=self._compared(case, drawn),
            models={
                "chat_model": self.parts["engine"].fingerprint,
                **trial.panel.models,
            },
            thresholds={
                one.name: one.threshold
                for one in (*trial.panel.images, *trial.panel.responses)
                if one.threshold is not None
            },
        )

    @cached_property
    def mapped_engine(self) -> Engine:
        """The chat model with alternating mapping.

        Raises:
            InputError: It does not run in this process.
            UnsupportedModelError: Its pictures cannot be mapped.
        """
        from eta_guard.engines.local.engine import LocalEngine

        engine = self.parts["engine"]
        if not isinstance(engine, LocalEngine):
            raise InputError(
                "The method mapped needs a chat model in this process.", hint="Leave it out."
            )
        return LocalEngine(
            engine.model,
            engine.processor,
            fingerprint=engine.fingerprint,
            alternating_mapping=True,
            presentation=engine.presentation,
        )

    def _compared(self, case: SuiteCase, drawn: Mapping[str, Drawn]) -> dict[str, Comparison]:
        if self.arbiter is None:
            return {}
        shown = {name: self._shown(found) for name, found in drawn.items()}
        return {
            f"{name}:{other}": compare(self.arbiter, case.question, shown[name], shown[other])
            for name, other in self.comparisons
        }

    def _shown(self, drawn: Drawn) -> str:
        return self.policy.refusal_message if drawn.withheld else drawn.text

    def _answer(
        self, drawn: Drawn, judgement: Judgement, reward: float | None, case: SuiteCase
    ) -> Answer:
        verdict = drawn.verdict
        return Answer(
            text=drawn.text,
            withheld=drawn.withheld,
            judgement=judgement,
            reward=reward,
            decision=drawn.decision,
            route=verdict.route if verdict else (),
            final=verdict.final if verdict else None,
            sentences=verdict.sentences if verdict else 0,
            seconds=drawn.cost.seconds,
            counts=dict(drawn.cost.counts),
            correct=holds(self._shown(drawn), case.truth) if case.truth else None,
        )


def holds(answer: str, truths: Sequence[str]) -> bool:
    """Whether the answer holds one of the known answers, word for word but for case and stops."""
    said = _words(answer)
    return any(_words(truth) in said for truth in truths)


def _words(text: str) -> str:
    return f" {' '.join(re.findall(WORD, text.lower()))} "
