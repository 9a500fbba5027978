"""What the guard asks of those who evaluate: pictures, answers, and how alike picture and text are.

Scores are plain floats on the evaluator's own scale; it is the nodes that hold them against a
threshold, so that no implementation can call safe what it could not evaluate: a score that is not
finite, or an exception, is *unscored*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from PIL.Image import Image

from eta_guard.view_names import ViewName

Direction = Literal["above", "below"]
"""On which side of its threshold a score is unsafe; at the threshold itself it is so on both."""


@dataclass(frozen=True)
class Region:
    """A part of a picture, in shares of its width and height from its upper left corner."""

    left: float
    top: float
    right: float
    bottom: float
    score: float | None = None
    """Of this part alone, on the evaluator's scale."""

    def in_floats(self) -> Region:
        """The same in Python's own numbers, whichever library's an evaluator gives."""
        left, top, right, bottom = map(float, (self.left, self.top, self.right, self.bottom))
        score = None if self.score is None else float(self.score)
        return Region(left, top, right, bottom, score)


@dataclass(frozen=True)
class Finding:
    """What an evaluator says of one picture."""

    score: float
    category: str | None = None
    """The hazard it is nearest to, where the evaluator tells several apart."""
    regions: tuple[Region, ...] = ()
    """Where it was found, the most unsafe first; empty where the evaluator cannot say."""
    view: str | None = None
    """The view that scored so, such as ``"turned_90"``; None of an evaluator without views."""


@dataclass(frozen=True)
class Views:
    """In which views pictures are to be looked at."""

    names: tuple[ViewName, ...] = ("whole",)
    """The policy's ``views``."""
    sides: tuple[int, ...] | None = None
    """To which the chat model's processor scales the shorter side of a picture, in pixels; None
    where that is not known."""
    always: bool = False
    """Also of pictures that are clearly safe by the published view."""


class Evaluator(Protocol):
    """What every evaluator has, of pictures or of answers. Safe to share between threads.

    One that asks over a network says so by an attribute ``remote = True``, and has asynchronous
    forms: those are asked at the same time.
    """

    @property
    def name(self) -> str:
        """Under which its evaluations stand in the verdict, and its threshold in the policy."""
        ...

    @property
    def fingerprint(self) -> str:
        """Names the model and its weights, for the verdict."""
        ...

    @property
    def threshold(self) -> float | None:
        """Used where the policy's ``thresholds`` do not name this evaluator.

        None: the policy's ``image_threshold`` or ``response_threshold``, which are on the scales
        of the paper's evaluators.
        """
        ...

    @property
    def unsafe(self) -> Direction:
        """On which side of the threshold scores are unsafe."""
        ...

    @property
    def cost(self) -> float:
        """What one evaluation costs, roughly: the parameters it goes through, in billions.

        It does nothing but order evaluators: the cheaper are asked first.
        """
        ...


@runtime_checkable
class ImageEvaluator(Evaluator, Protocol):
    """Scores pictures (by CLIP in the paper)."""

    def evaluate(
        self, images: Sequence[Image], prompt: str, question: str = ""
    ) -> Sequence[Finding]:
        """Scores each picture.

        Args:
            images: RGB images of any size.
            prompt: The policy's ``safety_prompt``, for those that compare pictures with a text.
            question: The text of the turn that is answered, for those that read it.

        Returns:
            One finding a picture, in their order. A picture that is asked about again (agents
            resend their history) should cost nothing.
        """
        ...


@runtime_checkable
class SeesViews(Protocol):
    """What an ``ImageEvaluator`` also has if it can look at a picture in other views.

    It is then asked by this method, and by ``evaluate`` no more.
    """

    @property
    def views_fingerprint(self) -> str:
        """Names what the scores of other views than the published one are held against."""
        ...

    def evaluate_views(
        self, images: Sequence[Image], prompt: str, views: Views
    ) -> Sequence[Finding]:
        """Scores each picture by the most unsafe of its views.

        Args:
            images: RGB images of any size.
            prompt: The policy's ``safety_prompt``.
            views: Which; the scores of one that is not the published view are comparable with its,
                or it is left out.

        Returns:
            One finding a picture, in their order, with ``view``.
        """
        ...


@runtime_checkable
class CategorizesImages(Protocol):
    """What an ``ImageEvaluator`` also has if the category costs it a further reading.

    It is asked of pictures that were found unsafe, and that have no category yet.
    """

    def categorize(self, image: Image, question: str = "") -> str | None:
        """The hazard that the picture shows; None where there is no telling."""
        ...


@runtime_checkable
class Likeness(Protocol):
    """Compares a picture with texts: the CLIP term of the search. Safe to share between threads."""

    def likeness(self, image: Image, texts: Sequence[str]) -> list[float]:
        """Cosine similarity of the whole picture with each text.

        Args:
            image: As the published preprocessing sees it; no other view counts.
            texts: Candidate sentences; what the text tower cannot hold is cut.

        Returns:
            One value a text, in [-1, 1]. The picture is encoded once, however often it is asked.
        """
        ...


class ResponseSession(Protocol):
    """Scores continuations of one growing answer under one prompt."""

    def score(self, continuations: Sequence[str]) -> list[float]:
        """Scores ``accepted text + continuation`` for each continuation."""
        ...

    def accept(self, text: str) -> None:
        """Appends ``text`` to the accepted text."""
        ...


@runtime_checkable
class CategorizesResponses(Protocol):
    """What a ``ResponseSession`` also has if it can name the hazard of an answer.

    It is asked of answers that were found unsafe.
    """

    def categorize(self, continuation: str) -> str | None:
        """The hazard of ``accepted text + continuation``; None where there is no telling."""
        ...


@runtime_checkable
class ResponseEvaluator(Evaluator, Protocol):
    """Scores answers (by a reward model in the paper)."""

    def open(
        self, prompt: str, question: str = "", pictures: Sequence[Image] = ()
    ) -> ResponseSession:
        """Begins to score answers; costs nothing yet.

        Args:
            prompt: The fixed user turn of the paper, under which reward models score an answer.
            question: The text of the turn that is answered, for those that read it.
            pictures: Those that the model was shown, for evaluators that look at them.
        """
        ...
