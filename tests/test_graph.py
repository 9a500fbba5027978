from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from PIL import Image

from eta_guard.decisions import Decision
from eta_guard.errors import (
    EvaluationError,
    ImageInputError,
    InputError,
    PolicyError,
    UnsupportedModelError,
)
from eta_guard.graph import build_graph
from eta_guard.guard import EtaGuard
from eta_guard.panel.evaluation import Outcome
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Candidate, Completion, Finding, Generation
from eta_guard.request.conversation import Conversation
from eta_guard.request.parts import EARLIER_PICTURE, OMITTED
from eta_guard.state import GuardState, Verdict
from tests.fakes import (
    DRAFT,
    SAFE,
    UNSAFE,
    FakeEngine,
    FakeImages,
    FakeResponses,
    FakeResponseSession,
    FakeSession,
    Rig,
    Score,
    candidate,
    image_block,
    question,
    reply_of,
    scoring,
    verdict_of,
)

LETTERS = {
    "P": "pre_evaluate",
    "G": "generate",
    "E": "post_evaluate",
    "A": "prefix_align",
    "S": "best_of_n",
    "R": "respond",
}
REFUSAL = GuardPolicy().refusal_message
SEARCHED = "As an AI assistant" + "".join(f" sentence {i} of candidate 0." for i in (1, 2, 3))
CONTINUED = "As an AI assistant, continued."
BROKEN = RuntimeError("broken")

pytestmark = pytest.mark.filterwarnings("error")


def route(letters: str) -> tuple[str, ...]:
    return tuple(LETTERS[letter] for letter in letters)


@dataclass
class FixedImages(FakeImages):
    """Returns these scores, whatever their number or kind."""

    values: list[Any] = field(default_factory=list)

    def evaluate(
        self, images: Sequence[Image.Image], prompt: str, question: str = ""
    ) -> list[Finding]:
        return [Finding(value) for value in self.values]


@dataclass
class FixedResponses(FakeResponses):
    """Returns these scores, whatever their number or kind."""

    values: list[Any] = field(default_factory=list)

    def open(self, prompt: str, *_: Any) -> FakeResponseSession:
        return FixedSession(self, prompt, values=self.values)


@dataclass
class FixedSession(FakeResponseSession):
    values: list[Any] = field(default_factory=list)

    def score(self, continuations: Sequence[str]) -> list[float]:
        return self.values


# ── routes ──


@dataclass(frozen=True)
class Case:
    """Outcomes → decision, route, text. An image of None: a request without one."""

    about: str
    image: float | Exception | None
    draft: Score
    final: Score
    policy: dict[str, Any]
    decision: Decision
    route: str
    text: str


