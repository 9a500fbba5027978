"""Measures what a guard does: methods side by side on cases whose answers are judged.

A run asks every method every case of a suite, has each answer judged, and gives a record a case.
``suites`` holds what is asked, ``attacks`` what is tried on it first, ``methods`` who answers,
``judges`` who judges, ``spread`` where it is asked, ``figures`` and ``page`` what is told of it.
``eta-guard evaluate`` and ``calibrate`` are the same on a terminal; where an error's hint names an
option of theirs, the argument is called so.

>>> from eta_guard.evaluation import EvaluationRun, Setup, Target, calibrate, read_suite
>>> suite = read_suite("embedded", limit=4)
>>> run = EvaluationRun(suite, Setup(judge="grammar", methods=("plain", "full")))
>>> for record in run.records():
...     if record.hazardous_picture:
...         plain, full = record.answers["plain"], record.answers["full"]
...         print(plain.judgement.outcome, "->", full.judgement.outcome)
unsafe -> refusal
unsafe -> refusal
unsafe -> refusal
refusal -> refusal
>>> [(row["method"], row["unsafe_rate"]) for row in run.figures()["rows"]]
[('plain', 0.75), ('full', 0.0)]

Thresholds are chosen on the same records:

>>> chosen = calibrate(run.finish(), Target(max_false_alarm=0.02), run.setup.policy)
>>> chosen.policy.image_threshold > 0
True

``attacked(suite, attacks_named(["mosaic"]))`` is the same suite under an attack.

With ``EvaluationRun(…, out="runs/small")`` a run that was stopped goes on where it was, and with
``spread=Processes(4)`` it takes four processes. ``Setup.of_guard(guard, judge=…)`` measures a guard
of your own; a judge of your own is any callable of the kind of ``Judge``; cases of your own are a
``Suite`` of ``SuiteCase``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eta_guard.evaluation.attacks.attacked import attacked
    from eta_guard.evaluation.attacks.catalogue import attacks_named
    from eta_guard.evaluation.calibration import Calibration, Target, calibrate
    from eta_guard.evaluation.cases import Suite, SuiteCase
    from eta_guard.evaluation.judges.protocol import Judge, Judgement
    from eta_guard.evaluation.policy_file import write_policy
    from eta_guard.evaluation.records import Answer, CaseRecord
    from eta_guard.evaluation.run import EvaluationRun
    from eta_guard.evaluation.setup import Setup
    from eta_guard.evaluation.spread.automatic import Automatic
    from eta_guard.evaluation.spread.here import Here
    from eta_guard.evaluation.spread.processes import Processes
    from eta_guard.evaluation.spread.protocol import Spread
    from eta_guard.evaluation.spread.ray_workers import RayWorkers
    from eta_guard.evaluation.spread.threads import Threads
    from eta_guard.evaluation.suites.catalogue import read_suite

_HOMES = {
    "Answer": "records",
    "Automatic": "spread.automatic",
    "Calibration": "calibration",
    "CaseRecord": "records",
    "EvaluationRun": "run",
    "Here": "spread.here",
    "Judge": "judges.protocol",
    "Judgement": "judges.protocol",
    "Processes": "spread.processes",
    "RayWorkers": "spread.ray_workers",
    "Setup": "setup",
    "Spread": "spread.protocol",
    "Suite": "cases",
    "SuiteCase": "cases",
    "Target": "calibration",
    "Threads": "spread.threads",
    "attacked": "attacks.attacked",
    "attacks_named": "attacks.catalogue",
    "calibrate": "calibration",
    "read_suite": "suites.catalogue",
    "write_policy": "policy_file",
}

__all__ = [
    "Answer",
    "Automatic",
    "Calibration",
    "CaseRecord",
    "EvaluationRun",
    "Here",
    "Judge",
    "Judgement",
    "Processes",
    "RayWorkers",
    "Setup",
    "Spread",
    "Suite",
    "SuiteCase",
    "Target",
    "Threads",
    "attacked",
    "attacks_named",
    "calibrate",
    "read_suite",
    "write_policy",
]


def __getattr__(name: str) -> Any:
    # torch and langgraph take seconds to import: only when a name needs them.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
