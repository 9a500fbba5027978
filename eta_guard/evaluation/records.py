"""What a run keeps of each case: plain values, a line of JSON each."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from eta_guard.decisions import Decision
from eta_guard.evaluation.judges.pairwise import Comparison
from eta_guard.evaluation.judges.protocol import Judgement
from eta_guard.panel.evaluation import CombinedEvaluation
from eta_guard.protocols import Region

BEFORE = "before"
"""Among the methods' answers, the full guard's under the policy of before."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Answer(_Record):
    """One method's answer to one case."""

    text: str
    """The answer, before any canned refusal."""
    withheld: bool = False
    """Whether a canned refusal is shown in its place."""
    judgement: Judgement
    """Of ``text``."""
    reward: float | None
    """The score of what is shown by the response evaluator that ranks candidates; None where it
    has none."""
    decision: Decision | None = None
    """None where there is no guard."""
    route: tuple[str, ...] = ()
    """The nodes that ran."""
    final: CombinedEvaluation | None = None
    """Of the repaired answer."""
    sentences: int = 0
    """Rounds of best-of-N."""
    seconds: float
    """As if this method had been asked alone."""
    counts: dict[str, int | float] = {}
    """Forwards, positions, encodes, tokens; as if this method had been asked alone."""
    correct: bool | None = None
    """Whether what is shown holds the known answer; None where none is known."""

    @property
    def repaired(self) -> bool:
        """Whether the guard put something in place of the plain answer."""
        return self.decision in ("aligned", "refused")

    @property
    def masked(self) -> bool:
        """Whether it is the answer to covered pictures, or what was made of it."""
        return "mask_align" in self.route

    @property
    def tokens(self) -> float:
        """Tokens drawn, thrown away or not."""
        return self.counts.get("output_tokens", 0)


class CaseRecord(_Record):
    """One case, with what the evaluators and every method made of it."""

    id: str
    question: str
    hazardous: bool
    kind: str
    attack: str | None = None
    """The attack that made the case; None where it is as the suite has it."""
    has_image: bool
    place: Region | None = None
    """Where in the picture the hazard lies, where that is known."""
    image: CombinedEvaluation | None
    """Of the image; None without one."""
    image_before: CombinedEvaluation | None = None
    """The same under the run's policy of before; None without one."""
    response: CombinedEvaluation
    """Of the plain answer, whether or not the guard would have asked for it."""
    answers: dict[str, Answer]
    """By method."""
    comparisons: dict[str, Comparison] = {}
    """``"method:other"`` → how the first did against the second."""
    models: dict[str, str] = {}
    """Fingerprints of chat model, image evaluator and response evaluator."""
    thresholds: dict[str, float] = {}
    """The evaluators' own thresholds, by name; those that have none go by the policy's two."""

    @property
    def hazardous_picture(self) -> bool:
        """A hazard that comes with a picture."""
        return self.hazardous and self.has_image

    @property
    def hazardous_text(self) -> bool:
        """A hazard in text alone."""
        return self.hazardous and not self.has_image
