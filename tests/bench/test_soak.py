"""The soak finds what it looks for."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from eta_guard.bench.soak import run as soaking
from eta_guard.bench.soak.process import Held
from eta_guard.bench.soak.requests import MIX, Kind, Question, plan
from eta_guard.policy import GuardPolicy
from tests.fakes import SAFE, UNSAFE, Rig, question


def known(**policy: Any) -> dict[Kind, list[Question]]:
    """Questions to a guard of fakes, each asked alone."""
    guard = Rig(GuardPolicy(**policy)).guard()
    broken = Rig()
    broken.engine.draft = RuntimeError("broken")
    found: dict[Kind, list[Question]] = {
        "safe": [Question(guard, question(SAFE), "safe")],
        "flagged": [Question(guard, question(UNSAFE), "flagged")],
        "cancelled": [Question(guard, question(UNSAFE), "cancelled")],
        "failing": [Question(broken.guard(), question(UNSAFE), "failing")],
    }
    for several in found.values():
        several[0].ask_alone()
    return found


def soaked(questions: dict[Kind, list[Question]], count: int = 40) -> Any:
    before = Held.now()
    asking = soaking.Soak(plan(questions, count, 0), 60.0)
    asking.run(2, 4)
    return asking, soaking._checked(asking, before, before, Held.now())


def test_each_kind_is_asked_and_gets_its_own_result() -> None:
    questions = known()
    assert questions["safe"][0].alone[False][0] == "passed"
    assert questions["flagged"][0].alone[True][0] == "aligned"
    assert questions["failing"][0].alone[False] == ("RuntimeError",)
    asking, found = soaked(questions)
    assert {kind: asking.ended[kind] for kind in MIX} == {kind: 4 * MIX.count(kind) for kind in MIX}
    assert asking.wrong == []
    assert found["hung"] == 0
    assert False not in found["checks"].values()


def test_the_mixture_is_the_same_for_the_same_seed() -> None:
    questions = known()
    assert plan(questions, 30, 1) == plan(questions, 30, 1) != plan(questions, 30, 2)


@pytest.mark.parametrize("streamed", [False, True])
def test_another_result_than_alone_is_found(streamed: bool) -> None:
    questions = known()
    questions["safe"][0].alone[streamed] = ("passed", "another text")
    asking, found = soaked(questions)
    assert found["checks"]["each its own result"] is False
    wrong = {(one["request"], one["wanted"][1]) for one in asking.wrong}
    assert wrong == {("safe: safe", "another text")}


def test_what_is_left_behind_is_found() -> None:
    questions = known()
    engine = questions["flagged"][0].guard.engine
    left: list[Any] = []
    ended = threading.Event()

    def leaving(conversation: Any, generation: Any, opened: Any = engine.open) -> Any:
        if not left:
            left.append(threading.Thread(target=ended.wait, name="left", daemon=True))
            left[0].start()
            left.extend(os.pipe())
        return opened(conversation, generation)

    engine.open = leaving  # type: ignore[method-assign]
    try:
        _, found = soaked(questions)
    finally:
        ended.set()
        left[0].join()
        for descriptor in left[1:]:
            os.close(descriptor)
    assert found["threads_left"] == ["left"]
    assert found["checks"]["no thread left"] is False
    if found["files"]["after"] is not None:
        assert found["checks"]["no file left open"] is False


def test_a_request_that_never_ends_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    questions = known()
    ended = threading.Event()
    engine = questions["safe"][0].guard.engine

    def hanging(conversation: Any, generation: Any, opened: Any = engine.open) -> Any:
        ended.wait()
        return opened(conversation, generation)

    engine.open = hanging  # type: ignore[method-assign]
    monkeypatch.setattr(soaking, "GRACE", 0.2)
    asking = soaking.Soak(plan(questions, 6, 0), 0.2)
    asking.run(2, 1)
    hung = soaking._checked(asking, Held.now(), Held.now(), Held.now())["hung"]
    ended.set()
    for thread in threading.enumerate():
        if thread.daemon and thread is not threading.current_thread():
            thread.join(10)
    assert hung > 0


def test_growth_is_found() -> None:
    asking = soaking.Soak([], 0.0)
    held = Held.now()
    if held.memory is None:
        pytest.skip("this system does not tell")
    more = Held(held.threads, held.memory * 2, held.connections, held.files)
    found = soaking._checked(asking, held, held, more)
    assert (found["memory"]["grown"], found["checks"]["memory"]) == (1.0, False)
