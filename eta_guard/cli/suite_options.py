"""The options of commands that ask a suite, and what they amount to: a setup, cases, results."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eta_guard.cli.options import ModelChoice

if TYPE_CHECKING:
    from eta_guard.evaluation.cases import SuiteCase
    from eta_guard.evaluation.results import ResultsFile
    from eta_guard.evaluation.setup import Setup
    from eta_guard.policy import GuardPolicy


RUN = "Run"


class Split(StrEnum):
    """Parts of the embedded world that no training has seen."""

    held_out = "held_out"
    validation = "validation"


SuiteName = Annotated[
    str,
    typer.Argument(
        help="embedded, a published suite (spa-vl-harm, mm-safetybench-sd-typo, figstep, advbench,"
        " visual-adversarial, xstest, mossbench …), or your own .jsonl file."
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The folder of your local copy of a published suite."),
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Most cases of each kind; the whole suite without it.")
]
JudgeName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Who judges: grammar (the embedded suite's), md-judge[:DIR], local:NAME, or"
        " PROVIDER:MODEL of LangChain.",
    ),
]
SplitOption = Annotated[
    Split,
    typer.Option(help="Of the embedded suite; settings are chosen on validation."),
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Write each case there as it ends; the same command goes on where it stopped.",
        rich_help_panel=RUN,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processes that ask side by side, each with models of its own; without it one a core"
        " for the embedded models, two with --ray, else one.",
        rich_help_panel=RUN,
    ),
]


def make_setup(
    choice: ModelChoice,
    policy: GuardPolicy,
    suite: str,
    judge: str | None,
    methods: Sequence[str] | None = None,
    win_tie: Sequence[str] | None = None,
    judge_template: Path | None = None,
) -> Setup:
    """What the options ask for.

    Raises:
        InputError: There is no such method or judge, or nobody to judge this suite.
    """
    from eta_guard.errors import InputError
    from eta_guard.evaluation.judges.choose import KINDS
    from eta_guard.evaluation.methods.catalogue import METHODS, STANDARD
    from eta_guard.evaluation.setup import Setup

    if judge is None and suite != "embedded":
        raise InputError(f"Nobody judges {suite}.", hint=f"Name a judge with --judge: {KINDS}.")
    pairs = [tuple(pair.split(":")) for pair in win_tie or ()]
    if any(len(pair) != 2 for pair in pairs):
        raise InputError("--win-tie compares two methods.", hint="Write --win-tie full:plain.")
    models = {
        "assembly": choice.assembly,
        "chat_model": choice.chat_model,
        "clip": choice.clip,
        "reward": choice.reward,
        "dtype": choice.dtype and choice.dtype.value,
    }
    return Setup(
        judge=judge or "grammar",
        policy=policy,
        models=models,
        methods=tuple(dict.fromkeys(methods or (STANDARD if choice.chat_model else METHODS))),
        comparisons=tuple((first, second) for first, second in pairs),
        judge_template=judge_template,
        device=choice.device,
    )


def read_cases(suite: str, data: Path | None, split: Split, limit: int | None) -> list[SuiteCase]:
    """The cases that the options ask for."""
    from eta_guard.evaluation.suites.catalogue import read_suite

    return read_suite(suite, data=data, split=split.value, limit=limit)


def open_results(out: Path | None, suite: str, split: Split, setup: Setup) -> ResultsFile | None:
    """The results of the same command so far, if they are to be kept."""
    if out is None:
        return None
    from eta_guard.evaluation.results import ResultsFile

    name = f"{suite}/{split.value}" if suite == "embedded" else suite
    return ResultsFile(out, {"suite": name, **setup.configuration})
