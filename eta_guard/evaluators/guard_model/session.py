"""Scores a growing answer by a guard model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from PIL.Image import Image

from eta_guard import counts
from eta_guard.evaluators.guard_model.asking import Asked, Asking, Category
from eta_guard.evaluators.guard_model.reader import Reader
from eta_guard.evaluators.guard_model.verdict import worst
from eta_guard.text.windows import windows


class GuardSession:
    """A ``ResponseSession``: the accepted text, and what is asked about its continuations.

    Each lot of pictures and each policy is a line of questions of its own, whose beginning is read
    once; the worst of them counts.
    """

    def __init__(
        self, reader: Reader, asking: Asking, question: str, pictures: Sequence[Image]
    ) -> None:
        self._reader: Any = reader
        self._asking, self._question, self._pictures = asking, question, tuple(pictures)
        self._accepted = ""
        self._violated: dict[str, str] = {}
        self._chains: list[Any] = [reader.begin(stem) for stem in self._about("")]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: withheld>"

    def score(self, continuations: Sequence[str]) -> list[float]:
        """The score of ``accepted text + continuation`` for each, in [0, 1] or NaN.

        Those that read alike are asked about once, and so tie exactly. What is longer than the
        model's context is read in windows that overlap, the question too where it takes more than
        half of that; the worst counts.

        Raises:
            EvaluationError: What is asked beside question and answer leaves no room.
        """
        texts, lines = self._lines(continuations)
        if not texts:
            return []
        told = self._told(lines)
        for number, (line, scores) in enumerate(zip(lines, told, strict=True)):
            for place, (asked, score) in enumerate(zip(line, scores, strict=True)):
                if math.isnan(score) and not self._reader.holds(asked):
                    scores[place] = self._in_windows(self._accepted + texts[place], number)
        return self._scores(continuations, texts, told)

    def accept(self, text: str) -> None:
        """Appends ``text`` to the accepted text; asks nothing."""
        self._accepted += text
        self._violated.clear()
        for chain, stem in zip(self._chains, self._about(self._accepted), strict=True):
            if chain is not None:
                chain.stem = stem

    def categorize(self, continuation: str) -> str | None:
        """What an unsafe answer violates: the policy, or the category that the model puts it into.

        None where there is no telling. A policy is told of answers that were scored last.
        """
        found = self._category(continuation)
        return self._reader.category(found) if isinstance(found, Category) else found

    def _category(self, continuation: str) -> Category | str | None:
        """The policy that was found violated; or what to ask the model."""
        if continuation in self._violated:
            return self._violated[continuation]
        (asked, *_) = self._about(self._accepted + continuation)
        return self._asking.category(asked, self._asking.answer)

    def _lines(self, continuations: Sequence[str]) -> tuple[list[str], list[list[Asked]]]:
        """The continuations, each once, and the questions about them line by line."""
        texts = list(dict.fromkeys(continuations))
        asked = [self._about(self._accepted + text) for text in texts]
        return texts, [list(line) for line in zip(*asked, strict=True)]

    def _told(self, lines: Sequence[Sequence[Asked]]) -> list[list[float]]:
        return [
            self._reader.scores(line, chain)
            for line, chain in zip(lines, self._chains, strict=True)
        ]

    def _scores(
        self, continuations: Sequence[str], texts: Sequence[str], told: Sequence[Sequence[float]]
    ) -> list[float]:
        policies = [asked.policy for asked in self._about("")]
        scores = {}
        for text, row in zip(texts, zip(*told, strict=True), strict=True):
            scores[text] = worst(row)
            if not math.isnan(scores[text]) and (name := policies[row.index(scores[text])]):
                self._violated[text] = name
        return [scores[text] for text in continuations]

    def _in_windows(self, answer: str, line: int) -> float:
        """The worst score of a line's questions about parts of what is too long for one."""

        def about(question: str, part: str) -> Asked:
            return self._about(part, question)[line]

        # One that would fit twice leaves half of the room to the answer.
        questions = windows(self._question, lambda part: self._reader.holds(about(part * 2, "")))
        asked = [
            about(question, part)
            for question in questions
            for part in windows(answer, partial(self._fits, about, question))
        ]
        counts.add("guard_windows", len(asked))
        return worst(score for one in asked for score in self._reader.scores([one]))

    def _fits(self, about: Callable[[str, str], Asked], question: str, part: str) -> bool:
        return bool(self._reader.holds(about(question, part)))

    def _about(self, answer: str, question: str | None = None) -> list[Asked]:
        question = self._question if question is None else question
        return self._asking.about_answer(self._pictures, question, answer)