NAN, INF = math.nan, math.inf
CASES = [
    # The draft passes unless both are unsafe.
    Case("safe image", SAFE, 0.0, 1.0, {}, "passed", "PGR", DRAFT),
    Case("safe answer", UNSAFE, 1.0, 1.0, {}, "passed", "PGER", DRAFT),
    Case("both unsafe", UNSAFE, 0.0, 1.0, {}, "aligned", "PGEASSSER", SEARCHED),
    Case("no search", UNSAFE, 0.0, 1.0, {"search": False}, "aligned", "PGEAER", CONTINUED),
    # Repaired, and still not safe.
    Case("unrepaired", UNSAFE, 0.0, 0.0, {}, "refused", "PGEASSSER", REFUSAL),
    Case(
        "unrepaired, returned",
        UNSAFE,
        0.0,
        0.0,
        {"on_unrepaired": "return"},
        "aligned",
        "PGEASSSER",
        SEARCHED,
    ),
    Case("repair unscored", UNSAFE, 0.0, BROKEN, {}, "refused", "PGEASSSER", REFUSAL),
    Case("repair NaN", UNSAFE, 0.0, NAN, {}, "refused", "PGEASSSER", REFUSAL),
    Case("repair inf", UNSAFE, 0.0, INF, {"search": False}, "refused", "PGEAER", REFUSAL),
    Case(
        "repair unscored, never returned",
        UNSAFE,
        0.0,
        BROKEN,
        {"on_unrepaired": "return"},
        "refused",
        "PGEASSSER",
        REFUSAL,
    ),
    Case(
        "repair unscored, never returned where unscored is refused",
        UNSAFE,
        0.0,
        BROKEN,
        {"on_unrepaired": "return", "on_unscored": "refuse"},
        "refused",
        "PGEASSSER",
        REFUSAL,
    ),
    # What could not be evaluated is not safe.
    Case("image unscored", BROKEN, 0.0, 1.0, {}, "aligned", "PGEASSSER", SEARCHED),
    Case("image unscored, safe answer", BROKEN, 1.0, 1.0, {}, "passed", "PGER", DRAFT),
    Case("draft unscored", UNSAFE, BROKEN, 1.0, {}, "aligned", "PGEASSSER", SEARCHED),
    Case("draft NaN", UNSAFE, NAN, 1.0, {}, "aligned", "PGEASSSER", SEARCHED),
    Case("draft inf", UNSAFE, INF, 1.0, {}, "aligned", "PGEASSSER", SEARCHED),
    Case("draft -inf", UNSAFE, -INF, 1.0, {}, "aligned", "PGEASSSER", SEARCHED),
    Case("both unscored", BROKEN, BROKEN, 1.0, {}, "aligned", "PGEASSSER", SEARCHED),
    Case(
        "image unscored, refused",
        BROKEN,
        1.0,
        1.0,
        {"on_unscored": "refuse"},
        "blocked",
        "PR",
        REFUSAL,
    ),
    Case(
        "draft unscored, refused",
        UNSAFE,
        BROKEN,
        1.0,
        {"on_unscored": "refuse"},
        "refused",
        "PGER",
        REFUSAL,
    ),
    Case(
        "draft not asked for", SAFE, BROKEN, 1.0, {"on_unscored": "refuse"}, "passed", "PGR", DRAFT
    ),
    # Without an image.
    Case("text, safe answer", None, 1.0, 1.0, {}, "passed", "PGER", DRAFT),
    Case("text, unsafe answer", None, 0.0, 1.0, {}, "aligned", "PGEASSSER", SEARCHED),
    Case("text, unscored answer", None, BROKEN, 1.0, {}, "aligned", "PGEASSSER", SEARCHED),
    Case("text, pass", None, 0.0, 1.0, {"on_no_image": "pass"}, "passed", "PGR", DRAFT),
    Case("text, align", None, 1.0, 1.0, {"on_no_image": "align"}, "aligned", "PGEASSSER", SEARCHED),
    Case(
        "text, align without search",
        None,
        1.0,
        1.0,
        {"on_no_image": "align", "search": False},
        "aligned",
        "PGEAER",
        CONTINUED,
    ),
    Case("image, align", SAFE, 0.0, 1.0, {"on_no_image": "align"}, "passed", "PGR", DRAFT),
    Case(
        "image, pass", UNSAFE, 0.0, 1.0, {"on_no_image": "pass"}, "aligned", "PGEASSSER", SEARCHED
    ),
    # Observing changes nothing.
    Case("observe, unsafe", UNSAFE, 0.0, 1.0, {"mode": "observe"}, "observed", "PGER", DRAFT),
    Case("observe, safe", SAFE, 0.0, 1.0, {"mode": "observe"}, "observed", "PGR", DRAFT),
    Case(
        "observe, unscored image", BROKEN, 0.0, 1.0, {"mode": "observe"}, "observed", "PGER", DRAFT
    ),
    Case(
        "observe, unscored refused",
        BROKEN,
        BROKEN,
        1.0,
        {"mode": "observe", "on_unscored": "refuse"},
        "observed",
        "PGER",
        DRAFT,
    ),
    Case(
        "observe, unscored raised",
        BROKEN,
        BROKEN,
        1.0,
        {"mode": "observe", "on_unscored": "raise"},
        "observed",
        "PGER",
        DRAFT,
    ),
    Case(
        "observe, text aligned",
        None,
        0.0,
        1.0,
        {"mode": "observe", "on_no_image": "align"},
        "observed",
        "PGER",
        DRAFT,
    ),
]


def request(image: float | Exception | None) -> HumanMessage:
    if image is None:
        return question()
    return question(UNSAFE if isinstance(image, Exception) else image)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.about)
def test_routes(case: Case) -> None:
    observing = case.policy.get("mode") == "observe"
    rig = Rig(
        policy=GuardPolicy(**case.policy),
        images=FakeImages(failure=case.image if isinstance(case.image, Exception) else None),
        responses=FakeResponses(scoring(case.draft, case.final)),
    )
    reply = rig.ask(request(case.image))
    verdict = verdict_of(reply)
    assert (verdict.decision, reply.content) == (case.decision, case.text)
    assert verdict.route == route(case.route)
    assert (verdict.reason is not None) == (case.decision in ("refused", "blocked"))
    # Where no draft could go out, none is drawn.
    undrawn = case.image is None and case.policy.get("on_no_image") == "align" and not observing
    drafted = ["answer"] if "G" in case.route and not undrawn else []
    searched = ["propose"] * case.route.count("S")
    aligned = ["prefill", *(searched or ["finish"])] if "A" in case.route else []
    assert rig.engine.calls == drafted + aligned


