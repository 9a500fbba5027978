from __future__ import annotations

import re
import time
from typing import Any

import pytest
from langchain_core.messages import SystemMessage

from eta_guard.errors import EngineError, ImageInputError, InputError
from eta_guard.evaluation.case_runner import CaseRunner, holds
from eta_guard.evaluation.cases import SuiteCase
from eta_guard.evaluation.judges.protocol import Judgement
from eta_guard.evaluation.methods.catalogue import STANDARD
from eta_guard.evaluation.records import CaseRecord
from eta_guard.policy import GuardPolicy
from eta_guard.pretrained import Parts
from tests.cli.conftest import picture
from tests.fakes import DRAFT, SAFE, UNSAFE, FakeImages, FakeResponses, Rig, scoring


class Canary:
    """Calls unsafe what holds the draft."""

    name = "canary"

    def __init__(self) -> None:
        self.judged: list[str] = []

    def __call__(self, case: SuiteCase, answer: str) -> Judgement:
        self.judged.append(answer)
        return Judgement(outcome="unsafe" if "canary" in answer else "refusal")


def parts(rig: Rig) -> Parts:
    return {
        "engine": rig.engine,
        "image_evaluator": rig.images,
        "response_evaluator": rig.responses,
    }


def case(tmp_path: Any, score: float | None = UNSAFE, **values: Any) -> SuiteCase:
    image = None if score is None else picture(tmp_path, score)
    given: dict[str, Any] = {
        "id": "1",
        "question": "What is this?",
        "hazardous": True,
        "kind": "own",
    }
    return SuiteCase(**given | values, image=image)


def run(rig: Rig, asked: SuiteCase, **settings: Any) -> CaseRecord:
    return CaseRunner(parts(rig), Canary(), **settings).run(asked)


def test_every_method_answers_an_unsafe_request(tmp_path: Any) -> None:
    rig = Rig()
    found = run(rig, case(tmp_path))
    assert list(found.answers) == list(STANDARD)
    outcomes = {name: answer.judgement.outcome for name, answer in found.answers.items()}
    unsafe = {name for name, outcome in outcomes.items() if outcome == "unsafe"}
    assert unsafe == {"plain", "system_prompt", "pre_only", "post_only"}
    assert found.answers["pre_only"].withheld
    assert found.answers["post_only"].withheld
    full = found.answers["full"]
    assert (full.decision, full.withheld, full.sentences) == ("aligned", False, 3)
    assert full.text.startswith("As an AI assistant")
    assert not found.answers["search_only"].text.startswith("As an AI assistant")
    assert found.answers["prefix_only"].text == "As an AI assistant, continued."
    assert (found.image and found.image.outcome, found.response.outcome) == ("unsafe", "unsafe")
    assert found.models["chat_model"] == "fake-chat@0"


@pytest.mark.parametrize(
    ("method", "policy", "turned", "kept"),
    [
        ("full", {}, False, 2),
        ("accept_early", {}, False, 1),  # above the paper's 0.06
        ("accept_early", {"thresholds": {"reward": 0.01}}, False, 0),
        ("accept_early", {"accept_above": (0.3, 0.3)}, False, 2),
        ("accept_early/0.3,0.4", {"accept_above": (0.0, 0.0)}, False, 2),
        ("accept_early/0.3,0.4", {}, True, 2),
        ("accept_early", {"thresholds": {"reward": 0.93}}, True, 1),
    ],
)
def test_early_is_what_the_threshold_calls_safe(
    tmp_path: Any, method: str, policy: dict[str, Any], turned: bool, kept: int
) -> None:
    rewards = [0.02, 0.1, 0.5]

    def score(prompt: str, text: str) -> float:
        found = rewards[int(text[-2])] if " of candidate " in text else -1.0
        return 1 - found if turned else found

    rig = Rig(responses=FakeResponses(score, unsafe="above" if turned else "below"))
    settings = GuardPolicy(candidates=3, **policy)
    text = run(rig, case(tmp_path), methods=(method,), policy=settings).answers[method].text
    assert re.findall(r"candidate (\d)", text) == [str(kept)] * 3


@pytest.mark.parametrize(
    ("method", "final", "text", "withheld"),
    [
        ("mask", 1.0, ", continued.", False),
        ("mask", 0.0, ", continued.", True),
        ("mask+eta", 1.0, ", continued.", False),
        ("guardalign", 1.0, ", continued.", False),
    ],
)
def test_covering_is_measured_as_it_stood_before_any_canned_refusal(
    tmp_path: Any, method: str, final: float, text: str, withheld: bool
) -> None:
    name = "regions" if method == "guardalign" else "clip"
    rig = Rig(images=FakeImages(name=name), responses=FakeResponses(scoring(final=final)))
    found = run(rig, case(tmp_path), methods=(method, "full")).answers
    assert (found[method].text, found[method].withheld) == (text, withheld)
    assert found[method].masked
    assert not found["full"].masked


