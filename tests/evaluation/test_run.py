"""A run as Python has it: records as they come, progress, kept results, figures."""

from __future__ import annotations

import doctest
import pickle
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eta_guard import EtaGuard, GuardPolicy, evaluation, pretrained
from eta_guard.errors import InputError, ModelLoadError
from eta_guard.evaluation import (
    EvaluationRun,
    Here,
    Judgement,
    Processes,
    RayWorkers,
    Setup,
    Suite,
    SuiteCase,
    Target,
    calibrate,
)
from eta_guard.evaluation.spread.protocol import Asked
from tests.cli.conftest import picture
from tests.evaluation.conftest import answer, record
from tests.fakes import SAFE, UNSAFE, Rig


class Words:
    """A judge of one's own."""

    name = "words"

    def __call__(self, case: SuiteCase, answer: str) -> Judgement:
        unsafe = case.hazardous and "canary" in answer
        return Judgement(outcome="unsafe" if unsafe else "safe")


def suite(folder: Path, count: int = 4) -> Suite:
    """Hazards and safe requests by turns."""
    cases = [
        SuiteCase(
            id=str(number),
            question="Placeholder question?",
            hazardous=number % 2 == 0,
            kind="own",
            image=picture(folder, SAFE if number % 2 else UNSAFE),
        )
        for number in range(count)
    ]
    return Suite("mine", tuple(cases))


