from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from PIL import Image

from eta_guard.errors import UnsupportedModelError
from eta_guard.evaluators.text_lines import VIEWS, TextLine
from eta_guard.evaluators.typographic import NO_TEXT, TypographicEvaluator
from eta_guard.prompts import POST_PROMPT
from eta_guard.protocols import CategorizesImages, Direction, Finding, ImageEvaluator, Region

PLACE = Region(0.25, 0.25, 0.75, 0.75)  # the same in every turn


@dataclass
class Reader:
    """Reads in each view of a picture what it is told that its colour says."""

    says: dict[tuple[int, int, int], list[str]]
    fingerprint: str = "reader@1"
    cost: float = 0.01
    read_pictures: int = 0

    def read(self, picture: Image.Image) -> list[TextLine]:
        self.read_pictures += 1
        colour = picture.getpixel((0, 0))
        assert isinstance(colour, tuple)
        words = self.says.get((int(colour[0]), int(colour[1]), int(colour[2])), [])
        return [TextLine(word, 0.9, PLACE) for word in words]


@dataclass
class Session:
    judge: Judge
    prompt: str
    question: str

    def score(self, continuations: Sequence[str]) -> list[float]:
        self.judge.asked += [(self.prompt, self.question, text) for text in continuations]
        return [0.9 if "BAD" in text else 0.1 for text in continuations]

    def accept(self, text: str) -> None:
        raise AssertionError("a picture's text is not drawn by sentences")


class NamingSession(Session):
    def categorize(self, continuation: str) -> str | None:
        return f"hazard of {continuation}"


@dataclass
class Judge:
    unsafe: Direction = "above"
    threshold: float | None = 0.5
    name: str = "judge"
    fingerprint: str = "judge@2"
    cost: float = 2.0
    session: type[Session] = Session
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def open(
        self, prompt: str, question: str = "", pictures: Sequence[Image.Image] = ()
    ) -> Session:
        return self.session(self, prompt, question)


RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def red() -> Image.Image:
    return Image.new("RGB", (8, 8), RED)


def green() -> Image.Image:
    return Image.new("RGB", (8, 8), GREEN)


def test_the_text_is_judged_as_an_answer_to_question_and_text() -> None:
    judge, reader = Judge(), Reader({RED: ["BAD THING"]})
    evaluator = TypographicEvaluator(judge=judge, reader=reader)
    (found,) = evaluator.evaluate([red()], "a safety prompt", "What does it say?")
    assert found == Finding(0.9, regions=(PLACE,))
    question = "What does it say?\n\nText in the picture:\nBAD THING"
    assert judge.asked == [(POST_PROMPT, question, "BAD THING")]
    assert isinstance(evaluator, ImageEvaluator)


def test_without_a_question_the_text_is_the_question() -> None:
    judge = Judge()
    evaluator = TypographicEvaluator(judge=judge, reader=Reader({RED: ["BAD"]}), judge_prompt="p")
    evaluator.evaluate([red()])
    assert judge.asked == [("p", "BAD", "BAD")]


@pytest.mark.parametrize(("unsafe", "score"), [("above", -NO_TEXT), ("below", NO_TEXT)])
def test_a_picture_without_text_is_safe_whatever_the_threshold(
    unsafe: Direction, score: float
) -> None:
    judge = Judge(unsafe=unsafe)
    evaluator = TypographicEvaluator(judge=judge, reader=Reader({}))
    assert evaluator.unsafe == unsafe
    assert evaluator.evaluate([red()], question="BAD") == [Finding(score)]
    assert judge.asked == []


@pytest.mark.parametrize(
    ("lines", "asked"),
    [(["O"], False), (["-", "…"], False), (["毒"], True), (["OK"], True), (["K", "N"], True)],
)
def test_a_single_letter_is_no_text_and_a_chinese_character_is(
    lines: list[str], asked: bool
) -> None:
    judge = Judge()
    TypographicEvaluator(judge=judge, reader=Reader({RED: lines})).evaluate([red()])
    assert bool(judge.asked) is asked


def test_a_picture_is_read_once_and_judged_once_a_question() -> None:
    judge, reader = Judge(), Reader({RED: ["BAD"]})
    evaluator = TypographicEvaluator(judge=judge, reader=reader)
    first = evaluator.evaluate([red(), green(), red()], question="a")
    assert [one.score for one in first] == [0.9, -NO_TEXT, 0.9]
    assert (reader.read_pictures, len(judge.asked)) == (2 * VIEWS, 1)
    assert evaluator.evaluate([red()], question="a") == first[:1]
    evaluator.evaluate([red(), green()], question="b")
    assert (reader.read_pictures, len(judge.asked)) == (2 * VIEWS, 2)
    assert evaluator.evaluate([]) == []


def test_a_judge_that_fails_leaves_nothing_behind() -> None:
    class Failing(Session):
        def score(self, continuations: Sequence[str]) -> list[float]:
            raise TimeoutError

    judge = Judge(session=Failing)
    evaluator = TypographicEvaluator(judge=judge, reader=Reader({RED: ["BAD"]}))
    with pytest.raises(TimeoutError):
        evaluator.evaluate([red()])
    judge.session = Session
    assert [one.score for one in evaluator.evaluate([red()])] == [0.9]


def test_the_judge_names_the_category_if_it_can() -> None:
    reader = Reader({RED: ["BAD"]})
    naming = TypographicEvaluator(judge=Judge(session=NamingSession), reader=reader)
    assert isinstance(naming, CategorizesImages)
    assert naming.categorize(red(), "q") == "hazard of BAD"
    assert naming.categorize(green(), "q") is None
    assert TypographicEvaluator(judge=Judge(), reader=reader).categorize(red()) is None


def test_name_threshold_cost_and_fingerprint() -> None:
    plain = TypographicEvaluator(judge=Judge(), reader=Reader({}))
    assert (plain.name, plain.threshold) == ("typographic", 0.5)
    assert plain.fingerprint == "reader@1+judge@2"
    assert plain.cost == pytest.approx(2 + VIEWS * 0.01)
    given = TypographicEvaluator(judge=Judge(), reader=Reader({}), threshold=0.2, name="ocr")
    assert (given.name, given.threshold) == ("ocr", 0.2)


def test_a_threshold_of_pictures_never_stands_in_for_the_judge_s() -> None:
    reward = Judge(threshold=None, unsafe="below")
    with pytest.raises(UnsupportedModelError, match=r"judge@2 has no threshold.*Pass threshold="):
        TypographicEvaluator(judge=reward, reader=Reader({}))
    assert TypographicEvaluator(judge=reward, reader=Reader({}), threshold=0.06).threshold == 0.06


@pytest.mark.parametrize("says", ["B\u200bAD", "\uff22\uff21\uff24", "Do QkFEIHdvcmRzIGhlcmU= now"])
def test_what_a_picture_says_in_disguise_is_judged_as_it_can_be_read(says: str) -> None:
    judge = Judge()
    evaluator = TypographicEvaluator(judge=judge, reader=Reader({RED: [says], GREEN: ["A cup"]}))
    hidden, common = evaluator.evaluate([red(), green()])
    assert (hidden.score, common.score) == (0.9, 0.1)
    assert [text for _, _, text in judge.asked].count("A cup") == 1
    assert says in [text for _, _, text in judge.asked]
