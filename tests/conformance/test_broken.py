"""The suites can fail: each broken part fails the rule that it breaks, and whole ones fail none."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from typing import Any

import pytest
from PIL.Image import Image

from eta_guard.protocols import (
    Candidate,
    Completion,
    Finding,
    Region,
    Sampling,
    Watch,
)
from eta_guard.testing import EngineTests, ImageEvaluatorTests, ResponseEvaluatorTests
from eta_guard.testing.common import drawn

from .fakes import Engine, Images, Responses, Session, Talk


class TestImages(ImageEvaluatorTests):
    @pytest.fixture
    def image_evaluator(self) -> Images:
        return Images()

    @property
    def safe_picture(self) -> Image:
        return drawn("blue", (8, 8)).convert("L").point(lambda _: 0).convert("RGB")

    @property
    def unsafe_picture(self) -> Image:
        return drawn("red")


class TestResponses(ResponseEvaluatorTests):
    safe_answer, unsafe_answer = "GOOD", "BAD"

    @pytest.fixture
    def response_evaluator(self) -> Responses:
        return Responses()


class TestEngine(EngineTests):
    @pytest.fixture
    def engine(self) -> Engine:
        return Engine()


# ── pictures ──

IMAGES: dict[str, type[Images]] = {}
RESPONSES: dict[str, type[Responses]] = {}
ENGINES: dict[str, type[Engine]] = {}


def breaks(rules: dict[str, Any], rule: str) -> Any:
    """Notes which rule a class breaks."""

    def note(broken: Any) -> Any:
        rules[f"{rule}:{broken.__name__}"] = broken
        return broken

    return note


@breaks(IMAGES, "test_it_is_an_image_evaluator")
class NoCost(Images):
    @property
    def cost(self) -> float:  # type: ignore[override]
        raise AttributeError("cost")


@breaks(IMAGES, "test_it_says_who_it_is")
class Nameless(Images):
    name = ""


@breaks(IMAGES, "test_it_says_who_it_is")
class Changing(Images):
    @property
    def fingerprint(self) -> str:  # type: ignore[override]
        return f"model@{random.random()}"


@breaks(IMAGES, "test_the_guard_can_decide_by_it")
class Sideways(Images):
    unsafe: Any = "over"


@breaks(IMAGES, "test_the_guard_can_decide_by_it")
class Limitless(Images):
    threshold = math.inf


@breaks(IMAGES, "test_each_picture_has_a_finding_in_order")
class Sorted(Images):
    def evaluate(self, *asked: Any, **more: Any) -> Sequence[Finding]:
        return sorted(super().evaluate(*asked, **more), key=lambda one: one.score)


@breaks(IMAGES, "test_each_picture_has_a_finding_in_order")
class NoNumber(Images):
    def score(self, image: Image) -> float:
        return math.nan


@breaks(IMAGES, "test_each_picture_has_a_finding_in_order")
class OnlyNew(Images):
    def evaluate(self, images: Sequence[Image], *more: Any, **named: Any) -> Sequence[Finding]:
        return list(super().evaluate(images, *more, **named))[:1]


@breaks(IMAGES, "test_the_order_does_not_matter")
class ByPlace(Images):
    def evaluate(self, images: Sequence[Image], *more: Any, **named: Any) -> Sequence[Finding]:
        found = super().evaluate(images, *more, **named)
        return [Finding(one.score + place / 10) for place, one in enumerate(found)]


@breaks(IMAGES, "test_asked_again_it_says_the_same")
class Moody(Images):
    asked = 0

    def score(self, image: Image) -> float:
        self.asked += 1
        return super().score(image) + self.asked / 100


@breaks(IMAGES, "test_no_pictures_have_no_findings")
class AtLeastOne(Images):
    def evaluate(self, *asked: Any, **more: Any) -> Sequence[Finding]:
        return super().evaluate(*asked, **more) or [Finding(0.0)]


@breaks(IMAGES, "test_a_picture_stays_as_it_is")
class Scribbling(Images):
    def score(self, image: Image) -> float:
        image.putpixel((0, 0), (1, 2, 3))
        return 0.0


@breaks(IMAGES, "test_regions_and_categories")
class InPixels(Images):
    def evaluate(self, images: Sequence[Image], *more: Any, **named: Any) -> Sequence[Finding]:
        return [
            Finding(0.5, regions=(Region(0, 0, image.width, image.height),)) for image in images
        ]


@breaks(IMAGES, "test_threads_get_what_they_would_get_alone")
class OneAtATime(Images):
    def score(self, image: Image) -> float:
        self.shown = image
        time.sleep(0.01)
        return super().score(self.shown)


@breaks(IMAGES, "test_asked_asynchronously_it_says_the_same")
class OtherwiseLater(Images):
    async def aevaluate(self, images: Sequence[Image], *more: Any, **named: Any) -> list[Finding]:
        return [Finding(0.0) for _ in images]


@breaks(IMAGES, "test_what_is_unsafe_scores_on_the_unsafe_side")
class Reversed(Images):
    unsafe = "below"


@breaks(IMAGES, "test_what_is_unsafe_scores_on_the_unsafe_side")
class TooLenient(Images):
    threshold = 1.0


# ── answers ──


def answers(session: type[Session]) -> type[Responses]:
    return type(session.__name__, (Responses,), {"session": session})


@breaks(RESPONSES, "test_accepting_is_as_good_as_scoring_the_whole")
@answers
class Forgetful(Session):
    def accept(self, text: str) -> None:
        pass


@breaks(RESPONSES, "test_a_text_may_be_accepted_in_pieces")
@answers
class ByPieces(Session):
    def accept(self, text: str) -> None:
        self.text += text + "|"


@breaks(RESPONSES, "test_sessions_do_not_mix")
@answers
class Shared(Session):
    def score(self, continuations: Sequence[str]) -> list[float]:
        return [self.of(self.evaluator.text + one) for one in continuations]

    def accept(self, text: str) -> None:
        self.evaluator.text += text


@breaks(RESPONSES, "test_asked_again_it_says_the_same")
@answers
class Greedy(Session):
    def score(self, continuations: Sequence[str]) -> list[float]:
        scores = super().score(continuations)
        self.text += continuations[0] if continuations else ""
        return scores


@breaks(RESPONSES, "test_each_continuation_has_a_score_in_order")
@answers
class Padded(Session):
    def score(self, continuations: Sequence[str]) -> list[float]:
        longest = max(map(len, continuations), default=0)
        return [self.of((self.text + one).ljust(longest)) for one in continuations]


@breaks(RESPONSES, "test_the_order_does_not_matter")
@answers
class Ranked(Session):
    def score(self, continuations: Sequence[str]) -> list[float]:
        return [place / 10 for place, _ in enumerate(continuations)]


@breaks(RESPONSES, "test_a_session_does_not_show_its_text")
@answers
class Telling(Session):
    def __repr__(self) -> str:
        return f"Session({self.text!r})"


@breaks(RESPONSES, "test_asked_asynchronously_it_says_the_same")
@answers
class LaterOtherwise(Session):
    async def ascore(self, continuations: Sequence[str]) -> list[float]:
        return [0.0 for _ in continuations]


@breaks(RESPONSES, "test_question_and_pictures_may_be_given_or_left_out")
class OnlyThePrompt(Responses):
    def open(self, prompt: str) -> Session:  # type: ignore[override]
        return self.session(self)


# ── engines ──


def talks(talk: type[Talk]) -> type[Engine]:
    return type(talk.__name__, (Engine,), {"talk": talk})


@breaks(ENGINES, "test_an_answer_begins_with_its_prefix")
@breaks(ENGINES, "test_what_is_accepted_stands_in_the_answer")
@talks
class OnlyTheRest(Talk):
    def finish(self) -> Completion:
        return Completion(self.drawn(4, self.text).strip(), "stop")


@breaks(ENGINES, "test_a_proposal_has_as_many_candidates_as_were_asked_for")
@talks
class Lazy(Talk):
    def propose(self, n: int, sampling: Sampling) -> list[Candidate]:
        return super().propose(1, sampling)


@breaks(ENGINES, "test_equal_seeds_draw_equal_candidates")
@breaks(ENGINES, "test_a_search_can_be_taken_up_again")
@talks
class Unseeded(Talk):
    def drawn(self, count: int, *key: object) -> str:
        return super().drawn(count, random.random())


@breaks(ENGINES, "test_prefill_begins_anew")
@talks
class Counting(Talk):
    def prefill(self, prefix: str, accepted: Sequence[Candidate] = ()) -> None:
        before = self.sentence
        super().prefill(prefix, accepted)
        self.sentence += before


@breaks(ENGINES, "test_a_search_keeps_to_the_budget")
@talks
class Endless(Talk):
    def propose(self, n: int, sampling: Sampling) -> list[Candidate]:
        self.proposed = [Candidate(self.drawn(4, i), (1,) * 4, None) for i in range(n)]
        return self.proposed


@breaks(ENGINES, "test_an_answer_keeps_to_its_budget")
@talks
class Spendthrift(Talk):
    def reason(self, over: bool) -> Any:
        return "stop"


@breaks(ENGINES, "test_an_answer_is_cut_before_a_stop_text")
@talks
class Unstoppable(Talk):
    def answer(self, watch: Watch | None = None) -> Completion:
        return Completion(self.drawn(12, "plain").strip(), "stop")


@breaks(ENGINES, "test_a_watch_sees_the_text_grow")
@talks
class InPieces(Talk):
    def answer(self, watch: Watch | None = None) -> Completion:
        whole = super().answer()
        for word in whole.text.split() if watch else ():
            assert watch
            watch(word)
        return whole


@breaks(ENGINES, "test_a_watch_can_end_the_answer")
@talks
class Unheeding(Talk):
    def answer(self, watch: Watch | None = None) -> Completion:
        if watch:
            watch("something else")
        return super().answer()


@breaks(ENGINES, "test_neither_session_nor_answer_shows_its_text")
@breaks(ENGINES, "test_neither_session_nor_candidate_shows_its_text")
@talks
class Talkative(Talk):
    def __repr__(self) -> str:
        return f"Talk({self.answer().text!r}, {[one.text for one in self.proposed]})"


@breaks(ENGINES, "test_sessions_do_not_mix")
@breaks(ENGINES, "test_sessions_do_not_mix_while_they_search")
class LastOpened(Engine):
    """The last request that was opened is everybody's."""

    def open(self, *asked: Any) -> Talk:
        opened = super().open(*asked)
        self.about = opened.about
        engine = self

        class Mixed(Talk):
            def drawn(self, count: int, *key: object) -> str:
                self.about = engine.about
                return super().drawn(count, *key)

        return Mixed(opened.about, opened.generation)


