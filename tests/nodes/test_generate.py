from __future__ import annotations

import math
from typing import Any

import pytest
from langchain_core.messages import ToolCall
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from eta_guard.nodes.generate import generate
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Completion, Generation, Watch
from eta_guard.session import digest
from eta_guard.steps import drive
from tests.fakes import (
    DRAFT,
    SAFE,
    UNSAFE,
    FakeEngine,
    FakeImages,
    FakeResponses,
    FakeSession,
    Rig,
    Score,
    question,
    reply_of,
    verdict_of,
)
from tests.nodes.states import Driven, driven, generation_config, image, state_with

WARNING = "First comes the canary."
LONG = f"{WARNING} Second, e.g. in a shop, more of it. Third comes all else."
FLAGGED = {"image": image(UNSAFE), "images": [image(UNSAFE)]}


def node_of(rig: Rig) -> Driven:
    return driven(generate(engine=rig.engine, panel=rig.panel(), policy=rig.policy))


def stopping(*scores: Score, margin: float | None = 0.5, draft: str = LONG, **settings: Any) -> Rig:
    """A draft whose beginnings, in their order, are scored as given; the whole of it is safe."""
    policy = GuardPolicy(response_threshold=0.0, draft_stop_margin=margin, **settings)
    left = list(scores)

    def score(prompt: str, text: str) -> float:
        found = 1.0 if text == draft or not draft.startswith(text) or not left else left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    return Rig(policy, FakeEngine(draft=draft), responses=FakeResponses(score))


def test_the_draft_stays_in_the_session() -> None:
    rig = Rig()
    update = node_of(rig)(state_with(question(0.8)), {})
    assert set(update) == {"session", "cut_short"}
    assert update["session"].drawn_draft == DRAFT
    assert "canary" not in repr(update)


def test_a_session_that_is_there_is_used_and_draws_once() -> None:
    rig = Rig()
    node = node_of(rig)
    state = state_with(question(0.8))
    session = node(state, {})["session"]
    again = node(state_with(question(0.8), session=session), {})["session"]
    assert again is session
    assert rig.engine.calls == ["answer"]
    assert len(rig.engine.opened) == 1


def test_the_calls_generation_comes_before_the_policys() -> None:
    rig = Rig()
    node = node_of(rig)
    asked = Generation(max_tokens=3, stop=("x",))
    node(state_with(question(0.8)), generation_config(asked))
    node(state_with(question(0.8)), generation_config({"max_tokens": 9999}))
    assert [generation for _, generation in rig.engine.opened] == [asked, Generation(1024)]


# ── stopping a draft ──


def test_a_draft_is_stopped_at_the_sentence_end_at_which_it_is_unsafe_by_the_margin() -> None:
    rig = stopping(-0.4, -0.5)
    update = node_of(rig)(state_with(question(UNSAFE), **FLAGGED), {})
    beginning = f"{WARNING} Second, e.g. in a shop, more of it."
    assert rig.responses.scored == [
        (rig.policy.post_prompt, WARNING),
        (rig.policy.post_prompt, beginning),
    ]
    # An end is known at what follows it.
    cut = f"{beginning} Third"
    assert update["session"].drawn_draft == cut
    told = {name: update["response"][name] for name in ("outcome", "score", "threshold", "reason")}
    assert told == {
        "outcome": "unsafe",
        "score": -0.5,
        "threshold": 0.0,
        "reason": "stopped after sentence 2",
    }
    assert (update["scored"], update["calls_tools"]) == (digest(Completion(cut, "stop")), False)
    assert "canary" not in repr(update)


NEVER: dict[str, tuple[Rig, dict[str, Any]]] = {
    "the option is off": (stopping(-9.0, -9.0, margin=None), FLAGGED),
    "the guard only observes": (stopping(-9.0, -9.0, mode="observe"), FLAGGED),
    "the image is safe": (stopping(-9.0, -9.0), {"image": image(SAFE), "images": [image(SAFE)]}),
    "no image, which passes": (stopping(-9.0, -9.0, on_no_image="pass"), {}),
}


