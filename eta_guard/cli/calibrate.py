"""``eta-guard calibrate``: thresholds from labelled cases, and what to expect of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eta_guard.cli import options
from eta_guard.cli import suite_options as suites
from eta_guard.cli.console import print_json, stdout
from eta_guard.cli.finishing import finished
from eta_guard.cli.options import ModelChoice, read_policy

if TYPE_CHECKING:
    from rich.table import Table

    from eta_guard.evaluation.calibration import Calibration

TARGET = "Target: one of the two"


def calibrate(
    suite: suites.SuiteName = "embedded",
    data: suites.Data = None,
    limit: suites.Limit = None,
    max_false_alarm: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Largest share of safe requests that may be flagged; 0.02 without either.",
            rich_help_panel=TARGET,
        ),
    ] = None,
    max_missed: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Largest share of unsafe answers that may be missed.",
            rich_help_panel=TARGET,
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the policy there, for --policy and GuardPolicy.from_file."
        ),
    ] = None,
    judge: suites.JudgeName = None,
    split: suites.SplitOption = suites.Split.validation,
    out: suites.Out = None,
    workers: suites.Workers = None,
    assembly: options.Assembly = "embedded",
    model: options.Model = None,
    clip: options.Clip = None,
    reward: options.Reward = None,
    image_evaluator: options.ImageEvaluators = None,
    response_evaluator: options.ResponseEvaluators = None,
    device: options.Device = None,
    dtype: options.DtypeOption = None,
    policy: options.PolicyFile = None,
    settings: options.Settings = None,
    json: options.Json = False,
) -> None:
    """Choose the thresholds on labelled cases: a suite, or your own .jsonl file.

    Each case is answered once by the plain model and scored by all evaluators; the judge says
    which plain answers are unsafe. Several evaluators of a kind share the target, since any of them
    flags. Confirm the result on cases that it was not chosen on:
    eta-guard evaluate --policy FILE.
    """
    from eta_guard.errors import InputError

    if max_false_alarm is not None and max_missed is not None:
        raise InputError(
            "--max-false-alarm and --max-missed exclude each other.", hint="Give one of them."
        )
    from eta_guard.evaluation.calibration import Target
    from eta_guard.evaluation.calibration import calibrate as choose

    target = Target(max_false_alarm, max_missed)
    if max_false_alarm is None and max_missed is None:
        target = Target(max_false_alarm=0.02)
    further = (image_evaluator or (), response_evaluator or ())
    choice = ModelChoice(assembly, model, clip, reward, device, dtype, *further)
    rules = read_policy(policy, settings, None)
    setup = suites.make_setup(choice, rules, suite, judge, methods=("plain",))
    spread = suites.make_spread(choice, workers, policy=rules)
    run = suites.make_run(setup, suite, data, split, limit, out, spread)
    found = choose(finished(run), target, rules)
    if save is not None:
        _save(save, found, suite)
    if json:
        told = {"image_threshold", "response_threshold", "thresholds"}
        print_json(
            {"suite": suite, **found.figures, "policy": found.policy.model_dump(include=told)}
        )
        return
    for table in _tables(found):
        stdout().print(table)
    _advise(save)


def _save(path: Path, found: Calibration, suite: str) -> None:
    from eta_guard.evaluation.policy_file import write_policy

    target = ", ".join(f"{k} {v}" for k, v in found.figures["target"].items() if v is not None)
    cases = found.figures["cases"]
    write_policy(path, found.policy, [f"Calibrated on {suite}, {cases} cases, for {target}."])


def _advise(save: Path | None) -> None:
    if save is None:
        stdout().print("Keep it with --save FILE.", soft_wrap=True)
    else:
        stdout().print(
            f"Written to {save}; confirm it on other cases with --policy.", soft_wrap=True
        )


def _tables(found: Calibration) -> Iterator[Table]:
    from eta_guard.cli.figures import KINDS, agreement

    figures = found.figures
    for kind, each in figures["evaluators"].items():
        for name, told in each.items():
            yield _evaluator(f"{KINDS[kind]} {name}" if len(each) > 1 else KINDS[kind], told)
        if len(each) > 1:
            yield _union(kind, figures["together"][kind])
            yield agreement(kind, figures["agreement"][kind])
    yield _pair(figures)


def _evaluator(what: str, told: dict[str, Any]) -> Table:
    from rich.table import Table

    low, high = told["area_ci"]
    table = Table(
        title=f"{what}: {told['unsafe_n']} unsafe, {told['safe_n']} safe; area under the ROC"
        f" curve {told['area']:.3f} ({low:.3f}–{high:.3f})",
        title_justify="left",
    )
    table.add_column("threshold")
    for heading in ("value", "false alarms, %", "missed, %"):
        table.add_column(heading, justify="right")
    table.add_row("chosen", *_cells(told["chosen"]))
    table.add_row("before", *_cells(told["before"]))
    for point in told["points"]:
        table.add_row(f"≤ {100 * point['max_false_alarm']:g} % alarms", *_cells(point))
    return table


def _union(kind: str, told: dict[str, Any]) -> Table:
    from rich.table import Table

    from eta_guard.cli.figures import KINDS

    table = Table(
        title=f"{KINDS[kind]}s together: what any of them flags",
        title_justify="left",
        caption_justify="left",
    )
    if left_out := told["chosen"]["unscored_n"]:
        table.caption = f"Without cases that lack a score: {left_out} (these count as flagged)."
    table.add_column("thresholds")
    for heading in ("false alarms, %", "missed, %"):
        table.add_column(heading, justify="right")
    for name, errors in told.items():
        table.add_row(name, *_errors(errors))
    return table


def _cells(point: dict[str, Any]) -> Iterator[str]:
    value = f"{point['threshold']:.4f}"
    if "threshold_ci" in point:
        low, high = point["threshold_ci"]
        value += f"\n{low:.4f} to {high:.4f}"
    yield value
    yield from _errors(point)


def _errors(point: dict[str, Any]) -> Iterator[str]:
    from eta_guard.cli.figures import shown

    for name in ("false_alarm", "missed"):
        yield shown(point[name], point[f"{name}_ci"], scale=100, digits=1)


def _pair(figures: dict[str, Any]) -> Table:
    from rich.table import Table

    from eta_guard.cli.figures import shown

    several = any(len(each) > 1 for each in figures["evaluators"].values())
    table = Table(
        title=f"{'Both kinds' if several else 'The two'} together, in %; with 95 % intervals",
        caption=f"Unjudged answers {figures['unjudged_n']}, cases without a score"
        f" {figures['unscored_n']} (these count as flagged).",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("thresholds")
    for heading in ("unsafe answers missed", "safe requests aligned", "safe answers scored"):
        table.add_column(heading, justify="right")
    for name, pair in (("chosen", figures["pair"]), ("before", figures["pair_before"])):
        cells = (
            shown(pair[rate], pair[f"{rate}_ci"], scale=100, digits=1)
            for rate in ("missed", "false_alarm", "safe_answers_scored")
        )
        table.add_row(name, *cells)
    return table
