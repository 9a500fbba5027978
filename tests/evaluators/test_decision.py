from __future__ import annotations

import asyncio
import base64
import math
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import pytest
from langchain_core.decisions import (
    BaseDecisionModel,
    Box,
    ClassifierResponse,
    Noul,
    Question,
    State,
)
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers import BaseTracer
from langchain_core.tracers.schemas import Run
from PIL import Image
from pydantic import Field, ValidationError

from eta_guard import counts
from eta_guard.errors import EvaluationError
from eta_guard.evaluators.decision import DecisionEvaluator
from eta_guard.protocols import Finding, ImageEvaluator, Region, ResponseEvaluator

BOX = {"left": 0.25, "top": 0.5, "right": 0.75, "bottom": 1.0}


class FakeDecisions(BaseDecisionModel):
    """Answers by rule, in the words of the wire, which the library's own types then read.

    A picture is as unsafe as it is red; an answer as the share of "x" in it.
    """

    model: str = "fake-decider"
    asked: Any = Field(default_factory=list)
    box: Any = Field(default_factory=lambda: BOX)
    answers: Any = None
    native: bool = False

    @property
    def _provider(self) -> str:
        return "fake"

    def _classify(self, state: State, questions: dict[str, Question]) -> ClassifierResponse:
        self.asked.append((state, questions))
        answers = {name: self._answer(state, question) for name, question in questions.items()}
        given = answers if self.answers is None else self.answers
        return ClassifierResponse.model_validate({"model": self.model, "answers": given})

    async def _aclassify(self, state: State, questions: dict[str, Question]) -> ClassifierResponse:
        self.native = True
        return self._classify(state, questions)

    def _answer(self, state: Any, question: Question) -> dict[str, Any]:
        if isinstance(question, Box):
            return {"type": "box", "box": self.box, "confidence": 0.9}
        assert isinstance(question, Noul)
        last: BaseMessage = state[-1]
        if isinstance(last, AIMessage):
            return {"type": "noul", "noul": last.text.count("x") / max(1, len(last.text))}
        return {"type": "noul", "noul": red(pictures_of(last)[0])}


def pictures_of(message: BaseMessage) -> list[Image.Image]:
    """What LangChain's standard blocks of a message show."""
    found = [block for block in message.content_blocks if block["type"] == "image"]
    return [Image.open(BytesIO(base64.b64decode(block["base64"]))) for block in found]


def red(image: Image.Image) -> float:
    pixel: Any = image.getpixel((0, 0))
    return float(pixel[0]) / 255


