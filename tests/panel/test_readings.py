"""Which readings of an answer count, in what the guard lets out and in what it chooses."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from eta_guard import GuardPolicy
from eta_guard.panel import readings
from eta_guard.panel.answers import AnswerEvaluations
from eta_guard.panel.readings import candidate_readings, further_readings
from eta_guard.protocols import Candidate
from eta_guard.request.conversation import read_conversation
from eta_guard.steps import drive
from tests.fakes import (
    UNSAFE,
    FakeEngine,
    FakeImages,
    FakeResponses,
    Rig,
    candidate,
    question,
    verdict_of,
)

BAD = "the placeholder phrase"
HIDDEN = base64.b64encode(f"{BAD} is here".encode()).decode()
ALONE = GuardPolicy(sentences_alone=True)


def plain(prompt: str, text: str) -> float:
    return -1.0 if BAD in text else 1.0


def outweighed(prompt: str, text: str) -> float:
    """Only where the phrase is most of what is said."""
    return -1.0 if BAD in text and len(text) < 40 else 1.0


def rig(draft: str, score: Any = plain, policy: GuardPolicy | None = None, **engine: Any) -> Rig:
    return Rig(
        policy or GuardPolicy(),
        engine=FakeEngine(draft=draft, **engine),
        responses=FakeResponses(score),
    )


def test_the_worst_reading_counts_and_is_named() -> None:
    made = rig(f"It is so. {HIDDEN}")
    verdict = verdict_of(made.ask(question(UNSAFE)))
    assert verdict.decision == "aligned"
    assert verdict.response is not None
    assert (verdict.response.outcome, verdict.response.reading) == ("unsafe", "base64")
    assert verdict.response.findings[0].reading == "base64"
    assert verdict.response.score == -1.0
    before = rig(f"It is so. {HIDDEN}", policy=GuardPolicy(decode_answers=False))
    assert verdict_of(before.ask(question(UNSAFE))).decision == "passed"


def test_a_repaired_answer_is_read_in_the_same_ways() -> None:
    def sentences(number: int, n: int) -> list[Candidate]:
        half = HIDDEN[:20] if number == 1 else HIDDEN[20:]
        return [candidate(half, ends=number == 2, ids=(number,))] * n

    made = rig(BAD, policy=GuardPolicy(prefix="Ok:\n"), sentences=sentences)
    verdict = verdict_of(made.ask(question(UNSAFE)))
    assert verdict.final is not None
    assert (verdict.decision, verdict.final.reading) == ("refused", "base64")


def test_what_is_wrapped_too_often_is_not_safe() -> None:
    text = "is it safe or is it not? " * 3
    for _ in range(7):
        text = base64.b64encode(text.encode()).decode()
    verdict = verdict_of(rig(text).ask(question(UNSAFE)))
    assert verdict.response is not None
    assert (verdict.response.outcome, verdict.response.reason) == ("unscored", "EvaluationError")
    assert verdict.decision == "aligned"


def test_a_candidate_that_is_wrapped_too_often_is_told(caplog: pytest.LogCaptureFixture) -> None:
    text = "is it safe or is it not? " * 3
    for _ in range(7):
        text = base64.b64encode(text.encode()).decode()
    assert candidate_readings(text, GuardPolicy()) == []
    (told,) = caplog.messages
    assert "candidate" in told
    assert text[:20] not in told


def test_sentences_are_looked_for_only_where_they_count(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def boundaries(text: str) -> list[int]:
        asked.append(text)
        return [len(text)]

    monkeypatch.setattr(readings, "boundaries", boundaries)
    further_readings("It is a cup. It stands there.", GuardPolicy())
    assert asked == []
    further_readings("It is a cup. It stands there.", ALONE)
    assert asked == ["It is a cup. It stands there."]


def test_a_common_answer_is_asked_about_once() -> None:
    made = rig("It is a cup. It stands on a table.")
    verdict = verdict_of(made.ask(question(UNSAFE)))
    assert [text for _, text in made.responses.scored] == ["It is a cup. It stands on a table."]
    assert verdict.counts["evaluations_reward"] == 1


@pytest.mark.parametrize("decode", [True, False])
def test_a_candidate_counts_as_its_worst_reading(decode: bool) -> None:
    def sentences(number: int, n: int) -> list[Candidate]:
        texts = [f" Look: {HIDDEN}", " It is a cup."]
        return [candidate(text, ends=True, ids=(i,)) for i, text in enumerate(texts)]

    policy = GuardPolicy(decode_answers=decode, candidates=2)
    verdict = verdict_of(rig(BAD, policy=policy, sentences=sentences).ask(question(UNSAFE)))
    (record,) = verdict.rounds
    assert record.pick == (1 if decode else 0)
    assert record.candidates[0].reward == (-1.0 if decode else 1.0)


TURNED = f"It is a cup on a table, and so it is. Now {BAD}. It is a cup on a table, and so it is."


def test_a_sentence_that_is_outweighed_counts_where_the_policy_asks() -> None:
    assert verdict_of(rig(TURNED, outweighed).ask(question(UNSAFE))).decision == "passed"
    made = rig(TURNED, outweighed, ALONE)
    verdict = verdict_of(made.ask(question(UNSAFE)))
    assert verdict.response is not None
    assert (verdict.response.outcome, verdict.response.reading) == ("unsafe", "sentence 2")
    assert verdict.counts["evaluations_reward"] > 3
    draft = [text for prompt, text in made.responses.scored[:4]]
    assert draft[:3] == [TURNED, "It is a cup on a table, and so it is.", f"Now {BAD}."]


@pytest.mark.parametrize("alone", [True, False])
def test_a_candidate_is_scored_by_itself_where_the_policy_asks(alone: bool) -> None:
    def sentences(number: int, n: int) -> list[Candidate]:
        texts = [f" Now {BAD}.", " It is a cup on a table."]
        return [candidate(text, ends=True, ids=(i,)) for i, text in enumerate(texts)]

    policy = GuardPolicy(
        sentences_alone=alone, candidates=2, prefix="As an AI assistant, I can tell you this."
    )
    made = rig(BAD, outweighed, policy, sentences=sentences)
    verdict = verdict_of(made.ask(question(UNSAFE)))
    assert verdict.rounds[0].pick == (1 if alone else 0)
    assert verdict.decision == "aligned"


def test_the_published_procedure_asks_for_neither() -> None:
    paper = GuardPolicy.paper()
    assert (paper.decode_answers, paper.sentences_alone) == (False, False)
    made = rig(f"It is so. {HIDDEN}", policy=paper)
    verdict_of(made.ask(question(UNSAFE)))
    assert len(made.responses.scored) == 1


def test_a_single_sentence_is_not_asked_about_twice() -> None:
    made = rig("It is a cup.", policy=ALONE)
    made.ask(question(UNSAFE))
    assert len(made.responses.scored) == 1


def test_evaluate_reads_in_the_same_ways() -> None:
    made = Rig(images=FakeImages(), responses=FakeResponses(plain))
    verdict = made.guard().evaluate([HumanMessage("What is it?"), AIMessage(f"Well: {HIDDEN}")])
    assert verdict.flagged
    assert verdict.response is not None
    assert verdict.response.reading == "base64"


def test_a_growing_answer_is_asked_about_each_sentence_once() -> None:
    made = rig("", policy=ALONE)
    conversation = read_conversation([HumanMessage("What is it?")])
    answer = AnswerEvaluations([made.responses], conversation, ALONE)
    for sentence in ("It is red.", " It is a cup.", " It is full."):
        assert drive(answer.evaluate([sentence])).outcome == "safe"
        answer.accept(sentence)
    scored = [text for _, text in made.responses.scored]
    assert [scored.count(text) for text in ("It is a cup.", "It is full.")] == [1, 1]
    assert len(scored) == 3 + 3
    assert drive(answer.evaluate([f" Now {BAD}."])).reading == ""