def expected(
    image: Outcome | None, response: Outcome, final: Outcome, policy: GuardPolicy
) -> tuple[str, str, str]:
    """The same in other words: what decision, route and text the design asks for."""
    observe, refuse = policy.mode == "observe", policy.on_unscored == "refuse"
    repair = ("ASSSER", SEARCHED) if policy.search else ("AER", CONTINUED)
    if image == "unscored" and refuse and not observe:
        return "blocked", "PR", REFUSAL
    if image == "safe" or (image is None and policy.on_no_image == "pass"):
        return "observed" if observe else "passed", "PGR", DRAFT
    if observe:
        return "observed", "PGER", DRAFT
    undrawn = image is None and policy.on_no_image == "align"
    if response == "unscored" and refuse and not undrawn:
        return "refused", "PGER", REFUSAL
    if response == "safe" and not undrawn:
        return "passed", "PGER", DRAFT
    returned = policy.on_unrepaired == "return" and final == "unsafe"
    if final == "safe" or returned:
        return "aligned", "PGE" + repair[0], repair[1]
    return "refused", "PGE" + repair[0], REFUSAL


SCORES: dict[str, Score] = {"safe": 1.0, "unsafe": 0.0, "unscored": NAN}


@pytest.mark.parametrize("mode", ["enforce", "observe"])
@pytest.mark.parametrize("on_unscored", ["unsafe", "refuse"])
@pytest.mark.parametrize("on_unrepaired", ["refuse", "return"])
@pytest.mark.parametrize("search", [True, False])
def test_every_combination_of_outcomes(
    search: bool, on_unrepaired: str, on_unscored: str, mode: str
) -> None:
    seen = 0
    for on_no_image in ("post_only", "pass", "align"):
        policy = GuardPolicy(
            search=search,
            on_unrepaired=on_unrepaired,
            on_unscored=on_unscored,
            mode=mode,
            on_no_image=on_no_image,
        )
        rig = Rig(policy)
        graph = rig.graph().compile()
        images: list[Outcome | None] = [None]
        if on_no_image == "post_only":  # the others differ without an image alone
            images += ["safe", "unsafe", "unscored"]
        outcomes: tuple[Outcome, ...] = get_args(Outcome)
        for image, response, final in itertools.product(images, outcomes, outcomes):
            rig.images.failure = BROKEN if image == "unscored" else None
            rig.responses.score = scoring(SCORES[response], SCORES[final])
            message = question(*([] if image is None else [SAFE if image == "safe" else UNSAFE]))
            given: Any = {"messages": [message]}
            reply = reply_of(graph.invoke(given))
            verdict = verdict_of(reply)
            decision, letters, text = expected(image, response, final, policy)
            where = (image, response, final, on_no_image)
            undrawn = image is None and on_no_image == "align" and mode == "enforce"
            assert (verdict.decision, reply.content) == (decision, text), where
            assert verdict.route == route(letters), where
            assert (verdict.image and verdict.image.outcome) == image, where
            assert (verdict.response and verdict.response.outcome) == (
                response if "GE" in letters and not undrawn else None
            ), where
            assert (verdict.final and verdict.final.outcome) == (
                final if "A" in letters else None
            ), where
            seen += 1
    assert seen == 54


# ── thresholds ──


@pytest.mark.parametrize(
    ("similarity", "outcome", "score"),
    [
        (0.16, "unsafe", 0.16),
        (math.nextafter(0.16, 0), "safe", math.nextafter(0.16, 0)),
        (math.nextafter(0.16, 1), "unsafe", math.nextafter(0.16, 1)),
        (-0.5, "safe", -0.5),
        (1.0, "unsafe", 1.0),
        (NAN, "unscored", None),
        (INF, "unscored", None),
        (-INF, "unscored", None),
    ],
)
def test_the_image_threshold_is_inclusive(
    similarity: float, outcome: str, score: float | None
) -> None:
    reply = Rig(images=FixedImages(values=[similarity])).ask(question(SAFE))
    image = verdict_of(reply).image
    assert image is not None
    assert (image.outcome, image.score, image.threshold) == (outcome, score, 0.16)
    assert (image.reason is not None) == (outcome == "unscored")
    assert reply.content == (DRAFT if outcome == "safe" else SEARCHED)


@pytest.mark.parametrize(
    ("score", "outcome"),
    [
        (0.06, "unsafe"),
        (math.nextafter(0.06, 1), "safe"),
        (math.nextafter(0.06, 0), "unsafe"),
        (-3.0, "unsafe"),
        (17.0, "safe"),
    ],
)
def test_the_response_threshold_is_inclusive(score: float, outcome: str) -> None:
    for which in ("draft", "final"):
        says = scoring(score, 1.0) if which == "draft" else scoring(0.0, score)
        reply = Rig(responses=FakeResponses(says)).ask(question(UNSAFE))
        verdict = verdict_of(reply)
        found = verdict.response if which == "draft" else verdict.final
        assert found is not None
        assert (found.outcome, found.score, found.threshold) == (outcome, score, 0.06)


