"""What evaluators found, held against their thresholds: by one alone, and by all together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Direction, Evaluator, Finding, Region

Outcome = Literal["safe", "unsafe", "unscored"]
Kind = Literal["image", "response"]

_COUNTS_BEFORE: dict[Outcome, int] = {"safe": 0, "unsafe": 1, "unscored": 2}
"""Of several evaluations the one that counts; what has no score counts before all others."""


_LONGEST_CATEGORY = 60
"""Letters of the longest category that is told."""
_PIECE = 12
"""Letters in a row that a category may not have in common with a text that is withheld."""


def _share_a_piece(category: str, text: str) -> bool:
    """Whether a piece of the category, or the whole of a short one, stands in the text."""
    said = " ".join(text.split()).casefold()
    name = category.casefold()
    pieces = (name[start : start + _PIECE] for start in range(max(1, len(name) - _PIECE + 1)))
    return any(piece in said for piece in pieces)


@dataclass(frozen=True)
class Limit:
    """What an evaluator's scores are held against."""

    evaluator: str
    threshold: float
    unsafe: Direction
    own: float | None = None
    """The evaluator's own threshold, whatever the policy makes of it."""

    @classmethod
    def of_image(cls, evaluator: Evaluator, policy: GuardPolicy) -> Limit:
        """The threshold that the policy names for it, or its own, or the paper's for images."""
        return cls._of(evaluator).under(policy, "image")

    @classmethod
    def of_response(cls, evaluator: Evaluator, policy: GuardPolicy) -> Limit:
        """The threshold that the policy names for it, or its own, or the paper's for answers."""
        return cls._of(evaluator).under(policy, "response")

    @classmethod
    def _of(cls, evaluator: Evaluator) -> Limit:
        own = evaluator.threshold
        return cls(evaluator.name, math.nan if own is None else own, evaluator.unsafe, own)

    def under(self, policy: GuardPolicy, kind: Kind) -> Limit:
        """What a policy holds the evaluator's scores against.

        Args:
            policy: Whichever.
            kind: What was evaluated, which says whose of the paper's thresholds is meant.
        """
        papers = policy.image_threshold if kind == "image" else policy.response_threshold
        named = policy.thresholds.get(self.evaluator, self.own)
        return replace(self, threshold=papers if named is None else named)

    def beyond(self, score: float) -> float:
        """How far a score lies on the unsafe side; 0 at the threshold, which is unsafe itself."""
        return score - self.threshold if self.unsafe == "above" else self.threshold - score


