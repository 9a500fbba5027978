"""Follows a draft as it is drawn, and stops it once what it says so far is unsafe."""

from __future__ import annotations

import logging

from eta_guard import counts
from eta_guard.errors import log_failure
from eta_guard.panel.evaluation import CombinedEvaluation, Evaluation, Limit
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Finding, ResponseEvaluator, ResponseSession
from eta_guard.request.conversation import Conversation
from eta_guard.text.sentences import first_boundary

logger = logging.getLogger(__name__)


class DraftWatch:
    """A ``Watch`` that scores a draft at each of its sentence ends.

    It stops at a score that lies ``margin`` or more beyond the threshold, and at nothing else: a
    draft that it cannot score is drawn to its end, and evaluated whole like any other.
    """

    def __init__(
        self,
        evaluator: ResponseEvaluator,
        conversation: Conversation,
        policy: GuardPolicy,
        margin: float,
    ) -> None:
        """Begins before the first word.

        Args:
            evaluator: Scores the text so far, at the cost of its new sentences.
            conversation: What the draft answers.
            policy: Has the prompt and the threshold, which are those of a whole answer.
            margin: On the evaluator's scale.
        """
        self.unsafe: CombinedEvaluation | None = None
        """Of the text at which the draft was stopped; None as long as it goes on."""
        self._evaluator, self._policy, self._margin = evaluator, policy, margin
        self._conversation = conversation
        self._scores: ResponseSession | None = None
        self._scored, self._read, self._sentences = "", 0, 0
        self._failed = False

    def __call__(self, text: str) -> bool:
        """Scores the text up to its last sentence end, if that is a new one."""
        if self.unsafe or self._failed:
            return self.unsafe is not None
        while (end := first_boundary(text[self._read :])) is not None:
            self._read += end
            self._sentences += 1
        # Stripped, as the whole answer is when it is scored.
        so_far = text[: self._read].strip()
        if so_far != self._scored:
            self.unsafe = self._by_the_margin(so_far)
        return self.unsafe is not None

    def _by_the_margin(self, so_far: str) -> CombinedEvaluation | None:
        limit = Limit.of_response(self._evaluator, self._policy)
        try:
            if self._scores is None:
                pictures = [picture.pixels for picture in self._conversation.pictures]
                self._scores = self._evaluator.open(
                    self._policy.post_prompt, self._conversation.question, pictures
                )
            new = so_far[len(self._scored) :]
            (score,) = self._scores.score([new])
            self._scores.accept(new)
            counts.add_evaluations(limit.evaluator, 1)
            found = Evaluation.of(Finding(score), limit)
        except Exception as error:  # the whole draft is evaluated anyhow
            log_failure(logger, f"The response evaluator {limit.evaluator}", error)
            self._failed = True
            return None
        self._scored = so_far
        if found.score is None or limit.beyond(found.score) < self._margin:
            return None
        reason = f"stopped after sentence {self._sentences}"
        return CombinedEvaluation.together([found.model_copy(update={"reason": reason})])