def test_an_image_threshold_of_zero_lets_no_image_pass_unseen() -> None:
    rig = Rig(GuardPolicy(image_threshold=0.0), images=FixedImages(values=[0.0]))
    assert verdict_of(rig.ask(question(SAFE))).decision == "aligned"


# ── evaluators that answer nonsense ──


@pytest.mark.parametrize("values", [[], [0.0, 0.0], ["high"], [None], [[0.0]], None], ids=str)
def test_image_scores_of_a_wrong_number_or_kind_are_no_scores(values: Any) -> None:
    reply = Rig(images=FixedImages(values=values)).ask(question(SAFE))
    verdict = verdict_of(reply)
    assert verdict.image is not None
    assert verdict.image.outcome == "unscored"
    assert verdict.decision == "aligned"


@pytest.mark.parametrize("values", [[], [1.0, 1.0], ["high"], [None], None], ids=str)
def test_response_scores_of_a_wrong_number_or_kind_are_no_scores(values: Any) -> None:
    reply = Rig(responses=FixedResponses(values=values)).ask(question(UNSAFE))
    verdict = verdict_of(reply)
    assert verdict.response is not None
    assert verdict.response.outcome == "unscored"
    assert (verdict.decision, reply.content) == ("refused", REFUSAL)


def test_the_reason_does_not_quote_the_evaluator() -> None:
    secret = ValueError(f"cannot score {DRAFT!r}")
    rig = Rig(images=FakeImages(failure=secret), responses=FakeResponses(scoring(secret, secret)))
    reply = rig.ask(question(UNSAFE))
    verdict = verdict_of(reply)
    assert verdict.image is not None
    assert verdict.response is not None
    assert verdict.image.reason == verdict.response.reason == "ValueError"
    assert "canary" not in repr(reply)


@pytest.mark.parametrize(
    ("image", "draft", "final", "what"),
    [
        (BROKEN, 1.0, 1.0, "An image"),
        (UNSAFE, BROKEN, 1.0, "The answer"),
        (UNSAFE, NAN, 1.0, "The answer"),
        (UNSAFE, 0.0, BROKEN, "The answer"),
        (None, BROKEN, 1.0, "The answer"),
    ],
)
def test_unscored_raises_where_the_policy_says_so(
    image: float | Exception | None, draft: Score, final: Score, what: str
) -> None:
    for on_error in ("raise", "refuse"):
        rig = Rig(
            GuardPolicy(on_unscored="raise", on_error=on_error),
            images=FakeImages(failure=image if isinstance(image, Exception) else None),
            responses=FakeResponses(scoring(draft, final)),
        )
        with pytest.raises(EvaluationError, match=f"{what} could not be evaluated.*on_unscored"):
            rig.ask(request(image))


# ── failures ──


def bad_image() -> HumanMessage:
    return HumanMessage([{"type": "image", "base64": "bm90IGFuIGltYWdl"}])


def remote_image() -> HumanMessage:
    return HumanMessage([{"type": "image", "url": "https://example.org/cat.png"}])


@pytest.mark.parametrize("message", [bad_image(), remote_image()], ids=["damaged", "remote"])
def test_input_that_cannot_be_read_raises_or_is_blocked(message: HumanMessage) -> None:
    with pytest.raises(ImageInputError):
        Rig().ask(message)
    rig = Rig(GuardPolicy(on_unreadable="refuse"))
    reply = rig.ask(message)
    verdict = verdict_of(reply)
    assert (verdict.decision, reply.content) == ("blocked", REFUSAL)
    assert verdict.route == route("PR")
    assert verdict.reason is not None
    assert "image" in verdict.reason.lower()
    assert not any([rig.engine.calls, rig.images.asked, rig.responses.scored])


@pytest.mark.parametrize("message", [bad_image(), remote_image()], ids=["damaged", "remote"])
def test_an_unreadable_image_of_an_earlier_turn_matters_where_it_is_shown(
    message: HumanMessage,
) -> None:
    thread = [message, AIMessage("A cup."), HumanMessage("And now?")]
    with pytest.raises(ImageInputError):
        Rig().ask(*thread)
    rig = Rig(GuardPolicy(image_scope="last_turn"), engine=FakeEngine(draft="Yes."))
    assert rig.ask(*thread).content == "Yes."
    (conversation, _), *_ = rig.engine.opened
    assert conversation.turns[0].parts == (EARLIER_PICTURE,)


