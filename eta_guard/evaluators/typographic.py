"""Reads the text in a picture and has it judged: the answer to typographic attacks.

A picture of a phrase looks harmless to an evaluator of pictures, and the question beside it ("fill
in the list") to one of texts; what the chat model is asked stands in both together.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

from PIL.Image import Image

from eta_guard.errors import UnsupportedModelError
from eta_guard.evaluators.bounded_cache import BoundedCache
from eta_guard.evaluators.kept_findings import KeptFindings
from eta_guard.evaluators.pixel_hash import pixel_hash
from eta_guard.evaluators.text_lines import VIEWS, TextLine, TextReader, read_every_way
from eta_guard.prompts import POST_PROMPT
from eta_guard.protocols import (
    CategorizesResponses,
    Direction,
    Finding,
    ResponseEvaluator,
    ResponseSession,
)
from eta_guard.text.readings import readings

NO_TEXT = 1e9
"""How far on the safe side of zero a picture without text scores.

No judge's scale and no threshold reaches so far, whatever the policy; yet it is finite (what is not
counts as unscored), in float32 too, and so are sums of it. The judge is not asked: a reward model's
score of an empty text, or of the question taken for an answer, would say nothing about the picture,
and flag every picture whose question it does not like.
"""


class TypographicEvaluator:
    """An ``ImageEvaluator`` that has the text in a picture judged by an evaluator of answers.

    The picture is read in its four quarter turns and inverted; its lines make one text. That is
    added to the question (``with_text``), and the judge is asked for the text as an answer to both.
    One in look-alikes, or in base64 and the like, is judged as it can be read as well, and the
    worst counts. The judge may be

    - a reward model, which is shown no question, scores [user = ``judge_prompt``, assistant =
      text]: whether the text, were the chat model to say it, would be a safe thing to say. One that
      was trained on answers may say little about bare phrases (the embedded one scores "a guide to
      the kite" and "a guide to the axe" alike): calibrate the threshold first, or take
    - a guard model: it reads question and answer, so it sees the whole request, and the text once
      more as an answer that takes it up.

    Score, direction and, unless another is given, threshold are the judge's. A picture without text
    scores ``NO_TEXT`` on the safe side, and so does one with a single letter, for which wheels and
    strokes are easily taken. Regions are the lines' places, in reading order. Letters that are
    mirrored are not read.

    Reading takes seconds on a CPU; what a picture says is kept under its pixels, and what the judge
    says of it under pixels and question. Safe to share between threads if reader and judge are.

    Args:
        judge: Scores the text.
        reader: Reads pictures; without one, ``RapidOcrReader`` (the extra ``ocr``).
        judge_prompt: The user turn under which a reward model scores the text. The ``prompt`` of
            ``evaluate`` is one that pictures are compared with.
        threshold: On the judge's scale. Has to be given where the judge has none of its own: the
            policy's ``image_threshold``, which would be used in its place, is on another scale.
        name: Under which evaluations stand in the verdict.
        kept: Most texts, and most findings, kept.

    Raises:
        ModelLoadError: There is no reader, and the extra is not installed.
        UnsupportedModelError: The judge has no threshold, and none is given.
    """

    def __init__(
        self,
        *,
        judge: ResponseEvaluator,
        reader: TextReader | None = None,
        judge_prompt: str = POST_PROMPT,
        threshold: float | None = None,
        name: str = "typographic",
        kept: int = 256,
    ) -> None:
        threshold = judge.threshold if threshold is None else threshold
        if threshold is None:
            raise UnsupportedModelError(
                f"The judge {judge.fingerprint} has no threshold of its own.",
                hint="Pass threshold=…, on its scale: for the paper's reward model, the policy's"
                " response_threshold.",
            )
        self._judge, self._judge_prompt = judge, judge_prompt
        self._reader = _default_reader() if reader is None else reader
        self.name, self.threshold = name, threshold
        self.fingerprint = f"{self._reader.fingerprint}+{judge.fingerprint}"
        self.cost = VIEWS * self._reader.cost + judge.cost
        self._texts: BoundedCache[bytes, tuple[TextLine, ...]] = BoundedCache(kept)
        self._kept = KeptFindings(kept)

    @property
    def unsafe(self) -> Direction:
        """On which side of the threshold scores are unsafe: the judge's."""
        return self._judge.unsafe

    def evaluate(
        self, images: Sequence[Image], prompt: str = "", question: str = ""
    ) -> list[Finding]:
        """The judge's score of what each picture says.

        Args:
            images: Pictures of any size; other modes than RGB are converted.
            prompt: Not read.
            question: The text of the turn that is answered.

        Returns:
            One finding a picture.
        """
        wanted = self._kept.of(images, question)
        return wanted.with_new([self._finding(picture, question) for picture in wanted.missing])

    def categorize(self, image: Image, question: str = "") -> str | None:
        """The hazard that the judge names; None where there is no text, or it can name none."""
        lines = self.read(image)
        if not lines:
            return None
        session = self._session(lines, question)
        if not isinstance(session, CategorizesResponses):
            return None
        return session.categorize(text_of(lines))

    def read(self, image: Image) -> tuple[TextLine, ...]:
        """The lines of text in a picture; none where they have a single letter between them."""
        picture = image.convert("RGB")
        key = pixel_hash(picture)
        lines = self._texts.get(key)
        if lines is None:
            lines = tuple(read_every_way(self._reader, picture))
            lines = lines if _says_something(text_of(lines)) else ()
            self._texts.put(key, lines)
        return lines

    def _finding(self, picture: Image, question: str) -> Finding:
        lines = self.read(picture)
        if not lines:
            return Finding(-NO_TEXT if self.unsafe == "above" else NO_TEXT)
        scores = [
            self._judge.open(self._judge_prompt, with_text(question, one.text)).score([one.text])[0]
            for one in readings(text_of(lines))
        ]
        return Finding(self._worst(scores), regions=tuple(line.place for line in lines))

    def _worst(self, scores: Sequence[float]) -> float:
        if not all(map(math.isfinite, scores)):
            return math.nan
        return max(scores) if self.unsafe == "above" else min(scores)

    def _session(self, lines: Sequence[TextLine], question: str) -> ResponseSession:
        return self._judge.open(self._judge_prompt, with_text(question, text_of(lines)))


def text_of(lines: Sequence[TextLine]) -> str:
    """What the lines say, one below the other."""
    return "\n".join(line.text for line in lines)


def with_text(question: str, text: str) -> str:
    """The question of a turn with the text that its picture shows."""
    return f"{question}\n\nText in the picture:\n{text}" if question else text


def _says_something(text: str) -> bool:
    letters = [letter for letter in text if letter.isalnum()]
    return len(letters) > 1 or any(map(_is_a_word, letters))


def _is_a_word(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith("CJK")


def _default_reader() -> TextReader:
    from eta_guard.evaluators.rapid_ocr import RapidOcrReader

    return RapidOcrReader()
