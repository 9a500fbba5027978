"""Whether a run is the papers' test, so that its figures may stand beside theirs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from eta_guard.evaluation.figures import paper
from eta_guard.policy import GuardPolicy
from eta_guard.request.presentation import Presentation

if TYPE_CHECKING:
    from eta_guard.evaluation.records import CaseRecord
    from eta_guard.evaluation.setup import Setup

NO_MATTER = {
    "on_error",
    "on_unrepaired",
    "overridable",
    "record_rejected",
    "refusal_message",
    "seed",
}
"""Policy fields on which no published figure depends: the run sets them itself, or they come into
play only after what is counted."""


def beside(suite: str, setup: Setup, records: Sequence[CaseRecord]) -> dict[str, Any]:
    """The published figures, and what stands between them and ours.

    Args:
        suite: Its name.
        setup: How it was asked.
        records: What came of it.

    Returns:
        ``same_suite``; ``rates``, the unsafe rates of this suite; ``differs``, what is not as in
        the paper, in words; ``same_test``, whether nothing is; ``counted``, how the published
        rates were counted where that is not as here; ``guardalign``, how our masks differ from that
        method; ``win_tie`` and ``general_ability``, which
        are of other tests than ours in any case, with what differs.
    """
    differs = list(_differences(suite, setup, records))
    return {
        "source": paper.SOURCE,
        "model": paper.MODEL,
        "same_suite": suite in paper.UNSAFE_RATES,
        "same_test": not differs,
        "rates": paper.UNSAFE_RATES.get(suite, {}),
        "differs": differs,
        "counted": list(paper.COUNTED),
        "guardalign": list(paper.GUARDALIGN),
        "win_tie": _other_test(paper.WIN_TIE, paper.WIN_TIE_DIFFERS),
        "general_ability": _other_test(paper.GENERAL_ABILITY, paper.GENERAL_ABILITY_DIFFERS),
    }


def _other_test(rates: Any, differs: Sequence[str]) -> dict[str, Any]:
    return {"rates": rates, "same_test": False, "differs": list(differs)}


def _differences(suite: str, setup: Setup, records: Sequence[CaseRecord]) -> Iterator[str]:
    yield from _of_suite(suite, len(records))
    others = [setup.models.get(name) for name in ("chat_model", "clip", "reward", "dtype")]
    others += [*setup.image_evaluators, *setup.response_evaluators]
    if setup.models.get("assembly") != "paper" or any(others):
        yield "the models are other ones"
    elif not all(_shown_as_published(record) for record in records):
        yield "the chat model is not shown pictures and prompt as in the published code"
    yield from _of_judge(setup)
    ours, theirs = setup.policy.model_dump(), GuardPolicy.paper().model_dump()
    if changed := [name for name in ours if ours[name] != theirs[name] and name not in NO_MATTER]:
        yield f"the policy has another {', '.join(changed)}"
    methods = {"plain", *setup.methods}
    unjudged = sum(
        record.answers[name].judgement.outcome == "unjudged"
        for record in records
        for name in methods
    )
    if unjudged:
        what = "answer" if unjudged == 1 else "answers"
        yield f"{unjudged} {what} could not be judged, which counts here and in no published count"


def _shown_as_published(record: CaseRecord) -> bool:
    return record.models["chat_model"].endswith(Presentation.llava_1_5().mark)


def _of_suite(suite: str, asked: int) -> Iterator[str]:
    if suite not in paper.UNSAFE_RATES:
        yield "the suite is another one"
    elif asked != paper.CASES[suite]:
        yield f"{asked} cases were asked, and the suite has {paper.CASES[suite]}"


def _of_judge(setup: Setup) -> Iterator[str]:
    """The published code asks MD-Judge v0.2 in that model's own words."""
    kind, _, name = setup.judge_name.lower().partition(":")
    if kind != "md-judge" or not isinstance(setup.judge, str):
        yield "the judge is another one"
        return
    if not any(version in name for version in ("v0_2", "v0.2")):
        yield "the judge is another MD-Judge than v0.2"
    if setup.judge_template is None:
        yield "the judge is asked in our words (--judge-template)"