@pytest.mark.parametrize("message", [bad_image(), remote_image()], ids=["damaged", "remote"])
def test_what_cannot_be_read_may_be_omitted(message: HumanMessage) -> None:
    rig = Rig(GuardPolicy(on_unreadable="omit"), engine=FakeEngine(draft="Yes."))
    assert rig.ask(message, AIMessage("A cup."), HumanMessage("And now?")).content == "Yes."
    (conversation, _), *_ = rig.engine.opened
    assert conversation.turns[0].parts == (OMITTED,)
    assert conversation.messages[0].text == OMITTED


def test_where_nothing_can_be_omitted_the_request_is_blocked() -> None:
    rig = Rig(GuardPolicy(on_unreadable="omit"))
    reply = rig.ask(HumanMessage("Hello"), AIMessage("Hello."))
    assert verdict_of(reply).decision == "blocked"


def test_nothing_to_answer_is_an_input_error() -> None:
    with pytest.raises(InputError):
        Rig().ask(HumanMessage("Hello"), AIMessage("Hello."))
    rig = Rig(GuardPolicy(on_unreadable="refuse"))
    reply = rig.ask(HumanMessage("Hello"), AIMessage("Hello."))
    assert verdict_of(reply).decision == "blocked"


class BusyError(RuntimeError):
    """As providers' are: it takes more than a message to make one, and carries what it was told."""

    def __init__(self, message: str, *, body: str) -> None:
        super().__init__(message)
        self.body = body
        self.status_code = 429


def failing(*_: int) -> list[Any]:
    quoting = f"out of memory while drawing {DRAFT}"
    raise BusyError(quoting, body=f"<{DRAFT}>") from ValueError(DRAFT)


ENGINES = {
    "answer": ({"draft": BusyError("busy", body="slowly")}, {}, "PGR", "generate"),
    "propose": ({"sentences": failing}, {}, "PGEASR", "best_of_n"),
    "finish": (
        {"continuation": BusyError(DRAFT, body=DRAFT)},
        {"search": False},
        "PGEAR",
        "prefix_align",
    ),
}


@pytest.mark.parametrize(("engine", "policy", "letters", "node"), ENGINES.values(), ids=ENGINES)
def test_an_engine_that_fails_raises_or_is_refused(
    engine: dict[str, Any], policy: dict[str, Any], letters: str, node: str
) -> None:
    with pytest.raises(BusyError) as caught:
        Rig(GuardPolicy(**policy), engine=FakeEngine(**engine)).ask(question(UNSAFE))
    error = caught.value
    assert error.status_code == 429
    assert "canary" not in f"{error} {error.args} {vars(error)} {error.__cause__}"
    assert (error.body == "slowly") is (node == "generate")  # nothing of it quotes the draft
    assert ("canary" in str(error.__context__)) is False
    rig = Rig(GuardPolicy(**policy, on_error="refuse"), engine=FakeEngine(**engine))
    reply = rig.ask(question(UNSAFE))
    verdict = verdict_of(reply)
    assert (verdict.decision, reply.content) == ("refused", REFUSAL)
    assert verdict.route == route(letters)
    assert verdict.reason == f"{node} failed with BusyError"
    assert "canary" not in repr(reply)
    assert reply.response_metadata["finish_reason"] == "content_filter"


@pytest.mark.parametrize("text", ["As an AI assistant", "As an AI assistant \n", ""])
def test_a_prefix_that_nothing_follows_is_refused(text: str) -> None:
    """However harmless it scores."""

    @dataclass
    class Mute(FakeEngine):
        def open(self, conversation: Conversation, generation: Generation) -> FakeSession:
            return MuteSession(self, generation)

    class MuteSession(FakeSession):
        def finish(self) -> Completion:
            return Completion(text, "stop")

    verdict = verdict_of(Rig(GuardPolicy(search=False), engine=Mute()).ask(question(UNSAFE)))
    assert (verdict.decision, verdict.route) == ("refused", route("PGEAR"))
    assert verdict.reason == "the model added nothing to the prefix"


def test_an_engine_that_fails_as_late_as_in_respond_is_refused() -> None:
    """A resumed run draws its draft again there."""
    rig = Rig(GuardPolicy(on_error="refuse"))
    saver = InMemorySaver()
    config: RunnableConfig = {"configurable": {"thread_id": "1"}}
    graph = rig.graph().compile(checkpointer=saver, interrupt_before=["respond"])
    given: Any = {"messages": [question(SAFE)]}
    graph.invoke(given, config)
    rig.engine.draft = RuntimeError(DRAFT)
    reply = reply_of(graph.invoke(None, config))
    verdict = verdict_of(reply)
    assert (verdict.decision, reply.content) == ("refused", REFUSAL)
    assert verdict.reason == "respond failed with RuntimeError"
    assert verdict.route == route("PGR")


