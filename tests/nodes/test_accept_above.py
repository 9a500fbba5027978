"""The first candidate that is good enough is kept, and no more are drawn."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from eta_guard import GuardPolicy
from eta_guard.nodes.search import SentenceSearch
from eta_guard.protocols import Candidate, Generation, ProposesInParts, Sampling
from eta_guard.request.conversation import Conversation
from eta_guard.session import GuardSession
from eta_guard.state import SentenceRound, Verdict
from eta_guard.steps import drive
from tests.fakes import (
    UNSAFE,
    FakeEngine,
    FakeImages,
    FakeResponses,
    FakeSession,
    Rig,
    candidate,
    question,
    reply_of,
    scoring,
    verdict_of,
)

SENTENCES = 4
PAIR = (0.2, 0.6)
ENOUGH = [0.2, 0.4, 0.6 - 0.4 / 3, 0.5]
"""By hand, in sentences 1 to 4: the distance to the second is halved, cut to a third, a quarter."""


@dataclass
class PartSession(FakeSession):
    part_size: int = 2

    def propose_part(self, part: range, n: int, sampling: Sampling) -> list[Candidate]:
        self.engine.calls.append(f"part {part.start}-{part.stop} of {n}")
        if not part.start:
            self.proposed = []
        found = self.engine.sentences(self.sentence + 1, n)[part.start : part.stop]
        self.proposed = [*self.proposed, *found]
        return found


@dataclass
class PartEngine(FakeEngine):
    part_size: int = 2

    def open(self, conversation: Conversation, generation: Generation) -> FakeSession:
        super().open(conversation, generation)
        return PartSession(self, generation, part_size=self.part_size)

    @property
    def parts(self) -> list[str]:
        return [call for call in self.calls if call.startswith("p") and call != "prefill"]


def sentences(number: int, n: int) -> list[Candidate]:
    return [candidate(f" sentence {number}, {i}.", ends=number == SENTENCES) for i in range(n)]


def place(text: str) -> tuple[int, int]:
    """Sentence from 0, and candidate, that a text ends in."""
    number, _, index = text.rstrip(".").rpartition(" sentence ")[2].partition(", ")
    return int(number) - 1, int(index)


Table = list[list[float]]


def rig(table: Table, *, engine: FakeEngine | None = None, **policy: Any) -> Rig:
    """A search in which candidate i of sentence s has the reward ``table[s - 1][i]``."""

    def reward(text: str) -> float:
        number, index = place(text)
        return table[number][index]

    engine = engine or PartEngine()
    engine.sentences = sentences
    return Rig(
        GuardPolicy(**{"candidates": len(table[0]), "record_rejected": True, **policy}),
        engine=engine,
        responses=FakeResponses(scoring(candidates=reward)),
    )


def searched(made: Rig) -> Verdict:
    return verdict_of(made.ask(question(UNSAFE)))


def drawn(verdict: Verdict) -> list[int]:
    return [len(record.candidates) for record in verdict.rounds]


def picks(verdict: Verdict) -> list[int | None]:
    return [record.pick for record in verdict.rounds]


@pytest.mark.parametrize("sentence", [1, 2, 3, 4])
def test_the_threshold_rises_with_the_sentence(sentence: int) -> None:
    enough = ENOUGH[sentence - 1]
    for reward, expected in ((enough + 1e-9, 0), (enough - 1e-9, 1)):
        table = [[1.0, 2.0] for _ in range(SENTENCES)]
        table[sentence - 1][0] = reward
        assert picks(searched(rig(table, accept_above=PAIR)))[sentence - 1] == expected


def test_an_engine_is_asked_no_further_than_needed() -> None:
    made = rig([[0.0, 1.0, 2.0, 3.0, 4.0]] * SENTENCES, accept_above=(0.5, 1.5))
    verdict = searched(made)
    assert made.engine.parts == [  # type: ignore[attr-defined]
        *["part 0-2 of 5"] * 2,
        *["part 0-2 of 5", "part 2-4 of 5"] * 2,
    ]
    assert (picks(verdict), drawn(verdict)) == ([1, 1, 2, 2], [2, 2, 4, 4])
    assert verdict.rejected is not None
    assert [len(texts) for texts in verdict.rejected] == [2, 2, 4, 4]
    assert verdict.counts["evaluations_reward"] == 12 + 2  # and the draft, and the answer
    assert made.images.compared == []


def test_where_none_is_good_enough_the_best_of_all_is_kept() -> None:
    table = [[0.1, 0.3, 0.2, 0.0, 0.15]] * SENTENCES
    verdict, whole = (searched(rig(table, accept_above=pair)) for pair in ((9.0, 9.0), None))
    assert (verdict.rounds, verdict.rejected) == (whole.rounds, whole.rejected)
    assert verdict.counts == whole.counts
    assert drawn(verdict) == [5] * SENTENCES


def test_without_it_nothing_is_drawn_in_parts() -> None:
    made = rig([[0.1, 0.3, 0.2]] * SENTENCES)
    searched(made)
    assert made.engine.parts == ["propose"] * SENTENCES  # type: ignore[attr-defined]


def test_an_engine_that_draws_all_at_once_keeps_the_first_as_well() -> None:
    assert not isinstance(FakeSession(FakeEngine(), Generation()), ProposesInParts)
    made = rig([[0.0, 1.0, 2.0]] * SENTENCES, engine=FakeEngine(), accept_above=(0.5, 0.5))
    verdict = searched(made)
    assert (picks(verdict), drawn(verdict)) == ([1] * SENTENCES, [3] * SENTENCES)


def test_no_likeness_is_asked_for_what_is_good_enough() -> None:
    table = [[0.9, 0.9], [0.9, 0.9], [0.0, 0.0], [0.9, 0.9]]
    made = rig(table, accept_above=(0.5, 0.5), clip_from_sentence=1)
    verdict = searched(made)
    assert [texts for _, texts in made.images.compared] == [["sentence 3, 0.", "sentence 3, 1."]]
    for record in verdict.rounds:
        compared = record.sentence == 3
        assert all((one.similarity is not None) == compared for one in record.candidates)
        if not compared:
            assert all(one.utility == one.reward for one in record.candidates)


def test_high_scores_of_a_guard_model_are_the_bad_ones() -> None:
    made = rig([[0.9, 0.3, 0.1]] * SENTENCES, accept_above=(-0.4, -0.4))
    made.responses.unsafe, made.responses.threshold = "above", 0.5
    made.responses.score = lambda prompt, text: (
        [0.9, 0.3, 0.1][place(text)[1]] if " sentence " in text else 0.95
    )
    verdict = searched(made)
    assert picks(verdict) == [1] * SENTENCES
    assert [one.reward for one in verdict.rounds[0].candidates] == [-0.9, -0.3]


def test_what_has_no_score_is_never_good_enough() -> None:
    table = [[math.nan, math.inf, 0.9, 0.1]] * SENTENCES
    verdict = searched(rig(table, accept_above=(-1e6, -1e6)))
    assert picks(verdict) == [2] * SENTENCES
    assert {record.reason for record in verdict.rounds} == {
        "the response evaluator reward returned no number"
    }


def test_a_first_sentence_that_says_nothing_is_never_good_enough() -> None:
    made = rig([[0.9, 0.9]] * SENTENCES, accept_above=(0.5, 0.5))
    said = sentences

    def silent_first(number: int, n: int) -> list[Candidate]:
        return [candidate("", ends=True), *said(number, n)[1:]]

    made.engine.sentences = silent_first
    made.responses.score = scoring(candidates=lambda text: 0.9)
    verdict = searched(made)
    # In the second sentence it may end the answer there.
    assert picks(verdict) == [1, 0]
    assert verdict.decision == "aligned"


def test_parts_that_fail_leave_the_others() -> None:
    class Failing(PartSession):
        def propose_part(self, part: range, n: int, sampling: Sampling) -> list[Candidate]:
            found = super().propose_part(part, n, sampling)
            if part.start < 2:
                self.proposed = []
                return []
            return found

    class Engine(PartEngine):
        def open(self, conversation: Conversation, generation: Generation) -> FakeSession:
            return Failing(self, generation)

    made = rig([[0.0, 0.0, 0.9, 0.0]] * SENTENCES, engine=Engine(), accept_above=(0.5, 0.5))
    verdict = searched(made)
    assert (picks(verdict), drawn(verdict)) == ([0] * SENTENCES, [2] * SENTENCES)
    assert "sentence 1, 2." in verdict.rounds[0].text


rewards = st.floats(-1.0, 1.0, width=32)
tables = st.integers(1, 6).flatmap(
    lambda n: st.lists(
        st.lists(rewards, min_size=n, max_size=n), min_size=SENTENCES, max_size=SENTENCES
    )
)
pairs = st.tuples(rewards, rewards).map(lambda pair: (min(pair), max(pair)))


def rounds(made: Rig) -> list[SentenceRound]:
    """A search by itself: of many, the graph around it would take most of the time."""
    session = GuardSession(made.engine, [question()], Generation())
    drive(session.align("Begun"))
    search = SentenceSearch(made.panel(), made.policy, None)
    return [drive(search.run(session, number))[0] for number in range(1, SENTENCES + 1)]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(tables, pairs, st.integers(1, 6))
def test_it_is_the_full_search_where_the_first_that_passes_is_the_best(
    table: Table, pair: tuple[float, float], size: int
) -> None:
    n = len(table[0])
    early = rounds(rig(table, engine=PartEngine(part_size=size), accept_above=pair))
    full = rounds(rig(table))
    same = True
    for number, (row, record) in enumerate(zip(table, early, strict=True), 1):
        enough = pair[1] - (pair[1] - pair[0]) / number
        passing = [i for i in range(n) if row[i] >= enough]
        best = max(range(n), key=row.__getitem__)
        assert record.pick == (passing[0] if passing else best)
        needed = passing[0] + 1 if passing else n
        assert len(record.candidates) == min(-(-needed // size) * size, n)
        same = same and record.pick == best
    texts = [[record.text for record in found] for found in (early, full)]
    assert (texts[0] == texts[1]) == same


def test_a_search_that_was_interrupted_goes_on_as_it_would_have() -> None:
    table = [[0.0, 0.1, 0.9], [0.9, 0.0, 0.0], [0.0, 0.2, 0.1], [0.0, 0.9, 0.0]]
    whole = searched(rig(table, accept_above=PAIR))
    saver, config = InMemorySaver(), RunnableConfig(configurable={"thread_id": "1"})
    state: Any = {"messages": [question(UNSAFE)]}
    for _ in range(SENTENCES + 1):
        graph = (
            rig(table, accept_above=PAIR)
            .graph()
            .compile(checkpointer=saver, interrupt_after=["best_of_n"])
        )
        found = graph.invoke(state, config)
        state = None
    resumed = verdict_of(reply_of(found))
    assert resumed.rounds == whole.rounds
    assert drawn(resumed) == [3, 2, 3, 2]


async def test_asynchronous_and_streamed_it_is_the_same() -> None:
    table = [[0.0, 0.1, 0.9], [0.9, 0.0, 0.0], [0.0, 0.2, 0.1], [0.0, 0.9, 0.0]]
    whole = searched(rig(table, accept_above=PAIR))
    made = rig(table, accept_above=PAIR).guard()
    assert verdict_of(await made.ainvoke([question(UNSAFE)])).rounds == whole.rounds
    chunks = list(made.stream([question(UNSAFE)]))
    assert verdict_of(chunks[-1]).rounds == whole.rounds


def test_time_that_is_over_between_two_parts_leaves_the_accepted_sentences() -> None:
    over = threading.Event()

    class Slow(PartSession):
        def propose_part(self, part: range, n: int, sampling: Sampling) -> list[Candidate]:
            if (self.sentence, part.start) == (1, 2):
                over.wait(60)
            return super().propose_part(part, n, sampling)

    class Engine(PartEngine):
        def open(self, conversation: Conversation, generation: Generation) -> FakeSession:
            return Slow(self, generation)

    table = [[0.9, 0.0, 0.0], [0.0, 0.0, 0.9], *[[0.9, 0.0, 0.0]] * 2]
    made = rig(table, engine=Engine(), accept_above=PAIR, timeout=1.0)
    try:
        reply = made.ask(question(UNSAFE))
    finally:
        over.set()
    verdict = verdict_of(reply)
    assert (verdict.decision, len(verdict.rounds)) == ("aligned", 1)
    assert reply.text == f"{GuardPolicy().prefix} sentence 1, 0."
    assert reply.response_metadata["finish_reason"] == "length"


def test_images_have_no_say_in_what_is_good_enough() -> None:
    """The picture may favour another candidate: the reward of the first is enough."""
    made = rig([[0.5, 0.5]] * SENTENCES, accept_above=(0.5, 0.5), clip_from_sentence=1)
    made.images = FakeImages(alike=lambda text: float(text.endswith("1.")))
    assert picks(searched(made)) == [0] * SENTENCES
    whole = rig([[0.5, 0.5]] * SENTENCES, clip_from_sentence=1)
    whole.images = FakeImages(alike=lambda text: float(text.endswith("1.")))
    assert picks(searched(whole)) == [1, 1, 1, 0]