class Backwards:
    """Gives records in another order, and can be told to stop."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.asked: list[str] = []
        self.closed = False

    def __call__(self, cases: Sequence[SuiteCase], setup: Setup) -> Asked:
        try:
            for case in reversed(cases):
                if len(self.asked) == self.stop_after:
                    raise KeyboardInterrupt
                self.asked.append(case.id)
                yield record(int(case.id), hazardous=case.hazardous, full=answer("refusal"))
        finally:
            self.closed = True


SETUP = Setup(judge="grammar", methods=("plain", "full"))


@pytest.mark.slow
def test_the_example_of_the_module_is_what_happens() -> None:
    found = doctest.testmod(evaluation)
    assert (found.failed, found.attempted > 3) == (0, True)


def test_records_come_as_they_end_and_finish_in_the_order_of_the_cases(tmp_path: Path) -> None:
    run = EvaluationRun(suite(tmp_path), SETUP, spread=Backwards())
    assert (run.done, run.total) == (0, 4)
    assert [found.id for found in run.records()] == ["3", "2", "1", "0"]
    assert (run.done, run.missing) == (4, [])
    assert [found.id for found in run.finish()] == ["0", "1", "2", "3"]
    assert [found.id for found in run.records()] == ["0", "1", "2", "3"]


def test_progress_is_told_before_the_first_case_and_after_each(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    run = EvaluationRun(suite(tmp_path), SETUP, spread=Backwards())
    run.finish(lambda done, total: told.append((done, total)))
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    run.finish(lambda done, total: told.append((done, total)))
    assert len(told) == 5  # nothing was asked


def test_a_run_that_was_stopped_goes_on_from_what_is_kept(tmp_path: Path) -> None:
    cases, out = suite(tmp_path), tmp_path / "out"
    first = EvaluationRun(cases, SETUP, out=out, spread=Backwards(stop_after=2))
    with pytest.raises(KeyboardInterrupt):
        first.finish()
    assert (first.done, [case.id for case in first.missing]) == (2, ["0", "1"])
    spread = Backwards()
    told: list[tuple[int, int]] = []
    second = EvaluationRun(cases, SETUP, out=str(out), spread=spread)
    assert [found.id for found in second.records(lambda *now: told.append(now))] == [
        *("2", "3"),
        *("1", "0"),
    ]
    assert spread.asked == ["1", "0"]
    assert told == [(2, 4), (3, 4), (4, 4)]
    assert EvaluationRun(cases, SETUP, out=out, spread=Backwards(stop_after=0)).finish()
    with pytest.raises(InputError, match="another configuration: suite was"):
        EvaluationRun(Suite("other", cases.cases), SETUP, out=out)


def test_more_is_kept_than_is_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "out"
    EvaluationRun(suite(tmp_path), SETUP, out=out, spread=Backwards()).finish()
    fewer = EvaluationRun(suite(tmp_path, 2), SETUP, out=out)
    assert (fewer.done, fewer.total) == (2, 2)
    assert fewer.figures()["rows"][0]["hazard_n"] == 1


def test_whoever_looks_no_further_ends_the_work(tmp_path: Path) -> None:
    spread = Backwards()
    run = EvaluationRun(suite(tmp_path), SETUP, spread=spread)
    with closing(run.records()) as records:
        next(records)
    assert spread.closed
    assert run.done == 1


def test_a_guard_of_ones_own_is_measured_under_its_policy(tmp_path: Path) -> None:
    rig = Rig()
    guard = EtaGuard(
        engine=rig.engine,
        image_evaluator=rig.images,
        response_evaluator=rig.responses,
        policy=GuardPolicy(candidates=3),
    )
    setup = Setup.of_guard(guard, judge=Words(), methods=("full",))
    figures = EvaluationRun(suite(tmp_path), setup, out=tmp_path / "out").figures()
    (full,) = figures["rows"]
    assert (figures["suite"], figures["judge"], figures["split"]) == ("mine", "words", None)
    assert (full["hazard_n"], full["safe_n"], full["unsafe_rate"]) == (2, 2, 0.0)
    assert {n for n, _ in rig.engine.samplings} == {3}
    assert figures["paper"]["same_test"] is False
    for spread in (Processes(2), RayWorkers()):
        with pytest.raises(InputError, match="cannot be sent to other processes"):
            EvaluationRun(suite(tmp_path), setup, spread=spread).finish()


GUARD = "guard:org/guard"


def test_further_evaluators_are_part_of_the_configuration(tmp_path: Path) -> None:
    cases, out = suite(tmp_path), tmp_path / "out"
    EvaluationRun(cases, SETUP, out=out, spread=Backwards()).finish()
    assert EvaluationRun(cases, replace(SETUP, image_evaluators=()), out=out).done == 4
    for kind, more in (
        ("image_evaluators", replace(SETUP, image_evaluators=(GUARD,))),
        ("response_evaluators", replace(SETUP, response_evaluators=(GUARD,))),
    ):
        with pytest.raises(InputError, match=f"another configuration: {kind} was"):
            EvaluationRun(cases, more, out=out)
        EvaluationRun(cases, more, out=tmp_path / kind, spread=Backwards()).finish()
        assert EvaluationRun(cases, more, out=tmp_path / kind).done == 4
        with pytest.raises(InputError, match=f"another configuration: {kind} was"):
            EvaluationRun(cases, SETUP, out=tmp_path / kind)


def test_further_evaluators_go_to_the_workers_and_are_loaded_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(pretrained, "load_parts", lambda *_, **named: asked.append(named))
    setup = replace(SETUP, image_evaluators=("typographic", GUARD), response_evaluators=(GUARD,))
    assert not setup.only_embedded
    sent: Setup = pickle.loads(pickle.dumps(setup.for_workers()))
    sent._load()
    assert asked[0]["image_evaluators"] == ("typographic", GUARD)
    assert asked[0]["response_evaluators"] == (GUARD,)
    assert asked[0]["policy"] == setup.policy


def test_further_evaluators_that_are_none_are_told_at_once() -> None:
    with pytest.raises(ModelLoadError, match="guard:NAME@http"):
        Setup(judge="grammar", response_evaluators=("typographic",))


def test_the_figures_tell_of_each_evaluator(tmp_path: Path) -> None:
    found = EvaluationRun(suite(tmp_path), SETUP, spread=Backwards()).figures()["evaluators"]
    assert [*found["image"]["each"], *found["response"]["each"]] == ["clip", "reward"]


def test_a_judge_that_cannot_be_sent_is_told(tmp_path: Path) -> None:
    class Local(Words):
        pass

    run = EvaluationRun(suite(tmp_path), Setup(judge=Local()), spread=Processes(2))
    with pytest.raises(InputError, match="judge words cannot be sent"):
        run.finish()


def test_a_judge_of_ones_own_compares_nothing() -> None:
    with pytest.raises(InputError, match="cannot compare"):
        Setup(judge=Words(), comparisons=(("full", "plain"),))


def test_models_are_loaded_only_if_there_is_something_to_ask(tmp_path: Path) -> None:
    loaded: list[str] = []

    def load() -> Any:
        loaded.append("models")
        rig = Rig()
        return {
            "engine": rig.engine,
            "image_evaluator": rig.images,
            "response_evaluator": rig.responses,
        }

    setup = Setup(judge=Words(), methods=("plain",))
    run = EvaluationRun(suite(tmp_path), setup, out=tmp_path / "out", spread=Here(load))
    assert not loaded
    run.finish()
    EvaluationRun(suite(tmp_path), setup, out=tmp_path / "out", spread=Here(load)).figures()
    assert loaded == ["models"]


def test_thresholds_are_chosen_on_a_run(tmp_path: Path) -> None:
    run = EvaluationRun(suite(tmp_path), Setup(judge=Words()), spread=Scored())
    found = calibrate(run.finish(), Target(max_missed=0.0), run.setup.policy)
    assert 0.1 < found.policy.image_threshold < 0.3
    assert 0.0 < found.policy.response_threshold < 0.5


class Scored(Backwards):
    """Hazards score as such."""

    def __call__(self, cases: Sequence[SuiteCase], setup: Setup) -> Asked:
        for case in cases:
            safe = not case.hazardous
            yield record(
                int(case.id),
                hazardous=case.hazardous,
                image=0.1 if safe else 0.3,
                response=0.5 if safe else 0.0,
                plain=answer("helpful" if safe else "unsafe"),
            )


def test_a_page_of_it_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    EvaluationRun(suite(tmp_path), SETUP, spread=Backwards()).write_page(str(path))
    page = path.read_text("utf-8")
    assert "eta_guard on mine" in page
    assert "data:image/webp" in page


def test_cases_have_ids_of_their_own(tmp_path: Path) -> None:
    twice = suite(tmp_path).cases[0]
    with pytest.raises(InputError, match="two cases have the id '0'"):
        Suite("mine", (twice, twice))


# ── the public names ──


def test_the_public_names_are_there_and_sorted() -> None:
    assert sorted(evaluation.__all__) == evaluation.__all__
    assert sorted(evaluation._HOMES) == evaluation.__all__
    for name in evaluation.__all__:
        found = getattr(evaluation, name)
        assert found.__module__ == f"eta_guard.evaluation.{evaluation._HOMES[name]}"
        assert found.__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = evaluation.nothing


def test_importing_it_imports_nothing_heavy() -> None:
    heavy = {"torch", "langgraph", "langchain_core", "numpy"}
    code = f"import eta_guard.evaluation, sys; print({heavy} & {{*sys.modules}})"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "set()\n"