def test_an_engine_that_reads_the_input_may_block_it() -> None:
    error = InputError("Too many images.", hint="Send one.")
    rig = Rig(GuardPolicy(on_unreadable="refuse"), engine=FakeEngine(draft=error))
    verdict = verdict_of(rig.ask(question(SAFE)))
    assert (verdict.decision, verdict.reason) == ("blocked", "Too many images. Send one.")


@pytest.mark.parametrize("on_error", ["raise", "refuse"])
def test_a_wrong_override_always_raises(on_error: str) -> None:
    rig = Rig(GuardPolicy(on_error=on_error, overridable=frozenset({"candidates"})))
    for overrides in ({"mode": "observe"}, {"candidates": 0}, {"no_field": 1}, "observe"):
        with pytest.raises(PolicyError):
            rig.ask(question(SAFE), config={"configurable": {"eta_guard": overrides}})


def test_overrides_hold_for_edges_and_nodes_alike() -> None:
    rig = Rig(GuardPolicy(overridable=frozenset({"mode", "search", "on_no_image"})))
    table: list[tuple[HumanMessage, dict[str, Any], str, str]] = [
        (question(UNSAFE), {"mode": "observe"}, "observed", "PGER"),
        (question(UNSAFE), {"search": False}, "aligned", "PGEAER"),
        (question(), {"on_no_image": "pass"}, "passed", "PGR"),
        (question(UNSAFE), {}, "aligned", "PGEASSSER"),
    ]
    for message, overrides, decision, letters in table:
        reply = rig.ask(message, config={"configurable": {"eta_guard": overrides}})
        assert verdict_of(reply).decision == decision
        assert verdict_of(reply).route == route(letters)


# ── several images ──

LOOK: Any = {"name": "look", "args": {}, "id": "1", "type": "tool_call"}


def shown_by_a_tool(score: float) -> list[BaseMessage]:
    return [
        AIMessage("", tool_calls=[LOOK]),
        ToolMessage([image_block(score)], tool_call_id="1"),
    ]


def images_of(verdict: Verdict) -> list[tuple[int, int, float | None]]:
    return [
        (image.message, image.block, image.score and round(image.score, 1))
        for image in verdict.images
    ]


PLACES: dict[str, tuple[list[BaseMessage], str, list[tuple[int, int, float]], int | None]] = {
    "the most unsafe counts": (
        [question(0.1, 0.9, 0.4)],
        "conversation",
        [(0, 0, 0.1), (0, 1, 0.9), (0, 2, 0.4)],
        1,
    ),
    "all are safe": ([question(0.1, 0.0)], "conversation", [(0, 0, 0.1), (0, 1, 0.0)], 0),
    "equals: the first": ([question(0.8, 0.8)], "conversation", [(0, 0, 0.8), (0, 1, 0.8)], 0),
    "an earlier turn": (
        [question(0.8), AIMessage("A cup."), question(0.0)],
        "conversation",
        [(0, 0, 0.8), (2, 0, 0.0)],
        0,
    ),
    "an earlier turn, out of scope": (
        [question(0.8), AIMessage("A cup."), question(0.0)],
        "last_turn",
        [(2, 0, 0.0)],
        0,
    ),
    "an earlier turn, nothing in scope": (
        [question(0.8), AIMessage("A cup."), question()],
        "last_turn",
        [],
        None,
    ),
    "a tool's": (
        [question(), *shown_by_a_tool(0.8)],
        "conversation",
        [(2, 0, 0.8)],
        0,
    ),
    "a tool's, in the last turn": (
        [question(0.8), AIMessage("A cup."), question(), *shown_by_a_tool(0.4)],
        "last_turn",
        [(4, 0, 0.4)],
        0,
    ),
    "a tool's, in an earlier turn": (
        [question(), *shown_by_a_tool(0.8), AIMessage("A cup."), question()],
        "conversation",
        [(2, 0, 0.8)],
        0,
    ),
    "a tool's, out of scope": (
        [question(), *shown_by_a_tool(0.8), AIMessage("A cup."), question()],
        "last_turn",
        [],
        None,
    ),
}


@pytest.mark.parametrize(("messages", "scope", "images", "worst"), PLACES.values(), ids=PLACES)
def test_which_images_count(
    messages: list[BaseMessage],
    scope: str,
    images: list[tuple[int, int, float]],
    worst: int | None,
) -> None:
    rig = Rig(GuardPolicy(image_scope=scope, on_no_image="pass"))
    verdict = verdict_of(rig.ask(*messages))
    assert images_of(verdict) == images
    assert verdict.image == (None if worst is None else verdict.images[worst])
    unsafe = worst is not None and images[worst][2] >= 0.16
    assert verdict.decision == ("aligned" if unsafe else "passed")


