"""An answer before all evaluators of answers, whole or as it grows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import perf_counter

from eta_guard import counts
from eta_guard.errors import log_failure
from eta_guard.panel.evaluation import CombinedEvaluation, Evaluation, Limit, Outcome
from eta_guard.panel.in_turn import in_turn, spared
from eta_guard.panel.readings import further_readings
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import (
    CategorizesResponses,
    Finding,
    ResponseEvaluator,
    ResponseSession,
)
from eta_guard.request.conversation import Conversation
from eta_guard.steps import Steps, ask
from eta_guard.text.readings import Reading

logger = logging.getLogger(__name__)


class AnswerEvaluations:
    """Evaluates one answer under the post-evaluation prompt (paper, equation 4)."""

    def __init__(
        self,
        evaluators: Sequence[ResponseEvaluator],
        conversation: Conversation,
        policy: GuardPolicy,
    ) -> None:
        """Begins before the first word; nobody is asked yet.

        Args:
            evaluators: At least one.
            conversation: What the answer is to.
            policy: Has the prompt and the thresholds.
        """
        self._evaluators, self._policy = evaluators, policy
        self._conversation = conversation
        self.accepted = ""
        """The text that is evaluated with whatever comes after it."""
        self._sessions: dict[str, ResponseSession] = {}
        self._read: dict[str, str] = {}
        self._passed: dict[str, set[str]] = {}
        """By evaluator the further readings that were safe: as an answer grows, most come again."""

    def evaluate(self, texts: Sequence[str]) -> Steps[CombinedEvaluation]:
        """Evaluates ``accepted + text`` for each text: all must be safe for the whole to be.

        So must all readings of each be that the policy asks for.

        Returns:
            Of each evaluator its most unsafe evaluation, one without a score before all others.
        """

        def evaluate(evaluator: ResponseEvaluator, _: list[int]) -> Steps[list[Evaluation]]:
            return self._by_one(evaluator, texts)

        (found,) = yield from in_turn(self._evaluators, evaluate, 1, self._policy)
        return CombinedEvaluation.together(found, spared=spared(self._evaluators, found))

    def without_asking(self, outcome: Outcome, reason: str) -> CombinedEvaluation:
        """What there is to say of an answer that nobody needs to be asked about."""
        limit = Limit.of_response(self._evaluators[0], self._policy)
        found = Evaluation.unscored(limit, reason).model_copy(
            update={"outcome": outcome, "evaluator": ""}
        )
        return CombinedEvaluation.together([found])

    def accept(self, text: str) -> None:
        """Appends to the accepted text; costs nothing until the next evaluation."""
        self.accepted += text

    def _by_one(
        self, evaluator: ResponseEvaluator, texts: Sequence[str]
    ) -> Steps[list[Evaluation]]:
        limit = Limit.of_response(evaluator, self._policy)
        begun = perf_counter()
        try:
            found = yield from self._worst(evaluator, limit, texts)
        except Exception as error:  # whatever an evaluator raises, the answer is not safe
            log_failure(logger, f"The response evaluator {evaluator.name}", error)
            found = Evaluation.unscored(limit, type(error).__name__)
        return [found.model_copy(update={"seconds": perf_counter() - begun})]

    def _worst(
        self, evaluator: ResponseEvaluator, limit: Limit, texts: Sequence[str]
    ) -> Steps[Evaluation]:
        """The most unsafe of all texts and of their readings, with its category."""
        counts.add_evaluations(evaluator.name, len(texts))
        session = yield from self._session(evaluator)
        found = yield from _evaluated(session, limit, texts, ["" for _ in texts])
        each = [(found_one, session, text) for found_one, text in zip(found, texts, strict=True)]
        passed = self._passed.setdefault(evaluator.name, set())
        further = [one for one in self._further(texts) if one.text not in passed]
        if further:
            counts.add_evaluations(evaluator.name, len(further))
            # A reading is of the whole answer: what was accepted of it may read otherwise, too.
            afresh = yield from self._opened(evaluator)
            names, read = [one.name for one in further], [one.text for one in further]
            found = yield from _evaluated(afresh, limit, read, names)
            passed.update(
                text for one, text in zip(found, read, strict=True) if one.outcome == "safe"
            )
            each += [(found_one, afresh, text) for found_one, text in zip(found, read, strict=True)]
        worst, session, text = max(each, key=lambda one: one[0].unsafety)
        return (yield from self._categorized(evaluator, session, worst, text))

    def _further(self, texts: Sequence[str]) -> list[Reading]:
        known: dict[str, Reading] = {}
        for text in texts:
            for one in further_readings(self.accepted + text, self._policy):
                known.setdefault(one.text, one)
        return list(known.values())

    def _session(self, evaluator: ResponseEvaluator) -> Steps[ResponseSession]:
        """The evaluator's session, at the end of the accepted text."""
        name = evaluator.name
        if name not in self._sessions:
            self._sessions[name] = yield from self._opened(evaluator)
            self._read[name] = ""
        if new := self.accepted[len(self._read[name]) :]:
            yield from ask(self._sessions[name].accept, new)
            self._read[name] = self.accepted
        return self._sessions[name]

    def _opened(self, evaluator: ResponseEvaluator) -> Steps[ResponseSession]:
        question = self._conversation.question
        pictures = [picture.pixels for picture in self._conversation.pictures]
        return (yield from ask(evaluator.open, self._policy.post_prompt, question, pictures))

    def _categorized(
        self,
        evaluator: ResponseEvaluator,
        session: ResponseSession,
        found: Evaluation,
        text: str,
    ) -> Steps[Evaluation]:
        """The evaluation with its category, where the evaluator names one."""
        if found.outcome != "unsafe" or not isinstance(session, CategorizesResponses):
            return found
        try:
            category = yield from ask(session.categorize, text)
            # A model that writes categories may write down what it has read: that is withheld.
            return found.with_category(category, withheld=self.accepted + text)
        except Exception as error:  # the score stands without it
            log_failure(logger, f"The category of the response evaluator {evaluator.name}", error)
            return found


def _evaluated(
    session: ResponseSession, limit: Limit, texts: Sequence[str], names: Sequence[str]
) -> Steps[list[Evaluation]]:
    """An evaluation of each text, under the name of the reading that it is."""
    scores = yield from ask(session.score, texts)
    if len(scores) != len(texts):
        raise ValueError(f"{len(scores)} scores for {len(texts)} texts")
    each = [Evaluation.of(Finding(score), limit) for score in scores]
    return [
        one.model_copy(update={"reading": name}) if name else one
        for one, name in zip(each, names, strict=True)
    ]