@breaks(ENGINES, "test_searched_asynchronously_it_is_the_same")
@talks
class OtherwiseAsynchronous(Talk):
    async def afinish(self) -> Completion:
        return Completion(self.text, "stop")


CASES = [
    (suite, rule, broken)
    for suite, rules in (
        (TestImages, IMAGES),
        (TestResponses, RESPONSES),
        (TestEngine, ENGINES),
    )
    for rule, broken in rules.items()
]


@pytest.mark.parametrize(
    ("suite", "rule", "broken"), CASES, ids=[rule.removeprefix("test_") for _, rule, _ in CASES]
)
def test_a_broken_part_fails_its_rule(suite: Any, rule: str, broken: Any) -> None:
    check = getattr(suite(), rule.partition(":")[0])
    marks = getattr(check, "pytestmark", [])
    given = [mark.args[1][0] for mark in marks if mark.name == "parametrize"]
    with pytest.raises((AssertionError, TypeError, pytest.fail.Exception)):
        check(broken(), *given)


def test_a_strip_that_is_too_much_is_found() -> None:
    class Squares(Images):
        def score(self, image: Image) -> float:
            if max(image.size) > 100 * min(image.size):
                raise MemoryError
            return 0.0

    with pytest.raises(MemoryError):
        TestImages().test_pictures_of_any_size(Squares(), (1, 4000))


def test_a_rule_can_only_be_left_out_for_a_reason() -> None:
    class LeftOut(TestImages):
        def test_the_order_does_not_matter(self, image_evaluator: Any) -> None:
            """Passes whatever it is given."""

    class ForAReason(TestImages):
        @pytest.mark.xfail(reason="its model is a lottery")
        def test_the_order_does_not_matter(self, image_evaluator: Any) -> None:
            raise NotImplementedError

    with pytest.raises(AssertionError, match="test_the_order_does_not_matter"):
        LeftOut().test_no_rule_is_left_out()
    ForAReason().test_no_rule_is_left_out()