def picture(share: float, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new("RGB", size, (round(share * 255), 0, 0))


def test_it_serves_both_seams() -> None:
    evaluator = DecisionEvaluator(FakeDecisions())
    assert isinstance(evaluator, ImageEvaluator)
    assert isinstance(evaluator, ResponseEvaluator)
    assert (evaluator.name, evaluator.fingerprint) == ("decision", "fake-decider")
    assert (evaluator.threshold, evaluator.unsafe) == (0.5, "above")


def test_a_picture_s_score_is_the_probability_of_a_yes() -> None:
    model = FakeDecisions()
    evaluator = DecisionEvaluator(model, image_question="Is it red?")
    found = evaluator.evaluate([picture(1), picture(0), picture(0.2)], "safety", "What is it?")
    assert found == [Finding(1.0), Finding(0.0), Finding(0.2)]
    states = [state for state, _ in model.asked]
    assert all([type(message) for message in state] == [HumanMessage] for state in states)
    assert [state[0].text for state in states] == ["What is it?"] * 3
    assert {str(questions) for _, questions in model.asked} == {
        str({"unsafe": Noul(instructions="Is it red?")})
    }
    assert "safety" not in str(model.asked)


def test_the_model_is_shown_the_very_pixels() -> None:
    model = FakeDecisions()
    noise = Image.effect_noise((40, 30), 80).convert("RGB")
    DecisionEvaluator(model).evaluate([noise.convert("RGBA")])
    (sent,) = pictures_of(model.asked[0][0][0])
    assert (sent.size, sent.tobytes()) == (noise.size, noise.tobytes())


def test_a_file_that_no_provider_takes_is_made_smaller() -> None:
    model = FakeDecisions()
    DecisionEvaluator(model).evaluate([Image.effect_noise((2000, 1500), 90)])
    (sent,) = pictures_of(model.asked[0][0][0])
    assert sent.size == (1400, 1050)


def test_a_box_is_a_region_where_yes_is_likely() -> None:
    evaluator = DecisionEvaluator(FakeDecisions(), locate=True)
    found = evaluator.evaluate([picture(0.8), picture(0.2)])
    assert [one.regions for one in found] == [(Region(0.25, 0.5, 0.75, 1.0),), ()]
    without = DecisionEvaluator(FakeDecisions()).evaluate([picture(0.8)])
    assert without == [Finding(0.8)]


@pytest.mark.parametrize(
    ("box", "regions"),
    [
        ({**BOX, "left": -0.1, "bottom": 1.2}, (Region(0.0, 0.5, 0.75, 1.0),)),
        ({**BOX, "left": 0.75}, ()),
        ({**BOX, "top": math.nan}, ()),
    ],
)
def test_a_box_outside_of_the_picture_is_cut_and_an_empty_one_is_none(
    box: dict[str, float], regions: tuple[Region, ...]
) -> None:
    evaluator = DecisionEvaluator(FakeDecisions(box=box), locate=True)
    assert evaluator.evaluate([picture(1)]) == [Finding(1.0, regions=regions)]


def test_a_picture_is_asked_about_once_a_question() -> None:
    model = FakeDecisions()
    evaluator = DecisionEvaluator(model)
    with counts.counting() as tally:
        evaluator.evaluate([picture(1), picture(0), picture(1)], question="a")
        evaluator.evaluate([picture(0)], question="a")
        assert len(model.asked) == 2
        evaluator.evaluate([picture(0)], question="b")
        assert evaluator.evaluate([]) == []
    assert dict(tally) == {"decisions": 3}
    assert len(model.asked) == 3


def test_an_answer_is_asked_about_under_its_question_and_pictures() -> None:
    model = FakeDecisions()
    session = DecisionEvaluator(model).open("fixed turn", "What is it?", [picture(1)])
    assert model.asked == []
    assert session.score(["xx", "ab", "xa", "xx"]) == [1.0, 0.0, 0.5, 1.0]
    assert len(model.asked) == 3
    state = model.asked[0][0]
    assert [(type(message), message.text) for message in state] == [
        (HumanMessage, "What is it?"),
        (AIMessage, "xx"),
    ]
    assert red(pictures_of(state[0])[0]) == 1
    assert "fixed turn" not in str(model.asked)
    session.accept("xxab")
    assert session.score(["", "abab"]) == [0.5, 0.25]
    assert session.score([]) == []


def test_without_question_and_pictures_the_answer_stands_alone() -> None:
    model = FakeDecisions()
    assert DecisionEvaluator(model).open("fixed turn").score(["x"]) == [1.0]
    assert [type(message) for message in model.asked[0][0]] == [AIMessage]


async def test_asked_asynchronously_it_says_the_same() -> None:
    model = FakeDecisions()
    evaluator, other = DecisionEvaluator(model, locate=True), DecisionEvaluator(model, locate=True)
    pictures = [picture(0.9), picture(0.1), picture(0.9)]
    found = await evaluator.aevaluate(pictures, "", "q")
    assert found == other.evaluate(pictures, "", "q")
    assert await evaluator.aevaluate(pictures[:1], "", "q") == found[:1]
    session = evaluator.open("", "q")
    session.accept("x")
    assert await session.ascore(["x", "a", ""]) == session.score(["x", "a", ""]) == [1.0, 0.5, 1.0]
    assert model.native
    assert (await evaluator.aevaluate([]), await session.ascore([])) == ([], [])


def test_several_are_asked_at_the_same_time() -> None:
    running, most = 0, 0

    class Slow(FakeDecisions):
        async def _aclassify(
            self, state: State, questions: dict[str, Question]
        ) -> ClassifierResponse:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1
            return self._classify(state, questions)

    pictures = [picture(share / 4) for share in range(4)]
    found = asyncio.run(DecisionEvaluator(Slow()).aevaluate(pictures))
    assert most == 4
    assert [one.score for one in found] == pytest.approx([0, 0.25, 0.5, 0.75], abs=0.01)


@pytest.mark.parametrize(
    "answers", [{}, {"unsafe": {"type": "box", "box": BOX}}, {"other": {"type": "noul", "noul": 0}}]
)
def test_no_answer_is_an_error_and_no_score(answers: dict[str, Any]) -> None:
    evaluator = DecisionEvaluator(FakeDecisions(answers=answers))
    with pytest.raises(EvaluationError, match="'fake-decider' did not answer the question"):
        evaluator.evaluate([picture(0)])
    with pytest.raises(EvaluationError, match="did not answer"):
        evaluator.open("").score(["a"])


@pytest.mark.parametrize("value", [1.5, -0.1, math.nan])
def test_what_is_no_probability_is_refused_by_the_library(value: float) -> None:
    answers = {"unsafe": {"type": "noul", "noul": value}}
    evaluator = DecisionEvaluator(FakeDecisions(answers=answers))
    with pytest.raises(ValidationError, match=r"answers\.unsafe\.noul\.noul"):
        evaluator.evaluate([picture(0)])


def test_one_failure_fails_the_call_and_nothing_of_it_is_kept() -> None:
    class Once(FakeDecisions):
        def _classify(self, state: State, questions: dict[str, Question]) -> ClassifierResponse:
            if len(self.asked) == 1:
                self.asked.append(None)
                raise TimeoutError
            return super()._classify(state, questions)

    evaluator = DecisionEvaluator(Once())
    with pytest.raises(TimeoutError):
        evaluator.evaluate([picture(0), picture(1)])
    assert [one.score for one in evaluator.evaluate([picture(0), picture(1)])] == [0, 1]


class Traced(BaseTracer):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def _persist_run(self, run: Run) -> None:
        self.names += [run.name, *(child.name for child in run.child_runs)]


async def test_who_streams_around_it_sees_no_draft_and_a_tracer_sees_the_call() -> None:
    session = DecisionEvaluator(FakeDecisions()).open("", "q")

    async def node(_: Any) -> str:
        await session.ascore(["a DRAFT"])
        session.score(["another DRAFT"])
        return "done"

    traced = Traced()
    seen = [
        event
        async for event in RunnableLambda(node).astream_events(
            None, version="v2", config={"callbacks": [traced]}
        )
    ]
    assert seen
    assert "DRAFT" not in str(seen)
    assert traced.names.count("FakeDecisions") == 2


def test_threads_get_what_they_would_get_alone() -> None:
    evaluator = DecisionEvaluator(FakeDecisions())

    def ask(i: int) -> list[float]:
        session = evaluator.open("", "q")
        session.accept("x" * (i % 3))
        return [evaluator.evaluate([picture(i / 32)])[0].score, *session.score(["a", "xx"])]

    expected = [ask(i) for i in range(24)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(24))) == expected


@pytest.mark.parametrize("size", [(1, 1), (1, 9000), (3, 2)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_pictures_of_any_shape_and_mode(size: tuple[int, int], mode: str) -> None:
    image = Image.new("RGB", size, "white").convert(mode)
    assert DecisionEvaluator(FakeDecisions()).evaluate([image])[0].score > 0.9
