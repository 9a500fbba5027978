"""Evaluates pictures and answers by a guard model, wherever it runs."""

from __future__ import annotations

from collections.abc import Sequence

from PIL.Image import Image

from eta_guard.evaluators.guard_model.asking import Asking, Category
from eta_guard.evaluators.guard_model.guard_format import GuardFormat
from eta_guard.evaluators.guard_model.pictures import PicturePlan
from eta_guard.evaluators.guard_model.reader import Reader
from eta_guard.evaluators.guard_model.session import GuardSession
from eta_guard.evaluators.kept_findings import KeptFindings
from eta_guard.protocols.evaluators import Direction, Finding
from eta_guard.text.plain_text import PlainText


class GuardEvaluator:
    """An ``ImageEvaluator`` and a ``ResponseEvaluator`` over a guard model.

    A score is the probability of an unsafe verdict among the verdicts, in [0, 1]; NaN where the
    model has something else than a verdict to say. Scores of pictures are kept, by pixels and
    question. Safe to share between threads.

    A family that sees nothing raises ``UnsupportedModelError`` as image evaluator, and one that is
    for pictures alone as response evaluator; ``sees`` and ``reads`` say so beforehand.
    """

    unsafe: Direction = "above"
    """Scores from the threshold up are unsafe."""

    def __init__(
        self,
        reader: Reader,
        form: GuardFormat,
        *,
        fingerprint: str,
        name: str = "guard_model",
        threshold: float | None = 0.5,
        cost: float = 1.0,
        kept_pictures: int = 256,
    ) -> None:
        """Wraps what asks the model; ``GuardModelEvaluator`` makes it.

        Args:
            reader: Asks the model.
            form: How it is asked.
            fingerprint: Names the model and its weights.
            name: Under which its evaluations stand in the verdict.
            threshold: Used where the policy has none for this name; in [0, 1].
            cost: Parameters in billions.
            kept_pictures: Most scores of pictures kept.

        Raises:
            UnsupportedModelError: The format lacks a policy that it needs.
        """
        self.name, self.threshold, self.cost = name, threshold, cost
        self._fingerprint = fingerprint
        self.format = form
        self._reader = reader
        # What is text in the prompt too can be told from a user's by nothing but a change.
        known = set(reader.control_tokens)
        delimiters = PlainText(word for word in form.control if word not in known)
        self._asking = Asking(form, lambda text: reader.plain(delimiters(text)))
        self._kept = KeptFindings(kept_pictures)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.fingerprint!r}, {self.format.name!r})"

    @property
    def fingerprint(self) -> str:
        """Names the model and its weights."""
        return self._fingerprint

    @property
    def sees(self) -> bool:
        """Whether it can evaluate pictures."""
        return self.format.image is not None

    @property
    def reads(self) -> bool:
        """Whether it can evaluate answers."""
        return self.format.answer is not None

    def evaluate(
        self, images: Sequence[Image], prompt: str, question: str = ""
    ) -> Sequence[Finding]:
        """Scores each picture, together with the question that it was shown with.

        Args:
            images: RGB images of any size; those that were not asked about yet are one batch.
            prompt: Not read: a guard model has its own instruction.
            question: The text of the turn that is answered.

        Returns:
            One finding a picture, with the policy that it violates most where there are several.

        Raises:
            UnsupportedModelError: The model cannot see.
        """
        plan = self._plan(images, question)
        return plan.findings(self._reader.scores(plan.asked) if plan.asked else [])

    def categorize(self, image: Image, question: str = "") -> str | None:
        """The category that the model puts an unsafe picture into; None if it has none."""
        found = self._category(image, question)
        return self._reader.category(found) if found else None

    def open(self, prompt: str, question: str = "", pictures: Sequence[Image] = ()) -> GuardSession:
        """Begins to score answers to ``question``.

        Args:
            prompt: Not read: it is the turn under which reward models score an answer.
            question: The text of the turn that is answered.
            pictures: Those that the model was shown; left out by a guard model that cannot see.

        Raises:
            UnsupportedModelError: The model is for pictures alone.
        """
        return GuardSession(self._reader, self._asking, question, pictures)

    def _category(self, image: Image, question: str) -> Category | None:
        (asked, *_) = self._asking.about_picture(image, question)
        return self._asking.category(asked, self._asking.image)

    def _plan(self, images: Sequence[Image], question: str) -> PicturePlan:
        _ = self._asking.image  # or the mistake would show with the first picture
        return PicturePlan.of(images, question, self._asking, self._kept)