def test_where_there_is_nothing_to_cover_the_plain_answer_stood_before_the_refusal(
    tmp_path: Any,
) -> None:
    found = run(Rig(), case(tmp_path, None), methods=("mask",)).answers["mask"]
    assert (found.text, found.withheld, found.decision) == (DRAFT, True, "refused")
    assert found.judgement.outcome == "unsafe"


def test_guardalign_goes_by_the_evidence_of_regions_alone(tmp_path: Any) -> None:
    """Whoever else would have flagged the picture, and under whatever thresholds."""

    class Regions:
        """Compares nothing with texts."""

        fingerprint, name, threshold, unsafe, cost = "regions@0", "regions", 0.9, "above", 1.0
        evaluate = FakeImages().evaluate

    regions: Any = Regions()
    rig = Rig()
    given: Parts = {**parts(rig), "image_evaluator": [rig.images, regions]}
    policy = GuardPolicy(thresholds={"clip": 0.2}, on_unscored={"clip": "refuse"})
    runner = CaseRunner(given, Canary(), methods=("mask", "guardalign"), policy=policy)
    found = runner.run(case(tmp_path)).answers
    assert (found["mask"].decision, found["guardalign"].decision) == ("aligned", "passed")
    with pytest.raises(InputError, match="an evaluator of pictures named regions"):
        run(Rig(), case(tmp_path), methods=("guardalign",))


def test_a_safe_image_costs_its_evaluation_alone_and_is_drawn_once_for_all_guards(
    tmp_path: Any,
) -> None:
    rig = Rig()
    found = run(rig, case(tmp_path, SAFE, hazardous=False), methods=("pre_only", "full"))
    assert rig.engine.calls == ["answer", "answer"]  # plain, and the guard's own
    assert {answer.text for answer in found.answers.values()} == {DRAFT}
    assert found.answers["full"].route == ("pre_evaluate", "generate", "respond")
    assert not any(answer.withheld for answer in found.answers.values())
    guards = ("prefix_only", "search_only", "full")
    again = Rig()
    run(again, case(tmp_path, SAFE), methods=guards)
    assert again.engine.calls == ["answer", "answer"]


def test_the_systems_instruction_stands_before_the_request(tmp_path: Any) -> None:
    rig = Rig()
    run(rig, case(tmp_path, SAFE), methods=("system_prompt",))
    kinds = [[type(m) for m in opened.messages] for opened, _ in rig.engine.opened]
    assert sorted(len(kind) for kind in kinds) == [1, 2]
    assert SystemMessage in max(kinds, key=len)


def test_what_could_not_be_repaired_comes_back_marked_as_withheld(tmp_path: Any) -> None:
    rig = Rig(responses=FakeResponses(scoring(final=0.0)))
    found = run(rig, case(tmp_path), methods=("full",)).answers["full"]
    assert found.decision == "aligned"
    assert found.withheld
    assert found.text.startswith("As an AI assistant")
    assert found.final is not None
    assert found.final.outcome == "unsafe"


def test_what_has_no_score_is_not_safe(tmp_path: Any) -> None:
    rig = Rig(responses=FakeResponses(scoring(draft=ValueError("no score"))))
    rig.images.failure = ValueError("no score")
    found = run(rig, case(tmp_path))
    assert found.image is not None
    assert (found.image.outcome, found.response.outcome) == ("unscored", "unscored")
    assert found.answers["pre_only"].withheld
    assert found.answers["post_only"].withheld
    assert found.answers["plain"].reward is None


def test_text_alone_passes_pre_only_and_is_judged_by_its_answer(tmp_path: Any) -> None:
    found = run(Rig(), case(tmp_path, None))
    assert (found.has_image, found.image) == (False, None)
    assert not found.answers["pre_only"].withheld
    assert found.answers["post_only"].withheld
    assert found.answers["full"].decision == "aligned"


def test_the_reward_is_of_what_is_shown(tmp_path: Any) -> None:
    refusal = GuardPolicy().refusal_message
    scores = {DRAFT: -1.0, refusal: 0.9}
    rig = Rig(responses=FakeResponses(lambda prompt, text: scores.get(text, 0.4)))
    found = run(rig, case(tmp_path)).answers
    assert found["plain"].reward == -1.0
    assert found["pre_only"].reward == found["post_only"].reward == 0.9
    assert found["full"].reward == 0.4


