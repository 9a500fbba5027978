"""``guard.evaluate``: pictures and answers evaluated, nothing generated."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from eta_guard import EtaGuard, GuardPolicy, Verdict
from eta_guard.errors import PolicyError
from tests.fakes import SAFE, UNSAFE, FakeResponses, Rig, image_block, question, verdict_of


def rig(score: float = 1.0, **settings: Any) -> Rig:
    return Rig(GuardPolicy(**settings), responses=FakeResponses(lambda prompt, text: score))


def evaluated(rig: Rig, *messages: Any) -> Any:
    verdict = rig.guard().evaluate(list(messages))
    assert rig.engine.opened == []
    assert (verdict.decision, verdict.route) == ("observed", ())
    return verdict


def test_an_input_gate() -> None:
    for score, flagged in ((SAFE, False), (UNSAFE, True)):
        verdict = evaluated(rig(), question(score))
        assert (verdict.flagged, verdict.response) == (flagged, None)
        assert verdict.image.score == pytest.approx(score, abs=0.01)
    nothing = evaluated(rig(), question())
    assert (nothing.flagged, nothing.image, nothing.images) == (False, None, ())


@pytest.mark.parametrize(
    ("rule", "flagged"), [("align", True), ("post_only", False), ("pass", False)]
)
def test_without_picture_and_answer_the_rule_for_such_requests_decides(
    rule: str, flagged: bool
) -> None:
    asked = rig(on_no_image=rule)
    assert evaluated(asked, HumanMessage("What is this?")).flagged is flagged
    assert evaluated(asked, question(UNSAFE)).flagged
    # As the guard does with the same request, whose answer is safe.
    assert verdict_of(asked.ask(HumanMessage("What is this?"))).flagged is flagged


def test_what_a_tool_returned_is_evaluated() -> None:
    camera = ToolMessage([image_block(UNSAFE)], tool_call_id="1")
    call = AIMessage("", tool_calls=[{"name": "camera", "args": {}, "id": "1"}])
    verdict = evaluated(rig(), HumanMessage("Look."), call, camera)
    assert verdict.flagged
    assert verdict.images[0].message == 2


@pytest.mark.parametrize(
    ("pictures", "score", "flagged"),
    [
        ([], 1.0, False),
        ([], 0.0, True),
        ([UNSAFE], 1.0, False),
        ([UNSAFE], 0.0, True),
        ([SAFE], 0.0, False),
    ],
)
def test_an_output_check_tells_what_the_policy_would_do(
    pictures: list[float], score: float, flagged: bool
) -> None:
    ours, answer = rig(score), AIMessage("An answer.")
    verdict = evaluated(ours, question(*pictures), answer)
    assert verdict.flagged is flagged
    assert verdict.response.score == score
    assert ours.responses.scored == [(ours.policy.post_prompt, "An answer.")]
    enforced = Rig(ours.policy, responses=FakeResponses(lambda prompt, text: score))
    reply = enforced.ask(question(*pictures))
    assert verdict_of(reply).flagged is flagged


def test_calls_and_pictures_of_the_answer_count() -> None:
    seen: list[str] = []

    def score(prompt: str, text: str) -> float:
        seen.append(text)
        return 0.0 if "canary" in text else 1.0

    ours = Rig(responses=FakeResponses(score))
    call = AIMessage("Fine.", tool_calls=[{"name": "buy", "args": {"what": "canary"}, "id": "1"}])
    assert evaluated(ours, question(), call).flagged
    drawn = AIMessage([{"type": "text", "text": "Fine."}, image_block(UNSAFE)])
    verdict = evaluated(ours, question(), drawn)
    assert verdict.flagged
    assert [one.outcome for one in verdict.drawn] == ["unsafe"]


def test_an_answer_alone_is_evaluated() -> None:
    assert evaluated(rig(0.0), AIMessage("An answer.")).flagged
    assert not evaluated(rig(1.0), AIMessage("An answer.")).flagged


async def test_it_is_the_same_asynchronously() -> None:
    ours = rig(0.0)
    asked = [question(UNSAFE), AIMessage("An answer.")]
    verdict = await ours.guard().aevaluate(asked)
    assert verdict == ours.guard().evaluate(asked)
    assert verdict.counts == {"evaluations_clip": 1, "evaluations_reward": 1}
    assert verdict.policy == GuardPolicy().label


def test_a_failing_evaluator_is_not_safe() -> None:
    ours = rig()
    ours.images.failure = RuntimeError("broken")
    verdict = evaluated(ours, question(SAFE))
    assert (verdict.flagged, verdict.image.outcome) == (True, "unscored")


def test_observing_says_what_enforcing_would_do() -> None:
    for image in (SAFE, UNSAFE):
        for score in (0.0, 1.0):
            told = {
                mode: verdict_of(rig(score, mode=mode).ask(question(image))).flagged
                for mode in ("enforce", "observe")
            }
            assert told["observe"] is told["enforce"]


# ── an input gate within the graph ──


@pytest.mark.parametrize("score", [SAFE, UNSAFE])
def test_a_gate_generates_nothing_for_an_unsafe_picture(score: float) -> None:
    ours = rig(on_unsafe_image="block")
    reply = ours.ask(question(score))
    verdict = verdict_of(reply)
    if score == SAFE:
        assert verdict.decision == "passed"
        return
    assert (verdict.decision, verdict.route) == ("blocked", ("pre_evaluate", "respond"))
    assert (verdict.flagged, reply.content) == (True, ours.policy.refusal_message)
    assert ours.engine.calls == []
    observing = verdict_of(rig(on_unsafe_image="block", mode="observe").ask(question(score)))
    assert (observing.decision, observing.flagged) == ("observed", True)


def test_policies_are_told_apart_in_the_verdict() -> None:
    first, second = GuardPolicy(name="strict"), GuardPolicy(name="strict", image_threshold=0.1)
    guard: EtaGuard = Rig(first).guard()
    both = (guard, guard.with_policy(second))
    told = [verdict_of(one.invoke([question(SAFE)])).policy for one in both]
    assert told == [first.label, second.label]
    assert first.label.startswith("strict@")
    assert first.label != second.label


def test_thresholds_of_a_caller_are_checked_here_too() -> None:
    asked = {"eta_guard": {"thresholds": {"clipp": 0.1}}}
    ours = rig(overridable=frozenset({"thresholds"}))
    with pytest.raises(PolicyError, match="clipp"):
        ours.guard().evaluate([question(SAFE)], configurable=asked)


def test_verdicts_from_before_directions_are_read() -> None:
    old = {"outcome": "unsafe", "score": 0.5, "threshold": 0.16}
    told = {"decision": "aligned", "route": [], "schema_version": 1, "response": old}
    verdict = Verdict.model_validate({**told, "images": [{**old, "message": 0, "block": 0}]})
    assert verdict.response is not None
    assert (verdict.images[0].unsafe, verdict.response.unsafe) == ("above", "below")