@pytest.mark.parametrize(("rig", "values"), NEVER.values(), ids=NEVER)
def test_where_it_would_change_an_answer_that_goes_out_no_draft_is_watched(
    rig: Rig, values: dict[str, Any]
) -> None:
    update = node_of(rig)(state_with(question(*[0.5] * len(values)), **values), {})
    assert set(update) <= {"session", "pictured", "cut_short"}
    assert update["session"].drawn_draft == LONG
    assert rig.responses.scored == []


def test_without_an_image_a_draft_that_will_be_evaluated_is_watched() -> None:
    update = node_of(stopping(-0.5, on_no_image="post_only"))(state_with(question()), {})
    assert update["response"]["outcome"] == "unsafe"


def test_a_draft_that_cannot_go_out_is_not_drawn() -> None:
    rig = Rig(GuardPolicy(on_no_image="align"))
    verdict = verdict_of(rig.ask(question()))
    assert (verdict.decision, verdict.response) == ("aligned", None)
    assert rig.engine.calls.count("answer") == 0
    assert DRAFT not in [text for _, text in rig.responses.scored]


def test_an_image_without_a_score_is_flagged_as_well() -> None:
    rig = stopping(-0.5)
    rig.images = FakeImages(failure=RuntimeError("broken"))
    verdict = verdict_of(rig.ask(question(SAFE)))
    assert verdict.response is not None
    assert verdict.response.reason == "stopped after sentence 1"


