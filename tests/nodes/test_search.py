from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from PIL import Image

from eta_guard.errors import EvaluationError
from eta_guard.nodes.search import choose
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Candidate, Sampling
from eta_guard.state import CandidateScore, Verdict
from tests.fakes import (
    UNSAFE,
    FakeEngine,
    FakeImages,
    FakeResponses,
    FakeResponseSession,
    Rig,
    candidate,
    question,
    scoring,
    verdict_of,
)

NAN, INF = math.nan, math.inf
SENTENCES = 4


def numbered(text: str) -> int:
    """Index of a candidate such as " sentence 2 of candidate 3." within its round."""
    return int(text.rstrip(".").rsplit(" ", 1)[-1])


def sentences(number: int, n: int) -> list[Candidate]:
    return [
        candidate(f" sentence {number} of candidate {i}.", ends=number == SENTENCES)
        for i in range(n)
    ]


def searched(
    rewards: Sequence[float],
    likeness: Sequence[float] = (),
    *,
    drawn: Callable[[int, int], list[Candidate]] = sentences,
    **policy: Any,
) -> tuple[Verdict, Rig]:
    """Runs a search whose candidate ``i`` has these scores in every round."""

    def reward(text: str) -> float:
        return rewards[numbered(text)]

    rig = Rig(
        GuardPolicy(**{"candidates": len(rewards), **policy}),
        engine=FakeEngine(sentences=drawn),
        images=FakeImages(alike=lambda text: likeness[numbered(text)] if likeness else 0.0),
        responses=FakeResponses(scoring(candidates=reward)),
    )
    return verdict_of(rig.ask(question(UNSAFE))), rig


def picks(verdict: Verdict) -> list[int | None]:
    return [record.pick for record in verdict.rounds]


# ── the utility ──


def test_the_utility_is_the_reward_plus_alpha_over_i_times_the_cosine() -> None:
    rewards, likeness = [0.10, 0.12, 0.05], [0.30, 0.20, 0.25]
    verdict, _ = searched(rewards, likeness, alpha=0.5, clip_from_sentence=1)
    assert [record.sentence for record in verdict.rounds] == [1, 2, 3, 4]
    for record in verdict.rounds:
        weight = 0.0 if record.sentence == SENTENCES else 0.5 / record.sentence
        for i, score in enumerate(record.candidates):
            assert score.reward == rewards[i]
            assert score.utility == pytest.approx(rewards[i] + weight * likeness[i], abs=1e-12)
    # 0.25, 0.22, 0.175 → 0.175, 0.17 → 0.15, 0.1533: the image counts less with every sentence.
    assert picks(verdict) == [0, 0, 1, 1]


@pytest.mark.parametrize("first", [1, 2, 3, 9])
def test_clip_from_sentence(first: int) -> None:
    verdict, rig = searched([0.10, 0.11], [0.9, 0.0], clip_from_sentence=first)
    with_image = [number for number in (1, 2, 3) if number >= first]
    for record in verdict.rounds:
        compared = record.sentence in with_image
        assert [score.similarity for score in record.candidates] == (
            [0.9, 0.0] if compared else [None, None]
        )
        assert record.pick == (0 if compared else 1)
    asked = [texts for _, texts in rig.images.compared]
    assert asked == [
        [f"sentence {number} of candidate {i}." for i in (0, 1)] for number in with_image
    ]


def test_alpha_zero_never_asks_clip() -> None:
    verdict, rig = searched([0.10, 0.11], [0.9, 0.0], alpha=0.0, clip_from_sentence=1)
    assert picks(verdict) == [1, 1, 1, 1]
    assert len(rig.images.asked) == 1
    assert rig.images.compared == []


def test_a_text_only_request_never_asks_clip() -> None:
    rig = Rig(GuardPolicy(clip_from_sentence=1))
    assert verdict_of(rig.ask(question())).decision == "aligned"
    assert (rig.images.asked, rig.images.compared) == ([], [])


@pytest.mark.parametrize("ending", [(0,), (1,), (2,), (0, 1, 2)])
def test_no_clip_term_in_a_round_where_any_candidate_has_ended(ending: tuple[int, ...]) -> None:
    def drawn(number: int, n: int) -> list[Candidate]:
        return [
            candidate(f" sentence {number} of candidate {i}.", ends=number == 3 and i in ending)
            if number < SENTENCES
            else candidate(f" sentence {number} of candidate {i}.", ends=True)
            for i in range(n)
        ]

    verdict, _ = searched([0.10, 0.11, 0.0], [0.9, 0.0, 0.0], drawn=drawn)
    by_number = {record.sentence: record for record in verdict.rounds}
    assert [score.similarity for score in by_number[2].candidates] == [0.9, 0.0, 0.0]
    assert [score.similarity for score in by_number[3].candidates] == [None] * 3
    assert [score.ended for score in by_number[3].candidates] == [i in ending for i in range(3)]
    assert (by_number[2].pick, by_number[3].pick) == (0, 1)
    assert len(verdict.rounds) == (3 if 1 in ending else 4)