def test_an_image_without_a_score_counts_before_all_others() -> None:
    for scores in ([0.0, NAN], [NAN, 0.0], [0.99, NAN, 0.0]):
        rig = Rig(images=FixedImages(values=scores))
        verdict = verdict_of(rig.ask(question(*[SAFE] * len(scores))))
        assert verdict.image is not None
        assert verdict.image.outcome == "unscored"
        assert verdict.image.block == [math.isnan(score) for score in scores].index(True)
        assert verdict.decision == "aligned"


def test_images_are_scored_in_one_go_against_the_safety_prompt() -> None:
    rig = Rig(GuardPolicy(safety_prompt="The image contains a canary."))
    rig.ask(question(0.1, 0.1))
    assert rig.images.asked == [(2, "The image contains a canary.")]


def test_the_search_compares_with_the_image_that_counts() -> None:
    """Two images in one tool result share message and block."""
    nested = {"type": "tool_result", "content": [image_block(0.0), image_block(0.8)]}
    for content in ([image_block(0.0), image_block(0.8)], [nested]):
        blocks: list[Any] = content
        message = ToolMessage(blocks, tool_call_id="1")
        rig = Rig()
        rig.ask(question(), AIMessage("", tool_calls=[LOOK]), message)
        reds = [image.getpixel((0, 0))[0] for image, _ in rig.images.compared]  # type: ignore[index]
        assert reds == [204]


# ── sixty sentences ──

SIXTY = 60


def sixty() -> Rig:
    """Sixty sentences, of whose candidates another is the best each time."""

    def sentences(number: int, n: int) -> list[Candidate]:
        return [
            candidate(f" {number}.{i}.", ends=number == SIXTY, ids=(number, i)) for i in range(n)
        ]

    def reward(text: str) -> float:
        number, i = map(int, text.rstrip(".").split(" ")[-1].split("."))
        return 1.0 if i == number % 5 else 0.5

    return Rig(
        engine=FakeEngine(sentences=sentences),
        responses=FakeResponses(scoring(candidates=reward)),
    )


LONG = "As an AI assistant" + "".join(f" {i}.{i % 5}." for i in range(1, SIXTY + 1))

Ask = Callable[[Rig, RunnableConfig], AIMessage]


def messages_of(rig: Rig) -> Any:
    return {"messages": [question(UNSAFE)]}


def foreign(rig: Rig) -> Any:
    """A graph around the guard's, whose other nodes take steps of their own."""
    outer = StateGraph(MessagesState)
    outer.add_node("before", lambda state: {})
    outer.add_node("guarded", rig.graph().compile())
    outer.add_node("after", lambda state: {})
    outer.add_edge(START, "before")
    outer.add_edge("before", "guarded")
    outer.add_edge("guarded", "after")
    return outer.compile()


def passing_on() -> RunnableLambda[Any, Any]:
    return RunnableLambda(lambda given: given)


PLACES_OF_THE_GRAPH: dict[str, tuple[Ask, int]] = {
    "alone": (
        lambda rig, config: reply_of(rig.graph().compile().invoke(messages_of(rig), config)),
        60,
    ),
    "alone, async": (
        lambda rig, config: reply_of(
            asyncio.run(rig.graph().compile().ainvoke(messages_of(rig), config))
        ),
        60,
    ),
    "in a chain": (
        lambda rig, config: reply_of(
            (passing_on() | rig.graph().compile()).invoke(messages_of(rig), config)
        ),
        18,
    ),
    "in a chain, async": (
        lambda rig, config: reply_of(
            asyncio.run((passing_on() | rig.graph().compile()).ainvoke(messages_of(rig), config))
        ),
        18,
    ),
    "in a foreign graph in a chain": (
        lambda rig, config: reply_of(
            (passing_on() | foreign(rig)).invoke(messages_of(rig), config)
        ),
        18,
    ),
    "EtaGuard in a chain": (
        lambda rig, config: (passing_on() | rig.guard()).invoke([question(UNSAFE)], config),
        60,
    ),
    "EtaGuard in a foreign graph in a chain": (
        lambda rig, config: reply_of(
            (passing_on() | in_a_node(rig.guard())).invoke(messages_of(rig), config)
        ),
        60,
    ),
}


def in_a_node(guard: EtaGuard) -> Any:
    outer = StateGraph(MessagesState)
    outer.add_node("ask", lambda state: {"messages": [guard.invoke(state["messages"])]})
    outer.add_edge(START, "ask")
    return outer.compile()


@pytest.mark.parametrize(("ask", "passes"), PLACES_OF_THE_GRAPH.values(), ids=PLACES_OF_THE_GRAPH)
def test_sixty_sentences_wherever_the_graph_stands(ask: Ask, passes: int) -> None:
    reply = ask(sixty(), {})
    verdict = verdict_of(reply)
    assert reply.content == LONG
    assert [record.pick for record in verdict.rounds] == [i % 5 for i in range(1, SIXTY + 1)]
    assert [record.sentence for record in verdict.rounds] == list(range(1, SIXTY + 1))
    # A chain's recursion limit is 25: the last pass goes on to the end, and no sooner.
    assert verdict.route.count("best_of_n") == passes
    assert verdict.route[-2:] == ("post_evaluate", "respond")


