"""Figures stand beside the paper's as the same test only where they are of the same test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eta_guard import GuardPolicy
from eta_guard.evaluation import CaseRecord, Setup
from eta_guard.evaluation.figures import paper
from eta_guard.evaluation.figures.same_test import beside
from eta_guard.request.presentation import Presentation
from tests.evaluation.conftest import answer, record

JUDGE = "md-judge:OpenSafetyLab/MD-Judge-v0_2-internlm2_7b"


def setup(**settings: Any) -> Setup:
    """The published measurement, but for what is given."""
    published: dict[str, Any] = {
        "judge": JUDGE,
        "judge_template": Path("the published one.txt"),
        "policy": GuardPolicy.paper(),
        "models": {"assembly": "paper", "chat_model": None},
        "methods": ("plain", "full"),
    }
    return Setup(**published | settings)


def asked(number: int, *, shown: str = Presentation.llava_1_5().mark, **given: Any) -> CaseRecord:
    """A record of a chat model that is shown what the published one is."""
    found = record(number, **{"full": answer("safe"), **given})
    return found.model_copy(update={"models": {"chat_model": f"llava@0{shown}"}})


def records(count: int = 500, **given: Any) -> list[CaseRecord]:
    return [asked(number, **given) for number in range(count)]


def test_nothing_differs_where_all_is_as_published() -> None:
    told = beside("figstep", setup(), records())
    assert told["differs"] == []
    assert told["same_test"] is True
    assert told["rates"]["ETA"] == 7.80


@pytest.mark.parametrize(
    ("suite", "settings", "differs"),
    [
        ("embedded", {}, "the suite is another one"),
        ("visual-adversarial", {}, "500 cases were asked, and the suite has 40"),
        ("figstep", {"models": {"assembly": "embedded"}}, "the models are other ones"),
        ("figstep", {"models": {"assembly": "paper", "reward": "x"}}, "the models are other ones"),
        ("figstep", {"models": {"assembly": "paper", "dtype": "x"}}, "the models are other ones"),
        ("figstep", {"judge": "openai:some-model"}, "the judge is another one"),
        ("figstep", {"judge": "local:MD-Judge-v0_2"}, "the judge is another one"),
        ("figstep", {"judge": "md-judge"}, "the judge is another MD-Judge than v0.2"),
        (
            "figstep",
            {"judge_template": None},
            "the judge is asked in our words (--judge-template)",
        ),
        (
            "figstep",
            {
                "policy": GuardPolicy.paper().updated(
                    {"candidates": 3, "image_threshold": 0.2, "refusal_message": "No."}
                )
            },
            "the policy has another image_threshold, candidates",
        ),
        ("figstep", {"policy": GuardPolicy()}, "the policy has another decode_answers, views"),
    ],
)
def test_each_difference_is_told(suite: str, settings: dict[str, Any], differs: str) -> None:
    told = beside(suite, setup(**settings), records())
    assert told["differs"] == [differs]
    assert told["same_test"] is False


def test_a_llava_whose_pictures_are_cropped_is_told() -> None:
    (differs,) = beside("figstep", setup(), records(shown=""))["differs"]
    assert differs == "the chat model is not shown pictures and prompt as in the published code"


def test_answers_without_a_verdict_count_here_alone() -> None:
    unjudged = [*records(499), asked(499, full=answer("unjudged"))]
    (differs,) = beside("figstep", setup(), unjudged)["differs"]
    assert differs.startswith("1 answer could not be judged")


def test_win_tie_and_general_ability_are_always_of_another_test() -> None:
    told = beside("figstep", setup(), records())
    assert told["win_tie"]["rates"] == {"plain": 96.6, "ECSO": 80.8}
    assert told["win_tie"]["same_test"] is told["general_ability"]["same_test"] is False
    assert any("40 characters" in differs for differs in told["win_tie"]["differs"])
    assert any("cannot run" in differs for differs in told["general_ability"]["differs"])
    assert json.loads(json.dumps(told)) == told


def test_what_guardalign_and_a_mask_have_not_in_common_is_told() -> None:
    told = beside("figstep", setup(), records())
    assert told["rates"]["GuardAlign"] == 3.40
    words = " ".join(told["guardalign"])
    for said in ("0.42", "calibrates attention", "32.12", "1.13 times"):
        assert said in words


def test_each_suite_of_the_papers_has_its_size() -> None:
    assert set(paper.CASES) == set(paper.UNSAFE_RATES)