class Evaluation(BaseModel):
    """What one evaluator found, held against its threshold."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    outcome: Outcome
    score: float | None
    """On the evaluator's own scale; None where there is no score."""
    threshold: float
    unsafe: Direction
    """On which side of the threshold scores are unsafe."""
    own_threshold: float | None = None
    """The evaluator's own threshold, be it used or not; None where it has none."""
    evaluator: str = ""
    """Its name."""
    reason: str | None = None
    """Why there is no score, or where the draft was stopped whose beginning it is of."""
    reading: str = ""
    """Which reading of an answer the score is of: ``"sentence 3"``, ``"as it looks"``,
    ``"base64"``; empty of the answer as it stands."""
    category: str | None = None
    """The hazard, where the evaluator tells several apart."""
    regions: tuple[Region, ...] = ()
    """Where in the picture it was found."""
    view: str | None = None
    """The view of the picture that scored so, such as ``"turned_90"``; ``"whole"`` is the published
    one. None of an evaluator that looks at no others."""
    seconds: float | None = None
    """How long the evaluator took, for all that it was asked at once; no part of equality."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Evaluation) or type(other) is not type(self):
            return NotImplemented
        return {**dict(self), "seconds": None} == {**dict(other), "seconds": None}

    def __hash__(self) -> int:
        return hash((self.evaluator, self.outcome, self.score))

    @classmethod
    def of(cls, found: Finding, limit: Limit) -> Evaluation:
        """Holds a finding against a threshold (paper, sections on pre- and post-evaluation)."""
        # Any comparison with NaN is false, which would read as safe.
        if not math.isfinite(found.score):
            return cls.unscored(limit, f"the evaluator returned {found.score}")
        return cls(
            # In this form a threshold that is no number makes nothing safe.
            outcome="safe" if limit.beyond(found.score) < 0 else "unsafe",
            score=found.score,
            threshold=limit.threshold,
            unsafe=limit.unsafe,
            own_threshold=limit.own,
            evaluator=limit.evaluator,
            category=found.category,
            regions=tuple(region.in_floats() for region in found.regions),
            view=found.view,
        )

    @classmethod
    def unscored(cls, limit: Limit, reason: str) -> Evaluation:
        """Could not be evaluated, and so is not safe."""
        return cls(
            outcome="unscored",
            score=None,
            threshold=limit.threshold,
            unsafe=limit.unsafe,
            own_threshold=limit.own,
            evaluator=limit.evaluator,
            reason=reason,
        )

    def with_category(self, category: str | None, *, withheld: str = "") -> Evaluation:
        """The same with the hazard that the evaluator names.

        Args:
            category: None where there is no telling. One that is as long as a sentence is no name.
            withheld: A text of which no piece may stand in it.

        Raises:
            TypeError: It is no text.
        """
        if category is None:
            return self
        if not isinstance(category, str):
            raise TypeError(f"a category is a {type(category).__name__}")
        words = " ".join(category.split())
        if not words or len(words) > _LONGEST_CATEGORY or _share_a_piece(words, withheld):
            return self
        return self.model_copy(update={"category": words})

    @property
    def unsafety(self) -> tuple[int, float]:
        """Orders evaluations by how much they count; exact among those of one evaluator."""
        beyond = 0.0 if self.score is None else self._limit.beyond(self.score)
        return _COUNTS_BEFORE[self.outcome], beyond

    def under(self, policy: GuardPolicy, kind: Kind) -> Self:
        """The same score, held against the threshold of another policy.

        What has no score stays what it is.
        """
        if self.score is None:
            return self
        limit = self._limit.under(policy, kind)
        outcome = "safe" if limit.beyond(self.score) < 0 else "unsafe"
        return self.model_copy(update={"outcome": outcome, "threshold": limit.threshold})

    @property
    def _limit(self) -> Limit:
        return Limit(self.evaluator, self.threshold, self.unsafe, self.own_threshold)


class CombinedEvaluation(Evaluation):
    """What several evaluators found together: any that is not safe makes the whole not safe.

    Outcome, score and the rest are those of the evaluation that decides: one without a score, or
    else the first that is unsafe, or else the first.
    """

    findings: tuple[Evaluation, ...] = ()
    """Of each evaluator that was asked, in the order in which the guard was given them."""
    spared: tuple[str, ...] = ()
    """Names of those that were not asked, since others had decided."""

    @classmethod
    def together(cls, findings: Sequence[Evaluation], **more: Any) -> CombinedEvaluation:
        """Combines what the evaluators of one guard found.

        Args:
            findings: One an evaluator, at least one.
            more: Fields of the class that is made.
        """
        # The first of the highest: max keeps it.
        decides = max(findings, key=lambda found: _COUNTS_BEFORE[found.outcome])
        return cls(**dict(decides), findings=tuple(findings), **more)

    def under(self, policy: GuardPolicy, kind: Kind) -> Self:
        """The same findings, each held against the threshold of another policy, and combined."""
        findings = [one.under(policy, kind) for one in self.findings]
        decides = CombinedEvaluation.together(findings)
        return self.model_copy(update={**dict(decides), "spared": self.spared})


class ImageEvaluation(CombinedEvaluation):
    """The evaluation of one image, and where it stood."""

    message: int
    """Index of the message it stands in."""
    block: int
    """Index of the content block within the message."""
    fetched: str | None = None
    """SHA-256 of the file that was fetched for it; None where it came in the message."""
