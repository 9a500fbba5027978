"""``aligner``: the way of a request whose pictures are covered, through the whole graph."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pytest
import torch
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from PIL import Image, ImageDraw

from eta_guard import ChatLocalVLM, EtaGuard, GuardPolicy, embedded
from eta_guard.errors import PolicyError, UnsupportedModelError
from eta_guard.graph import build_graph
from eta_guard.protocols import Completion, Finding, Region
from eta_guard.state import Verdict, without_texts
from tests.chat_fakes import FakeChat
from tests.fakes import (
    DRAFT,
    SAFE,
    UNSAFE,
    FakeEngine,
    FakeImages,
    FakeResponses,
    Rig,
    image_block,
    question,
    red,
    reply_of,
    verdict_of,
)
from tests.middleware.agents import agent, both, look, reply
from tests.test_graph import CONTINUED, REFUSAL, SEARCHED
from tests.test_graph import LETTERS as KNOWN
from tests.test_state import CONFIG, LEVELS, STREAMS, saved

LETTERS = {**KNOWN, "M": "mask_align"}
MASKED = "What is left, canary."
LOWER = Region(0.0, 0.5, 1.0, 1.0, 0.8)

pytestmark = pytest.mark.filterwarnings("error")


def route(letters: str) -> tuple[str, ...]:
    return tuple(LETTERS[letter] for letter in letters)


@dataclass
class Pointing(FakeImages):
    """Says where, as far as it is told what to say."""

    regions: tuple[Region, ...] = (LOWER,)

    def evaluate(self, images: Any, prompt: str, question: str = "") -> list[Finding]:
        return [Finding(red(image), regions=self.regions) for image in images]


@dataclass
class Left(FakeEngine):
    """Answers ``MASKED`` from nothing, and ``CONTINUED`` after a prefix."""

    masked: str | Exception = MASKED

    def open(self, conversation: Any, generation: Any) -> Any:
        session = super().open(conversation, generation)
        inner = session.finish

        def finish() -> Completion:
            if session.text or isinstance(self.masked, Exception):
                if isinstance(self.masked, Exception):
                    raise self.masked
                return inner()
            self.calls.append("finish")
            return Completion(self.masked, "stop")

        session.finish = finish  # type: ignore[method-assign]
        return session


def scored(masked: float | Exception = 1.0, repaired: float = 1.0) -> Callable[[str, str], float]:
    def score(prompt: str, text: str) -> float:
        if text == DRAFT:
            return 0.0
        found = masked if text == MASKED else repaired
        if isinstance(found, Exception):
            raise found
        return found

    return score


def rig(
    aligner: str = "mask",
    masked: float | Exception = 1.0,
    repaired: float = 1.0,
    text: str | Exception = MASKED,
    regions: tuple[Region, ...] = (LOWER,),
    **policy: Any,
) -> Rig:
    return Rig(
        GuardPolicy(**{"aligner": aligner, **policy}),
        engine=Left(masked=text),
        images=Pointing(regions=regions),
        responses=FakeResponses(scored(masked, repaired)),
    )


BROKEN = RuntimeError("broken")


@dataclass(frozen=True)
class Case:
    about: str
    aligner: str
    letters: str
    decision: str
    text: str
    masked: float | Exception = 1.0
    repaired: float = 1.0
    policy: dict[str, Any] = field(default_factory=dict)
    said: str = MASKED


CASES = [
    Case("mask repairs", "mask", "PGEMER", "aligned", MASKED),
    Case("mask repairs, no need of ETA", "mask+eta", "PGEMER", "aligned", MASKED),
    Case("still unsafe", "mask", "PGEMER", "refused", REFUSAL, masked=0.0),
    Case("still unsafe: ETA", "mask+eta", "PGEMEASSSER", "aligned", SEARCHED, masked=0.0),
    Case("neither", "mask+eta", "PGEMEASSSER", "refused", REFUSAL, masked=0.0, repaired=0.0),
    Case("returned", "mask", "PGEMER", "aligned", MASKED, 0.0, policy={"on_unrepaired": "return"}),
    Case(
        "the last is returned",
        "mask+eta",
        "PGEMEASSSER",
        "aligned",
        SEARCHED,
        0.0,
        0.0,
        {"on_unrepaired": "return"},
    ),
    Case("no search", "mask+eta", "PGEMEAER", "aligned", CONTINUED, 0.0, policy={"search": False}),
    Case("unscored is not safe", "mask", "PGEMER", "refused", REFUSAL, masked=BROKEN),
    Case("unscored: ETA", "mask+eta", "PGEMEASSSER", "aligned", SEARCHED, masked=BROKEN),
    Case(
        "unscored, refused at once",
        "mask+eta",
        "PGEMER",
        "refused",
        REFUSAL,
        masked=BROKEN,
        policy={"on_unscored": "refuse"},
    ),
    Case(
        "unscored is never returned",
        "mask",
        "PGEMER",
        "refused",
        REFUSAL,
        masked=BROKEN,
        policy={"on_unrepaired": "return"},
    ),
    Case("says nothing", "mask", "PGEMER", "refused", REFUSAL, said=" \n"),
    Case("says nothing: ETA", "mask+eta", "PGEMEASSSER", "aligned", SEARCHED, said=""),
    Case("only observed", "mask+eta", "PGER", "observed", DRAFT, policy={"mode": "observe"}),
    Case(
        "an input gate comes first",
        "mask",
        "PR",
        "blocked",
        REFUSAL,
        policy={"on_unsafe_image": "block"},
    ),
    Case(
        "a draft that is stopped",
        "mask",
        "PGEMER",
        "aligned",
        MASKED,
        policy={"draft_stop_margin": 0.0},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.about)
@pytest.mark.parametrize("asynchronously", [False, True])
def test_routes(case: Case, asynchronously: bool) -> None:
    asked = rig(case.aligner, case.masked, case.repaired, case.said, **case.policy)
    if "draft_stop_margin" in case.policy:
        asked.engine.draft = f"{DRAFT} And more."
        asked.responses.score = lambda prompt, text: 1.0 if text == MASKED else 0.0
    graph = asked.graph().compile()
    given: Any = {"messages": [question(UNSAFE)]}
    reply = reply_of(asyncio.run(graph.ainvoke(given)) if asynchronously else graph.invoke(given))
    verdict = verdict_of(reply)
    assert (verdict.route, verdict.decision) == (route(case.letters), case.decision)
    assert reply.content == case.text
    assert verdict.flagged
    same = verdict.under(asked.policy)
    assert (same.decision, same.reason, same.flagged) == (case.decision, verdict.reason, True)
    assert (same.route, same.final, same.unknown) == (verdict.route, verdict.final, None)


def test_the_verdict_tells_what_was_covered_and_what_came_of_it() -> None:
    verdict = verdict_of(rig("mask+eta", masked=0.0).ask(question(SAFE, UNSAFE)))
    assert verdict.masked is not None
    (picture,) = verdict.masked.pictures
    assert picture.image == 1
    assert verdict.images[picture.image] == verdict.image
    (region,) = picture.regions
    assert (region.evaluator, region.region, region.reason) == ("clip", LOWER, None)
    assert verdict.masked.response is not None
    assert verdict.masked.response.outcome == "unsafe"
    assert verdict.final is not None
    assert verdict.final.outcome == "safe"
    assert Verdict.model_validate(verdict.model_dump(mode="json")) == verdict
    assert verdict_of(rig("eta").ask(question(UNSAFE))).masked is None


@pytest.mark.parametrize(
    ("made", "masked", "asked", "decision", "unknown"),
    [
        ("mask", 0.0, {"response_threshold": -1.0}, "passed", None),
        ("mask", 0.5, {"response_threshold": 0.6}, "refused", None),
        ("mask", 0.0, {"on_unrepaired": "return"}, "aligned", None),
        ("mask", 0.0, {"aligner": "mask+eta"}, None, "no repaired answer was made"),
        ("mask+eta", 0.0, {"aligner": "mask"}, "refused", None),
        ("mask+eta", 0.5, {"response_threshold": 0.6}, None, "no repaired answer was made"),
        ("mask", 1.0, {"aligner": "eta"}, None, "only covered pictures were answered anew"),
        ("eta", 1.0, {"aligner": "mask"}, None, "no picture was covered"),
        ("mask", 1.0, {"image_threshold": 0.5}, None, "something else would have been covered"),
        ("mask", 1.0, {"image_threshold": 0.9}, "passed", None),
        ("mask", 1.0, {"mode": "observe"}, "observed", None),
    ],
)
def test_another_policy_decides_on_what_was_covered(
    made: str, masked: float, asked: dict[str, Any], decision: str | None, unknown: str | None
) -> None:
    rigged = rig(made, masked)
    verdict = verdict_of(rigged.ask(question(UNSAFE, 0.3)))
    found = verdict.under(rigged.policy.updated(asked))
    assert (found.decision, found.unknown) == (decision, unknown)


def test_verdicts_from_before_pictures_were_covered_are_read() -> None:
    told = verdict_of(rig("eta").ask(question(UNSAFE))).model_dump(mode="json")
    old = {name: value for name, value in told.items() if not name.startswith("masked")}
    read = Verdict.model_validate({**old, "schema_version": 2})
    assert (read.masked, read.masked_draft, read.schema_version) == (None, None, 2)


def test_the_answer_to_covered_pictures_is_recorded_where_that_is_asked_for() -> None:
    reply = rig(masked=0.0, record_rejected=True).ask(question(UNSAFE))
    verdict = verdict_of(reply)
    assert verdict.masked_draft == MASKED
    assert "canary" not in repr(without_texts(verdict))
    assert "canary" not in repr(rig(masked=0.0).ask(question(UNSAFE)))


def test_the_masked_picture_is_not_evaluated_again() -> None:
    verdict = verdict_of(rig().ask(question(UNSAFE)))
    assert verdict.counts["evaluations_clip"] == 1


def test_the_search_goes_on_from_the_covered_picture_and_compares_with_it() -> None:
    asked = rig("mask+eta", masked=0.0)
    asked.ask(question(UNSAFE))
    (plain, _), (masked, _) = asked.engine.opened
    assert plain.pictures[0].pixels.getpixel((0, 3)) == (204, 0, 0)
    assert masked.pictures[0].pixels.getpixel((0, 3)) == (0, 0, 0)
    assert masked.pictures[0].pixels.getpixel((0, 0)) == (204, 0, 0)
    assert asked.engine.calls.count("answer") == 1
    compared = [image for image, _ in asked.images.compared]
    assert compared
    assert all(image.getpixel((0, 3)) == (0, 0, 0) for image in compared)


def test_with_nothing_of_the_picture_left_the_reward_decides_alone() -> None:
    asked = rig("mask+eta", masked=0.0, regions=())
    verdict = verdict_of(asked.ask(question(UNSAFE)))
    assert asked.images.compared == []
    assert all(one.similarity is None for round in verdict.rounds for one in round.candidates)
    assert verdict.masked is not None
    (region,) = verdict.masked.pictures[0].regions
    assert region.reason == "clip does not say where it is unsafe"


def test_whoever_is_cheaper_spares_nobody_who_may_say_where() -> None:
    asked = rig()
    images = [FakeImages(name="cheap"), Pointing(name="regions", cost=9.0)]
    parts: Any = {"engine": asked.engine, "response_evaluator": asked.responses}
    for aligner, asked_n in (("mask", 2), ("eta", 1)):
        policy = GuardPolicy(aligner=aligner)
        graph = build_graph(image_evaluator=images, policy=policy, **parts).compile()
        given: Any = {"messages": [question(UNSAFE)]}
        verdict = verdict_of(reply_of(graph.invoke(given)))
        assert verdict.image is not None
        assert len(verdict.image.findings) == asked_n
        if verdict.masked:
            (region,) = verdict.masked.pictures[0].regions
            assert (region.evaluator, region.region) == ("regions", LOWER)


def test_a_picture_without_a_score_is_covered_whole() -> None:
    asked = rig()
    asked.images.evaluate = lambda *_: [Finding(float("nan"), regions=(LOWER,))]  # type: ignore
    verdict = verdict_of(asked.ask(question(UNSAFE)))
    assert verdict.decision == "aligned"
    ((_, _), (masked, _)) = asked.engine.opened
    assert masked.pictures[0].pixels.getbbox() is None


def test_earlier_turns_and_what_tools_show_are_covered_too() -> None:
    call: Any = {"name": "look", "args": {}, "id": "1", "type": "tool_call"}
    history = [
        question(UNSAFE),
        AIMessage("Seen."),
        question(SAFE),
        AIMessage("", tool_calls=[call]),
        ToolMessage([image_block(UNSAFE)], tool_call_id="1"),
    ]
    asked = rig()
    verdict = verdict_of(asked.ask(*history))
    assert verdict.masked is not None
    assert [picture.image for picture in verdict.masked.pictures] == [0, 2]
    _, (masked, _) = asked.engine.opened
    first, second, third = (picture.pixels.getpixel((0, 3)) for picture in masked.pictures)
    assert (first, second, third) == ((0, 0, 0), (0, 0, 0), (0, 0, 0))
    assert masked.pictures[1].pixels.tobytes() == Image.new("RGB", (4, 4)).tobytes()


# ── no picture ──


@pytest.mark.parametrize(
    ("aligner", "letters", "decision"),
    [("mask", "PGER", "refused"), ("mask+eta", "PGEASSSER", "aligned")],
)
def test_without_a_picture_there_is_nothing_to_cover(
    aligner: str, letters: str, decision: str
) -> None:
    verdict = verdict_of(rig(aligner, on_unrepaired="return").ask(question()))
    assert (verdict.route, verdict.decision) == (route(letters), decision)
    assert verdict.masked is None


def test_to_align_always_needs_more_than_a_mask() -> None:
    with pytest.raises(PolicyError, match="exclude each other"):
        GuardPolicy(aligner="mask", on_no_image="align")
    verdict = verdict_of(rig("mask+eta", on_no_image="align").ask(question()))
    assert verdict.route == route("PGEASSSER")


def test_calls_of_tools_are_never_replaced() -> None:
    """As under ETA: a draft that calls goes out, or is refused."""

    class Calling(Left):
        def open(self, conversation: Any, generation: Any) -> Any:
            session = super().open(conversation, generation)
            call: Any = {"name": "buy", "args": {}, "id": "1", "type": "tool_call"}
            session.answer = lambda watch=None: Completion(DRAFT, "stop", (call,))
            return session

    asked = rig("mask+eta")
    asked.engine = Calling()
    assert verdict_of(asked.ask(question(UNSAFE))).route == route("PGER")


# ── policies ──


def drawn(policy: GuardPolicy) -> str:
    return str(Rig(policy).graph().compile().get_graph().draw_mermaid())


def nodes(policy: GuardPolicy) -> set[str]:
    return set(Rig(policy).graph().nodes)


def test_the_node_is_drawn_where_the_policy_may_ask_for_it_alone() -> None:
    default = nodes(GuardPolicy())
    assert "mask_align" not in default
    assert nodes(GuardPolicy(aligner="mask+eta")) == default | {"mask_align"}
    assert nodes(GuardPolicy(aligner="mask")) == default - {"prefix_align", "best_of_n"} | {
        "mask_align"
    }
    overridable = frozenset({"aligner"})
    for aligner in ("eta", "mask"):
        asked: Any = {"aligner": aligner, "overridable": overridable}
        assert nodes(GuardPolicy(**asked)) == default | {"mask_align"}
    edges = drawn(GuardPolicy(aligner="mask"))
    for edge in ("post_evaluate -.-> mask_align", "mask_align -.-> post_evaluate"):
        assert edge in edges


@pytest.mark.parametrize("name", ["paper", "balanced", "strict", "lenient"])
def test_presets_align_as_the_paper_does(name: str) -> None:
    assert GuardPolicy.preset(name).aligner == "eta"


def test_candidates_beside_the_draft_are_not_for_covered_pictures() -> None:
    for aligner in ("mask", "mask+eta"):
        with pytest.raises(PolicyError, match="exclude each other"):
            GuardPolicy(aligner=aligner, draft_with_candidates=True)


def test_a_request_may_choose_where_the_policy_lets_it() -> None:
    asked = rig("eta", overridable=frozenset({"aligner"}))
    for aligner, letters in (("mask", "PGEMER"), ("eta", "PGEASSSER"), ("mask+eta", "PGEMER")):
        config: RunnableConfig = {"configurable": {"eta_guard": {"aligner": aligner}}}
        verdict = verdict_of(asked.ask(question(UNSAFE), config=config))
        assert verdict.route == route(letters)
    strict = rig("eta")
    with pytest.raises(PolicyError, match="does not let a caller set aligner"):
        strict.ask(question(UNSAFE), config=config)


def test_who_never_searches_needs_nobody_who_compares() -> None:
    class NoLikeness:
        fingerprint, name, threshold, unsafe, cost = "x", "regions", 0.5, "above", 0.0

        def evaluate(self, images: Any, prompt: str, question: str = "") -> list[Finding]:
            return [Finding(0.8, regions=(LOWER,)) for _ in images]

    parts: Any = {
        "engine": Left(),
        "image_evaluator": NoLikeness(),
        "response_evaluator": FakeResponses(scored()),
    }
    graph = build_graph(**parts, policy=GuardPolicy(aligner="mask")).compile()
    given: Any = {"messages": [question(UNSAFE)]}
    assert verdict_of(reply_of(graph.invoke(given))).decision == "aligned"
    overridable: Any = frozenset({"aligner"})
    for policy in (GuardPolicy(), GuardPolicy(aligner="mask", overridable=overridable)):
        with pytest.raises(UnsupportedModelError):
            build_graph(**parts, policy=policy)


# ── what is kept, and what is shown ──


@pytest.mark.parametrize("listen", ["stream", "astream_events"])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("aligner", ["mask", "mask+eta"])
def test_an_unsafe_answer_to_covered_pictures_is_nowhere(
    level: str, listen: str, aligner: str
) -> None:
    saver = InMemorySaver()
    graph = LEVELS[level](rig(aligner, masked=0.0), saver)
    seen = repr(STREAMS[listen](graph))
    assert (REFUSAL if aligner == "mask" else SEARCHED) in seen
    assert "mask_align" in seen
    kept = repr([saved(graph, saver), saver.storage, saver.writes, saver.blobs])
    for told in (seen, kept):
        assert "canary" not in told


def test_the_search_above_would_find_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from eta_guard.session import GuardSession

    monkeypatch.setattr(GuardSession, "__repr__", lambda self: str(self.drawn_masked_answer))
    graph = LEVELS["top level"](rig(masked=0.0), InMemorySaver())
    assert "canary" in repr(STREAMS["stream"](graph))


def test_a_safe_one_is_said_once_and_only_after_its_verdict() -> None:
    graph = rig().graph().compile()
    given: Any = {"messages": [question(UNSAFE)]}
    events: list[Any] = list(graph.stream(given, stream_mode=["messages", "custom"]))
    said = [n for n, (mode, event) in enumerate(events) if mode == "messages"]
    told = [
        n for n, (_, event) in enumerate(events) if isinstance(event, dict) and "final" in event
    ]
    assert len(said) == 1
    assert told[0] < said[0]
    assert events[said[0]][1][0].content == MASKED


def test_custom_events_tell_what_was_covered() -> None:
    graph = rig().graph().compile()
    given: Any = {"messages": [question(UNSAFE)]}
    events: list[Any] = list(graph.stream(given, stream_mode="custom"))
    (told,) = [event for event in events if event["eta_guard"] == "mask_align"]
    assert told["masked"][0]["regions"][0]["region"]["top"] == 0.5
    assert events[-1]["masked"] == told["masked"]


STOPS = {
    "mask": ["mask_align", "post_evaluate", "respond"],
    "mask+eta": ["mask_align", "post_evaluate", "prefix_align", "best_of_n", "respond"],
}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("masked", [0.0, 1.0])
@pytest.mark.parametrize(
    ("aligner", "stop"), [(aligner, stop) for aligner in STOPS for stop in STOPS[aligner]]
)
def test_a_run_that_is_resumed_comes_to_the_same(
    aligner: str, masked: float, stop: str, after: bool
) -> None:
    """All that is withheld is drawn again, and from the same pictures."""
    asked = rig(aligner, masked)
    given: Any = {"messages": [question(UNSAFE)]}
    whole = reply_of(rig(aligner, masked).graph().compile().invoke(given))
    where: dict[str, Any] = {"interrupt_after" if after else "interrupt_before": [stop]}
    graph = asked.graph().compile(checkpointer=InMemorySaver(), **where)
    state = graph.invoke(given, CONFIG)
    while graph.get_state(CONFIG).next:
        state = graph.invoke(None, CONFIG)
    resumed = reply_of(state)
    assert (resumed.content, verdict_of(resumed).route) == (
        whole.content,
        verdict_of(whole).route,
    )
    assert verdict_of(resumed).masked == verdict_of(whole).masked
    assert all(image.getpixel((0, 3)) == (0, 0, 0) for image, _ in asked.images.compared)


def test_what_is_drawn_otherwise_after_a_resume_does_not_go_out() -> None:
    asked = rig()
    graph = asked.graph().compile(checkpointer=InMemorySaver(), interrupt_before=["respond"])
    given: Any = {"messages": [question(UNSAFE)]}
    graph.invoke(given, CONFIG)
    asked.engine.masked = "Something else."  # type: ignore[attr-defined]
    reply = reply_of(graph.invoke(None, CONFIG))
    assert reply.content == REFUSAL
    assert verdict_of(reply).reason == (
        "the answer to the masked pictures could not be drawn again"
    )


def test_an_engine_that_fails_is_refused_and_quotes_nothing() -> None:
    asked = rig(text=RuntimeError(MASKED), on_error="refuse")
    reply = asked.ask(question(UNSAFE))
    assert verdict_of(reply).reason == "mask_align failed with RuntimeError"
    assert "canary" not in repr(reply)
    assert verdict_of(reply).route == route("PGEMR")


def test_a_second_turn_starts_clean() -> None:
    graph = rig().graph().compile(checkpointer=InMemorySaver())
    given: Any = {"messages": [question(UNSAFE)]}
    assert verdict_of(reply_of(graph.invoke(given, CONFIG))).masked is not None
    again: Any = {"messages": [question(text="And now?")]}
    asked = rig(image_scope="last_turn")
    graph = asked.graph().compile(checkpointer=InMemorySaver())
    graph.invoke(given, CONFIG)
    asked.responses.score = lambda prompt, text: 1.0
    assert verdict_of(reply_of(graph.invoke(again, CONFIG))).masked is None


# ── around the guard ──


class Looking(FakeChat):
    """Says ``DRAFT`` as long as it sees anything, and asks for a tool beside."""

    def _answer(self, messages: Any, settings: dict[str, Any]) -> AIMessage:
        data = next(one for one in messages[-1].content if one["type"] == "image")["base64"]
        sees = Image.open(BytesIO(base64.b64decode(data))).convert("RGB").getbbox()
        self.script = lambda *_: AIMessage(CANARY if sees else "What is left.")
        return super()._answer(messages, settings)


CANARY = "DRAFT canary says it."


@both
@pytest.mark.parametrize("tools", [[], [look]])
def test_in_front_of_a_providers_model_within_an_agent(ask: Any, tools: list[Any]) -> None:
    """The second call is asked for text alone: a covered picture is answered, not acted on."""
    model = Looking()
    made = agent(model, settings={"policy": {"aligner": "mask"}}, tools=tools)
    said = reply(ask(made, {"messages": [question(UNSAFE)]}))
    assert said.text == "What is left."
    assert verdict_of(said).route == route("PGEMER")
    (_, plain), (_, masked) = model.calls
    assert bool(plain.get("tools")) is bool(tools)
    assert not masked.get("tools")
    events = list(
        made.stream({"messages": [question(UNSAFE)]}, stream_mode=["messages", "updates"])
    )
    assert "canary" not in repr(events)


def test_there_is_no_more_time_for_it_than_for_any_drawing() -> None:
    class Late(Left):
        def open(self, conversation: Any, generation: Any) -> Any:
            session = super().open(conversation, generation)
            session.finish = lambda: time.sleep(3)
            return session

    asked = rig(timeout=0.3)
    asked.engine = Late()
    verdict = verdict_of(asked.ask(question(UNSAFE)))
    assert (verdict.decision, verdict.reason) == ("refused", "the timeout of 0.3 s is over")


def test_the_log_line_of_a_decision_counts_what_was_covered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "eta_guard.decisions"):
        rig().ask(question(UNSAFE, UNSAFE))
        rig("eta").ask(question(UNSAFE))
    first, second = (record.eta_guard for record in caplog.records)  # type: ignore[attr-defined]
    assert first["masked_images"] == 2
    assert "masked_images" not in second


# ── the shipped models ──


MIDDLE = Region(0.125, 0.125, 0.875, 0.875)


def test_a_local_answer_is_what_generate_gives_to_a_picture_that_pillow_covers() -> None:
    """Token for token, and the prompt is counted for what it is: read twice."""
    engine: Any = ChatLocalVLM.from_pretrained("embedded", device="cpu").engine
    guard = EtaGuard(
        engine=engine,
        image_evaluator=Everywhere(regions=(MIDDLE,)),
        response_evaluator=FakeResponses(lambda prompt, text: 0.0),
        policy=GuardPolicy(aligner="mask", on_unrepaired="return", max_tokens=MOST),
    )
    sample = next(one for one in embedded.samples() if one.object == "lockpick")
    opened = Image.open(sample.path).convert("RGB")
    reply = guard.invoke([_asking(opened, sample.question)])

    covered = opened.copy()
    corner, opposite = opened.width // 8, opened.width * 7 // 8 - 1
    ImageDraw.Draw(covered).rectangle((corner, corner, opposite, opposite), fill=(0, 0, 0))
    expected, prompt, drawn = _generated(engine, covered, sample.question)
    plain, same, drafted = _generated(engine, opened, sample.question)
    assert reply.content == expected
    assert expected != plain  # the picture matters, so that the test can fail
    assert verdict_of(reply).route == route("PGEMER")
    assert prompt == same
    assert reply.usage_metadata is not None
    assert reply.usage_metadata["input_tokens"] == 2 * prompt
    assert reply.usage_metadata["output_tokens"] == drawn + drafted
    assert verdict_of(reply).counts["vlm_image_encodes"] == 2


MOST = 24
"""Tokens of an answer."""


class Everywhere(Pointing):
    """Finds everything unsafe."""

    def evaluate(self, images: Any, prompt: str, question: str = "") -> list[Finding]:
        return [Finding(1.0, regions=self.regions) for _ in images]


def _asking(picture: Image.Image, question: str) -> HumanMessage:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    shown: Any = {"type": "image", "base64": data, "mime_type": "image/png"}
    return HumanMessage([shown, {"type": "text", "text": question}])


def _generated(engine: Any, picture: Image.Image, question: str) -> tuple[str, int, int]:
    """By transformers alone: the answer, the prompt's tokens, and those that were drawn."""
    model, processor = engine.model, engine.processor
    content = [{"type": "image", "image": picture}, {"type": "text", "text": question}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    with torch.no_grad():
        out = model.generate(**inputs, max_new_tokens=MOST, do_sample=False)
    begun = inputs["input_ids"].shape[1]
    text = processor.tokenizer.decode(out[0, begun:], skip_special_tokens=True).strip()
    return text, begun, int(out.shape[1]) - begun