@pytest.mark.parametrize("limit", [*range(8, 14), 40, 66, 67, 68, 200])
def test_any_recursion_limit_gives_the_same_answer(limit: int) -> None:
    reply = PLACES_OF_THE_GRAPH["alone"][0](sixty(), {"recursion_limit": limit})
    assert reply.content == LONG
    assert len(verdict_of(reply).route) < limit


def test_a_draft_that_passes_needs_no_more_than_its_steps() -> None:
    reply = sixty().ask(question(SAFE), config={"recursion_limit": 4})
    assert reply.content == DRAFT


# ── the graph as such ──

SNAPSHOT = Path(__file__).parent / "snapshots" / "graph.mmd"


def test_the_drawn_graph() -> None:
    """To update: python -m tests.test_graph."""
    assert Rig().graph().compile().get_graph().draw_mermaid() == SNAPSHOT.read_text("utf-8")


def test_the_drawing_does_not_depend_on_the_policy() -> None:
    for policy in (GuardPolicy(search=False), GuardPolicy(mode="observe"), None):
        rig = Rig()
        graph = build_graph(
            engine=rig.engine,
            image_evaluator=rig.images,
            response_evaluator=rig.responses,
            policy=policy,
        )
        assert graph.compile().get_graph().draw_mermaid() == SNAPSHOT.read_text("utf-8")


def test_build_graph_returns_an_uncompiled_graph_of_messages_alone() -> None:
    graph = Rig().graph()
    assert type(graph) is StateGraph
    assert graph.state_schema is GuardState
    for schema in (graph.input_schema, graph.output_schema):
        assert list(schema.__annotations__) == [] or list(schema.__annotations__) == ["messages"]
    compiled = graph.compile()
    assert list(compiled.get_input_jsonschema()["properties"]) == ["messages"]
    assert list(compiled.get_output_jsonschema()["properties"]) == ["messages"]
    given: Any = {"messages": [question(UNSAFE)]}
    assert list(compiled.invoke(given)) == ["messages"]


def test_a_caller_cannot_hand_in_more_than_messages() -> None:
    """Nor a way past the evaluation."""
    repaired = {"text": "handed in", "finish_reason": "stop"}
    given: Any = {"messages": [question(UNSAFE)], "repaired": repaired, "halt": None, "images": []}
    assert reply_of(Rig().graph().compile().invoke(given)).content == SEARCHED


def test_no_policy_is_the_default_policy() -> None:
    rig = Rig()
    graph = build_graph(
        engine=rig.engine, image_evaluator=rig.images, response_evaluator=rig.responses
    )
    given: Any = {"messages": [question(0.8)]}
    assert reply_of(graph.compile().invoke(given)).content == SEARCHED


if __name__ == "__main__":
    SNAPSHOT.parent.mkdir(exist_ok=True)
    SNAPSHOT.write_text(Rig().graph().compile().get_graph().draw_mermaid(), "utf-8")


def test_the_round_that_stops_is_no_sentence() -> None:
    """To stop competes in a round of its own, which adds nothing to the answer."""

    def sentences(number: int, n: int) -> list[Candidate]:
        text = f" Sentence {number}." if number < 3 else ""
        return [candidate(text, ends=number == 3, ids=(number, i)) for i in range(n)]

    reply = Rig(engine=FakeEngine(sentences=sentences)).ask(question(UNSAFE))
    verdict = verdict_of(reply)
    assert (verdict.decision, len(verdict.rounds), verdict.sentences) == ("aligned", 3, 2)
    assert [record.text for record in verdict.rounds] == [" Sentence 1.", " Sentence 2.", ""]
    assert str(reply.content).endswith(" Sentence 1. Sentence 2.")
    whole = verdict_of(Rig().ask(question(UNSAFE)))
    assert (len(whole.rounds), whole.sentences) == (3, 3)


def test_a_part_that_lacks_something_is_refused_when_the_graph_is_built() -> None:
    """Met in a request, it would only count as an evaluator that fails."""

    class Older:
        fingerprint = "older"

        def evaluate(self, images: Any, prompt: str, question: str = "") -> list[Finding]:
            return [Finding(0.0)]

    parts: Any = {"engine": FakeEngine(), "response_evaluator": FakeResponses()}
    with pytest.raises(
        UnsupportedModelError, match="Older is no ImageEvaluator: it lacks cost, name, threshold"
    ):
        build_graph(image_evaluator=Older(), **parts)  # type: ignore[arg-type]
