"""The graph against the reference: the same picks in every round, the same text in the end."""

from __future__ import annotations

import ast
import base64
import io
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from eta_guard import EtaGuard, GuardPolicy, embedded
from eta_guard.nodes import search
from eta_guard.protocols import Candidate
from eta_guard.state import CandidateScore, Verdict
from tests.parity import reference, trace
from tests.parity.reference import Reference, Request
from tests.parity.trace import TOLERANCE, Round, Trace, differences

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

HAZARDOUS, SAFE = 50, 6
TIGHT = 36
"""A budget that runs out in about the third sentence."""
STOPS_IN_A_ROW = 12
"""The case in which a candidate writes two full stops: to us they are one end, as "..." is, and the
published loop takes the second for a sentence. It is not kept, so that the answer is the same."""

Case = tuple[Request, Trace]


def requests() -> list[Request]:
    """The first cases of the validation split, a seed to each and a tight budget to every third.

    Should a draw fall so near the edge between two tokens that rounding decides (about one in a
    million do), number the case here as left out; a wider tolerance would not help.
    """
    cases = embedded.cases("validation", hazardous=HAZARDOUS, safe=SAFE, text_only=0)
    return [
        Request(case.image, case.question, seed=index, max_tokens=TIGHT if index % 3 == 2 else 1024)
        for index, case in enumerate(cases)
        if case.image is not None
    ]


@pytest.fixture(scope="session")
def cases() -> list[Case]:
    """Every request and what the reference makes of it: minutes of work, done once, by two."""
    idle: SimpleQueue[Reference] = SimpleQueue()
    for _ in range(2):
        idle.put(Reference())

    def run(request: Request) -> Case:
        free = idle.get()
        try:
            return request, free.run(request)
        finally:
            idle.put(free)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run, requests()))


@pytest.fixture(scope="session")
def models() -> EtaGuard:
    return EtaGuard.from_pretrained("embedded", device="cpu")


def guarded(models: EtaGuard, request: Request, **changed: Any) -> Trace:
    """What the graph makes of a request, with some of its settings changed."""
    settings = {"seed": request.seed, "max_tokens": request.max_tokens, **changed}
    policy = GuardPolicy.paper().updated({"record_rejected": True, **settings})
    guard = models.model_copy(update={"policy": policy})
    file = io.BytesIO()
    request.picture.save(file, "PNG")
    image = {
        "type": "image",
        "base64": base64.b64encode(file.getvalue()).decode(),
        "mime_type": "image/png",
    }
    reply = guard.invoke([HumanMessage([image, {"type": "text", "text": request.question}])])
    verdict = Verdict.model_validate(reply.response_metadata["eta_guard"])
    return told(verdict, reply.text)


def told(verdict: Verdict, text: str) -> Trace:
    """A verdict in the words of the reference."""
    rounds = tuple(
        Round(
            texts=texts,
            ended=tuple(candidate.ended for candidate in record.candidates),
            rewards=tuple(scored(candidate.reward) for candidate in record.candidates),
            similarities=tuple(candidate.similarity for candidate in record.candidates),
            utilities=tuple(scored(candidate.utility) for candidate in record.candidates),
            pick=-1 if record.pick is None else record.pick,
        )
        for record, texts in zip(verdict.rounds, verdict.rejected or (), strict=True)
    )
    image, draft, final = (
        evaluation.score if evaluation else None
        for evaluation in (verdict.image, verdict.response, verdict.final)
    )
    aligned = verdict.decision == "aligned"
    return Trace(image, aligned, verdict.draft, draft, rounds, text, final)


def scored(value: float | None) -> float:
    """No score is like no other."""
    return math.nan if value is None else value


@pytest.mark.parametrize("number", range(HAZARDOUS + SAFE))
def test_the_graph_does_what_the_reference_does(
    cases: list[Case], models: EtaGuard, number: int
) -> None:
    request, expected = cases[number]
    found = guarded(models, request)
    if number == STOPS_IN_A_ROW:
        assert (found.text, picks(found)) == (expected.text, picks(expected))
        pairs = zip(expected.rounds, found.rounds, strict=True)
        texts = [pair for one, mine in pairs for pair in zip(one.texts, mine.texts, strict=True)]
        assert [pair for pair in texts if pair[0] != pair[1]] == [(" Stay safe.", " Stay safe..")]
        return
    assert not differences(expected, found)


def test_the_cases_go_far_enough(cases: list[Case]) -> None:
    kinds = {case.kind for case in embedded.cases("validation", hazardous=HAZARDOUS, safe=0)}
    assert {"pictogram", "typographic"} <= kinds
    assert len(cases) >= 50
    assert sum(len(trace.rounds) >= 3 for _, trace in cases) >= 20
    assert sum(not trace.aligned for _, trace in cases) >= 5


def test_another_weight_of_clip_is_noticed(cases: list[Case], models: EtaGuard) -> None:
    for request, expected in some(cases, outvoted):
        assert picks(guarded(models, request, alpha=1000.0)) != picks(expected)
        assert differences(expected, guarded(models, request, alpha=1.01))


def test_another_tie_rule_is_noticed(
    cases: list[Case], models: EtaGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def last_of_equals(
        candidates: Sequence[Candidate], scores: Sequence[CandidateScore], *, first: bool
    ) -> int:
        back = choose(candidates[::-1], scores[::-1], first=first)
        assert back is not None
        return len(candidates) - 1 - back

    choose = search.choose
    monkeypatch.setattr(search, "choose", last_of_equals)
    for request, expected in some(cases, tied):
        assert picks(guarded(models, request)) != picks(expected)


@pytest.mark.parametrize("more", [-1, 1])
def test_another_token_budget_is_noticed(cases: list[Case], models: EtaGuard, more: int) -> None:
    tight = [case for case in cases if case[0].max_tokens == TIGHT]
    for request, expected in some(tight, stopped_short):
        found = guarded(models, request, max_tokens=request.max_tokens + more)
        assert differences(expected.rounds, found.rounds)


def test_the_reference_knows_nothing_of_the_package() -> None:
    imported = set[str]()
    for module in (reference, trace):
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                imported |= {f"{node.module}.{name.name}" for name in node.names}
            elif isinstance(node, ast.Import):
                imported |= {name.name for name in node.names}
    ours = {name for name in imported if name.startswith("eta_guard")}
    prompts = {name for name in ours if name.startswith("eta_guard.prompts.")}
    assert ours - prompts == {"eta_guard.embedded.path"}


def some(cases: list[Case], which: Callable[[Round], bool]) -> list[Case]:
    """The first three cases with such a round; there must be one."""
    found = [case for case in cases if any(map(which, case[1].rounds))]
    assert found
    return found[:3]


def outvoted(done: Round) -> bool:
    """Whether the picture is more like another candidate than like the one that was kept."""
    alike = [value for value in done.similarities if value is not None]
    return bool(alike) and alike[done.pick] < max(alike) - TOLERANCE


def tied(done: Round) -> bool:
    """Whether the best candidate has an equal."""
    return done.utilities.count(max(done.utilities)) > 1


def stopped_short(done: Round) -> bool:
    """Whether a candidate ends the answer in mid-sentence, as the budget makes it do."""
    candidates = zip(done.texts, done.ended, strict=True)
    return any(ended and text and not text.endswith((".", "!", "?")) for text, ended in candidates)


def picks(trace: Trace) -> list[int]:
    return [done.pick for done in trace.rounds]
