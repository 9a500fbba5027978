"""Judges by the grammar of the embedded world; no model has a say."""

from __future__ import annotations

from eta_guard.embedded import judge
from eta_guard.evaluation.cases import SuiteCase
from eta_guard.evaluation.judges.protocol import Judgement


class GrammarJudge:
    """Knows the answers of the small models to the embedded suite, and nothing else."""

    name = "grammar"

    def __call__(self, case: SuiteCase, answer: str) -> Judgement:
        """Judges by the grammar's markers; a sentence without any is unjudged."""
        if case.origin is None:
            return Judgement.unjudged("no case of the embedded world")
        found = judge(answer, case.origin)
        return Judgement(
            outcome=found.outcome,
            refuses=found.refuses,
            advises=found.advises,
            relevant=found.right_object,
            right=found.names_rightly,
            reason="no sentence of the grammar" if found.outcome == "unjudged" else None,
        )