def test_the_reward_is_that_of_the_evaluator_that_ranks(tmp_path: Any) -> None:
    guard_model = FakeResponses(
        lambda prompt, text: 0.9 if text == DRAFT else 0.1,
        name="guard_model",
        threshold=0.5,
        unsafe="above",
    )
    reward = FakeResponses(lambda prompt, text: 0.3)
    several: Parts = {**parts(Rig()), "response_evaluator": [guard_model, reward]}
    found = CaseRunner(several, Canary(), methods=("full",)).run(case(tmp_path))
    assert found.answers["plain"].reward == found.answers["full"].reward == 0.3
    assert (found.response.outcome, found.response.score) == ("unsafe", 0.9)
    assert [one.evaluator for one in found.response.findings] == ["guard_model", "reward"]
    assert found.thresholds == {"guard_model": 0.5}
    # The guard model is asked about what it is to decide, and not for a reward.
    refusal = GuardPolicy().refusal_message
    assert refusal not in [text for _, text in guard_model.scored]


def test_all_evaluators_are_asked_though_one_would_do(tmp_path: Any) -> None:
    rig = Rig()
    other = FakeImages(name="other", threshold=0.9, cost=1.0)
    several: Parts = {**parts(rig), "image_evaluator": [rig.images, other]}
    found = CaseRunner(several, Canary(), methods=("full",)).run(case(tmp_path))
    assert found.image is not None
    assert [(one.evaluator, one.outcome) for one in found.image.findings] == [
        ("clip", "unsafe"),
        ("other", "safe"),
    ]


def test_the_time_of_who_was_spared_is_not_the_guards(tmp_path: Any) -> None:
    class Slow(FakeImages):
        def evaluate(self, images: Any, prompt: str, question: str = "") -> Any:
            time.sleep(0.3)
            return super().evaluate(images, prompt, question)

    rig = Rig()
    slow = Slow(name="slow", threshold=0.9, cost=1.0)
    several: Parts = {**parts(rig), "image_evaluator": [rig.images, slow]}
    for short_circuit, spared in ((True, True), (False, False)):
        policy = GuardPolicy(short_circuit=short_circuit)
        runner = CaseRunner(several, Canary(), methods=("full",), policy=policy)
        answer = runner.run(case(tmp_path)).answers["full"]
        assert (answer.seconds < 0.3) is spared


def test_each_answer_is_judged_once(tmp_path: Any) -> None:
    judge = Canary()
    CaseRunner(parts(Rig()), judge).run(case(tmp_path))
    assert len(judge.judged) == len(set(judge.judged))


def test_a_policy_moves_the_thresholds_and_never_the_methods(tmp_path: Any) -> None:
    policy = GuardPolicy(image_threshold=0.9, on_unrepaired="refuse")
    found = run(Rig(), case(tmp_path), policy=policy)
    assert found.answers["full"].decision == "passed"
    assert not found.answers["pre_only"].withheld


def test_a_known_answer_is_sought_in_what_is_shown(tmp_path: Any) -> None:
    asked = case(tmp_path, SAFE, hazardous=False, truth=("Canary", "bird"))
    assert run(Rig(), asked).answers["full"].correct is True
    flagged = case(tmp_path, UNSAFE, hazardous=False, truth=("canary",))
    assert run(Rig(), flagged).answers["pre_only"].correct is False


def test_known_answers_are_whole_words() -> None:
    assert holds("It is a Red  apple.", ["red apple"])
    assert holds("Two; no: 2!", ["2"])
    assert not holds("It is scarlet.", ["car"])
    assert not holds("anything", [])


def test_methods_are_compared_by_what_they_show(tmp_path: Any) -> None:
    asked: list[str] = []

    def arbiter(prompt: str) -> str:
        asked.append(prompt)
        return "BETTER: tie"

    found = run(
        Rig(),
        case(tmp_path),
        methods=("full",),
        comparisons=[("full", "post_only")],
        arbiter=arbiter,
    )
    assert found.comparisons == {"full:post_only": "tie"}
    assert GuardPolicy().refusal_message in asked[0]
    assert not any(DRAFT in prompt for prompt in asked)


def test_faults_of_a_case_name_it(tmp_path: Any) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    missing = SuiteCase("2", "What?", hazardous=True, kind="own", image=tmp_path / "nowhere.png")
    for asked in (SuiteCase("2", "What?", hazardous=True, kind="own", image=broken), missing):
        with pytest.raises(ImageInputError, match=r"case 2|Case 2"):
            run(Rig(), asked)
    with pytest.raises(InputError, match="Case 3"):
        run(Rig(), SuiteCase("3", "", hazardous=True, kind="own"))


def test_an_engine_that_fails_stops_the_run(tmp_path: Any) -> None:
    rig = Rig()
    rig.engine.draft = RuntimeError("out of memory")
    with pytest.raises((RuntimeError, EngineError)):
        run(rig, case(tmp_path))


def test_a_record_is_read_back_as_it_was(tmp_path: Any) -> None:
    found = run(Rig(), case(tmp_path))
    assert CaseRecord.model_validate_json(found.model_dump_json()) == found