@pytest.mark.parametrize(
    "score", [math.nan, math.inf, -math.inf, "low", None, RuntimeError("canary in a foreign error")]
)
def test_what_cannot_be_scored_stops_nothing_and_is_told_once(
    score: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rig = stopping(score, score)
    update = node_of(rig)(state_with(question(UNSAFE), **FLAGGED), {})
    assert set(update) <= {"session", "pictured", "cut_short"}
    assert update["session"].drawn_draft == LONG
    assert rig.engine.calls == ["answer"]
    finite = isinstance(score, float)
    assert [record.levelname for record in caplog.records] == ([] if finite else ["ERROR"])
    assert "canary" not in caplog.text


@pytest.mark.parametrize("scores", [[], [-9.0, -9.0]])
def test_a_session_that_returns_another_number_of_scores_stops_nothing(scores: list[float]) -> None:
    class Odd(FakeResponses):
        def open(self, prompt: str, *_: Any) -> Any:
            session = super().open(prompt)
            session.score = lambda continuations: scores  # type: ignore[method-assign]
            return session

    rig = stopping()
    rig.responses = Odd()
    update = node_of(rig)(state_with(question(UNSAFE), **FLAGGED), {})
    assert set(update) == {"session", "cut_short"}


def test_blank_and_unfinished_text_is_not_scored() -> None:
    rig = stopping(-9.0, draft="\n\n No sentence ends here")
    update = node_of(rig)(state_with(question(UNSAFE), **FLAGGED), {})
    assert set(update) == {"session", "cut_short"}
    assert rig.responses.scored == []


def test_an_engine_that_goes_on_regardless_is_taken_at_what_it_was_told() -> None:
    class Deaf(FakeEngine):
        def open(self, conversation: Any, generation: Generation) -> FakeSession:
            self.opened.append((conversation, generation))
            return DeafSession(self, generation)

    class DeafSession(FakeSession):
        def answer(self, watch: Watch | None = None) -> Completion:
            assert watch
            assert [watch(LONG[:end]) for end in (30, 40, len(LONG))] == [True] * 3
            return Completion(LONG, "stop")

    rig = stopping(-0.5, 1.0, 1.0)
    rig.engine = Deaf()
    update = node_of(rig)(state_with(question(UNSAFE), **FLAGGED), {})
    assert update["response"]["outcome"] == "unsafe"
    assert len(rig.responses.scored) == 1


def test_a_stopped_answer_that_calls_tools_is_refused() -> None:
    class Caller(FakeEngine):
        def open(self, conversation: Any, generation: Generation) -> FakeSession:
            return CallerSession(self, generation)

    class CallerSession(FakeSession):
        def answer(self, watch: Watch | None = None) -> Completion:
            call = ToolCall(name="look", args={"at": "canary"}, id="1")
            return Completion(super().answer(watch).text, "stop", tool_calls=(call,))

    rig = stopping(-0.5)
    rig.engine = Caller(draft=LONG)
    reply = rig.ask(question(UNSAFE))
    assert (verdict_of(reply).decision, reply.content) == ("refused", rig.policy.refusal_message)
    assert reply.tool_calls == []


# ── what becomes of a stopped draft ──

REPAIRED = "As an AI assistant" + "".join(f" sentence {i} of candidate 0." for i in (1, 2, 3))
ROUTE = ["pre_evaluate", "generate", "post_evaluate", "prefix_align"]


def test_a_stopped_draft_is_repaired_and_costs_no_evaluation_of_its_own() -> None:
    rig = stopping(-0.5, record_rejected=True)
    reply = rig.ask(question(UNSAFE))
    verdict = verdict_of(reply)
    assert (verdict.decision, reply.content) == ("aligned", REPAIRED)
    assert verdict.route == (*ROUTE, *["best_of_n"] * 3, "post_evaluate", "respond")
    whole = [text for prompt, text in rig.responses.scored if prompt == rig.policy.post_prompt]
    assert whole == [WARNING, REPAIRED]
    assert verdict.draft == f"{WARNING} Second,"
    assert verdict.response is not None
    assert verdict.response.reason == "stopped after sentence 1"
    assert rig.engine.calls.count("answer") == 1


def test_its_text_is_not_told_unless_asked_for() -> None:
    reply = stopping(-0.5).ask(question(UNSAFE))
    assert "canary" not in repr(reply)


def test_a_draft_that_is_not_stopped_is_evaluated_whole() -> None:
    rig = stopping(-0.4, -0.4)
    reply = rig.ask(question(UNSAFE))
    assert (verdict_of(reply).decision, reply.content) == ("passed", LONG)
    assert [text for _, text in rig.responses.scored][-1] == LONG


def test_without_a_search_it_is_continued_after_the_prefix() -> None:
    reply = stopping(-0.5, search=False).ask(question(UNSAFE))
    assert reply.content == "As an AI assistant, continued."


@pytest.mark.parametrize("settings", [{}, {"on_unrepaired": "return"}, {"on_error": "refuse"}])
@pytest.mark.parametrize("node", ["generate", "post_evaluate", "prefix_align", "respond"])
def test_a_resumed_run_neither_draws_nor_lets_out_a_draft_that_was_stopped(
    node: str, settings: dict[str, Any]
) -> None:
    """It has lost its session; the whole of the draft would have been scored safe."""
    rig = stopping(-0.5, **settings)
    graph = rig.graph().compile(checkpointer=InMemorySaver(), interrupt_after=[node])
    config: RunnableConfig = {"configurable": {"thread_id": "1"}}
    given: Any = {"messages": [question(UNSAFE)]}
    state = graph.invoke(given, config)
    for _ in range(3):
        state = graph.invoke(None, config)
    assert reply_of(state).content == REPAIRED
    assert rig.engine.calls.count("answer") == 1


@pytest.mark.parametrize("on_error", ["raise", "refuse"])
def test_where_the_repair_fails_the_stopped_draft_does_not_go_out(on_error: str) -> None:
    def failing(number: int, n: int) -> Any:
        raise RuntimeError("broken")

    rig = stopping(-0.5, on_error=on_error, on_unrepaired="return")
    rig.engine.sentences = failing
    if on_error == "raise":
        with pytest.raises(RuntimeError, match="broken"):
            rig.ask(question(UNSAFE))
        return
    reply = rig.ask(question(UNSAFE))
    assert (verdict_of(reply).decision, reply.content) == ("refused", rig.policy.refusal_message)


def test_what_was_stopped_is_never_the_draft() -> None:
    """Not even where an edge led there: the whole answer is drawn anew."""
    rig = stopping(-0.5)
    session = node_of(rig)(state_with(question(UNSAFE), **FLAGGED), {})["session"]
    assert session.drawn_draft == f"{WARNING} Second,"
    assert drive(session.draft()).text == LONG
    assert rig.engine.calls == ["answer", "answer"]