def test_the_reward_is_of_prefix_accepted_text_and_candidate() -> None:
    verdict, rig = searched([0.1, 0.9])
    policy = GuardPolicy()
    of_search = [text for prompt, text in rig.responses.scored if prompt == policy.search_prompt]
    accepted = "As an AI assistant"
    expected = []
    for number in range(1, SENTENCES + 1):
        expected += [f"{accepted} sentence {number} of candidate {i}." for i in (0, 1)]
        accepted += f" sentence {number} of candidate 1."
    assert of_search == expected
    assert [text for prompt, text in rig.responses.scored if prompt == policy.post_prompt] == [
        "DRAFT canary: the plain answer.",
        accepted,
    ]
    assert picks(verdict) == [1, 1, 1, 1]


# ── the pick ──


@pytest.mark.parametrize(
    ("rewards", "likeness", "expected"),
    [
        ([0.5, 0.5, 0.5], [], 0),
        ([0.1, 0.5, 0.5], [], 1),
        ([0.5, 0.25, 0.0], [0.0, 0.25, 0.5], 0),  # 0.5 each, in binary too
        ([-1.0, -0.5, -2.0], [], 1),
    ],
)
def test_of_equals_the_first_is_kept(
    rewards: list[float], likeness: list[float], expected: int
) -> None:
    verdict, _ = searched(rewards, likeness, clip_from_sentence=1, alpha=1.0)
    assert verdict.rounds[0].pick == expected


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_a_reward_that_is_no_number_is_never_kept(bad: float) -> None:
    verdict, _ = searched([bad, 0.1, bad, 0.2, bad])
    assert picks(verdict) == [3] * SENTENCES
    for record in verdict.rounds:
        assert [score.utility for score in record.candidates] == [None, 0.1, None, 0.2, None]
    verdict, _ = searched([bad, -7.0])
    assert picks(verdict) == [1] * SENTENCES


@dataclass
class Partial(FakeResponses):
    """Gives fewer scores in the search than there are candidates."""

    def open(self, prompt: str, *_: Any) -> FakeResponseSession:
        return PartialSession(self, prompt)


class PartialSession(FakeResponseSession):
    def score(self, continuations: Sequence[str]) -> list[float]:
        scores = super().score(continuations)
        return scores if len(scores) == 1 else scores[1:]


def unscored_searches() -> dict[str, FakeResponses]:
    def late(text: str) -> float:
        return NAN if " sentence 2 " in text else 1.0

    return {
        "NaN": FakeResponses(scoring(candidates=lambda text: NAN)),
        "failure": FakeResponses(scoring(candidates=lambda text: RuntimeError("broken"))),
        "wrong number": Partial(scoring()),
        "in the second round": FakeResponses(scoring(candidates=late)),
    }


@pytest.mark.parametrize("responses", unscored_searches().values(), ids=unscored_searches())
def test_a_round_in_which_nothing_can_be_scored_is_refused(responses: FakeResponses) -> None:
    for policy in (
        GuardPolicy(),
        GuardPolicy(on_unscored="refuse"),
        GuardPolicy(on_unrepaired="return"),
    ):
        verdict = verdict_of(Rig(policy, responses=responses).ask(question(UNSAFE)))
        assert (verdict.decision, verdict.reason) == ("refused", "no candidate could be scored")
        assert verdict.route[-2:] == ("best_of_n", "respond")
        assert verdict.rounds[-1].pick is None
        assert verdict.rounds[-1].text == ""
        assert verdict.final is None
    for on_error in ("raise", "refuse"):
        with pytest.raises(EvaluationError, match="No candidate could be scored"):
            Rig(GuardPolicy(on_unscored="raise", on_error=on_error), responses=responses).ask(
                question(UNSAFE)
            )


def test_an_engine_without_a_candidate_is_refused() -> None:
    rig = Rig(engine=FakeEngine(sentences=lambda number, n: []))
    assert verdict_of(rig.ask(question(UNSAFE))).decision == "refused"


@dataclass
class BrokenLikeness(FakeImages):
    """Scores images, but cannot compare sentences with them."""

    row: list[float] | None = None

    def likeness(self, image: Image.Image, texts: Sequence[str]) -> list[float]:
        if self.row is None:
            raise RuntimeError("broken")
        return self.row


@pytest.mark.parametrize("row", [None, [0.9], [NAN, NAN, NAN], [INF, 0.0, 0.0]], ids=str)
def test_where_clip_fails_the_reward_decides(row: list[float] | None) -> None:
    rig = Rig(
        GuardPolicy(candidates=3),
        images=BrokenLikeness(row=row),
        responses=FakeResponses(scoring(candidates=lambda text: [0.1, 0.3, 0.2][numbered(text)])),
    )
    verdict = verdict_of(rig.ask(question(UNSAFE)))
    assert verdict.decision == "aligned"
    assert picks(verdict) == [1, 1, 1]


def test_choose_alone() -> None:
    def score(utility: float | None) -> CandidateScore:
        return CandidateScore(reward=utility, similarity=None, utility=utility, ended=False)

    three = [candidate("a"), candidate("b"), candidate("")]
    table: list[tuple[list[float | None], bool, int | None]] = [
        ([1.0, 2.0, 3.0], False, 2),
        ([1.0, 2.0, 3.0], True, 1),
        ([None, None, 3.0], True, 2),
        ([None, None, None], False, None),
        ([None, None, None], True, None),
        ([2.0, 2.0, 2.0], True, 0),
    ]
    for utilities, first, expected in table:
        assert choose(three, [score(u) for u in utilities], first=first) == expected
    assert choose([], [], first=True) is None


# ── candidates that end at once ──


def ending_at_once(at: int) -> Callable[[int, int], list[Candidate]]:
    """In round ``at`` the last candidate says nothing more."""

    def drawn(number: int, n: int) -> list[Candidate]:
        spoken = [candidate(f" sentence {number} of candidate {i}.") for i in range(n - 1)]
        if number != at:
            return [*spoken, candidate(f" sentence {number} of candidate {n - 1}.")]
        return [*spoken, candidate("", ends=True)]

    return drawn


def asked(at: int, reward_of_silence: float) -> Verdict:
    def reward(text: str) -> float:
        silent = text.count(" sentence ") < at and text.count(" sentence ") == at - 1
        return reward_of_silence if silent else 0.5

    drawn = ending_at_once(at)
    rig = Rig(
        GuardPolicy(candidates=3),
        engine=FakeEngine(
            sentences=lambda number, n: sentences(SENTENCES, n) if number > at else drawn(number, n)
        ),
        responses=FakeResponses(scoring(candidates=reward)),
    )
    return verdict_of(rig.ask(question(UNSAFE)))


def test_a_first_candidate_that_says_nothing_is_not_kept_while_others_speak() -> None:
    assert picks(asked(1, reward_of_silence=9.0))[0] == 0


def test_a_later_candidate_that_says_nothing_competes_as_the_text_so_far() -> None:
    verdict = asked(3, reward_of_silence=9.0)
    assert [record.pick for record in verdict.rounds] == [0, 0, 2]
    assert verdict.rounds[-1].text == ""
    assert verdict.decision == "aligned"
    verdict = asked(3, reward_of_silence=0.4)
    assert [record.pick for record in verdict.rounds] == [0, 0, 0, 0]


@pytest.mark.parametrize("text", ["", " ", "\n\n"])
def test_a_bare_prefix_is_no_answer(text: str) -> None:
    def nothing(number: int, n: int) -> list[Candidate]:
        return [candidate(text, ends=True)] * n

    for policy in (GuardPolicy(), GuardPolicy.paper(), GuardPolicy(prefix="")):
        rig = Rig(policy, engine=FakeEngine(sentences=nothing))
        verdict = verdict_of(rig.ask(question(UNSAFE)))
        assert (verdict.decision, verdict.reason) == ("refused", "the search found no sentence")


# ── what the engine is asked ──


def test_candidates_and_top_k_are_two_settings() -> None:
    verdict, rig = searched(
        [0.1] * 3, search_top_k=7, search_temperature=0.8, max_sentence_tokens=11
    )
    assert {n for n, _ in rig.engine.samplings} == {3}
    assert {sampling for _, sampling in rig.engine.samplings} == {Sampling(7, 0.8, 11)}
    assert all(len(record.candidates) == 3 for record in verdict.rounds)


def test_one_candidate_is_a_search_of_one() -> None:
    verdict, _ = searched([0.1])
    assert (verdict.decision, picks(verdict)) == ("aligned", [0] * SENTENCES)


def test_the_answer_begins_with_the_prefix_as_the_policy_writes_it() -> None:
    for prefix in ("As an AI assistant,", ""):
        rig = Rig(GuardPolicy(prefix=prefix + " "))
        reply = rig.ask(question(UNSAFE))
        assert rig.engine.prefills == [(prefix, ())]
        text = prefix + "".join(f" sentence {i} of candidate 0." for i in (1, 2, 3))
        assert reply.content == text.strip()


def test_an_answer_cut_by_the_budget_says_so() -> None:
    def drawn(number: int, n: int) -> list[Candidate]:
        return [Candidate(f" sentence {number}", (), "length")] * n

    reply = Rig(engine=FakeEngine(sentences=drawn)).ask(question(UNSAFE))
    assert reply.content == "As an AI assistant sentence 1"
    assert reply.response_metadata["finish_reason"] == "length"
