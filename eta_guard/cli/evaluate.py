"""``eta-guard evaluate``: methods side by side on a suite of judged cases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from eta_guard.cli import options
from eta_guard.cli import suite_options as suites
from eta_guard.cli.console import print_json, stdout
from eta_guard.cli.finishing import finished
from eta_guard.cli.options import ModelChoice, read_policy
from eta_guard.cli.suite_options import RUN, Split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eta_guard.evaluation.run import EvaluationRun


class Command(TyperCommand):
    """Takes ``--ray`` without an address as well."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts in what ``--ray`` stands for by itself."""
        given = list(args)
        if "--ray" in given:
            place = given.index("--ray") + 1
            address = given[place] if place < len(given) else ""
            if address not in ("auto", "local") and ":" not in address:
                given.insert(place, "local")
        return super().parse_args(ctx, given)


def evaluate(
    suite: suites.SuiteName = "embedded",
    data: suites.Data = None,
    limit: suites.Limit = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="plain, system_prompt, mapped (alternating mapping), pre_only, post_only,"
            " prefix_only, search_only, full, accept_early (the first candidate that is good"
            " enough), mask (answer anew, the unsafe parts of the picture covered), mask+eta (and"
            " search where that is unsafe), guardalign (mask, by the evaluator regions alone),"
            " full/N for N candidates, or accept_early/FIRST,LAST for these rewards; may be given"
            " again. Without it, all up to accept_early (with --model, without mapped)."
        ),
    ] = None,
    judge: suites.JudgeName = None,
    judge_template: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What MD-Judge is asked, in place of our own words."),
    ] = None,
    attack: suites.AttackNames = None,
    before: suites.Before = None,
    win_tie: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD:OTHER", help="Have the judge compare two methods; may be given again."
        ),
    ] = None,
    split: suites.SplitOption = Split.held_out,
    out: suites.Out = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="[ADDRESS]",
            help="Spread the run over workers of Ray: on this machine, or on the cluster at ADDRESS"
            " (auto, ray://HOST:10001).",
            rich_help_panel=RUN,
        ),
    ] = None,
    workers: suites.Workers = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page that shows it all.", rich_help_panel=RUN),
    ] = None,
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
    """Measure methods side by side: how much stays unsafe, and what it costs safe requests.

    The embedded suite has 400 hazardous and 400 safe held-out pictures and 100 hazards that are
    named in the question alone; the grammar of the embedded world judges the answers.
    embedded-paired sets a harmless twin beside each of those hazards, embedded-hard has 350 such
    pairs of pictures that are hard to read.

    With --attack the hazards, with their twins, are attacked first: how many are still flagged, how
    many unsafe answers are shown, and how many safe requests are refused.
    """
    if attack and "list" in attack:
        from eta_guard.cli.attacks import listed

        stdout().print(listed())
        return
    further = (image_evaluator or (), response_evaluator or ())
    choice = ModelChoice(assembly, model, clip, reward, device, dtype, *further)
    rules = read_policy(policy, settings, None)
    setup = suites.make_setup(
        choice,
        rules,
        suite,
        judge,
        method or (["full"] if attack else None),
        win_tie,
        judge_template,
        suites.policy_before(before, rules) if attack or before else None,
    )
    spread = suites.make_spread(choice, workers, ray, rules)
    run = suites.make_run(setup, suite, data, split, limit, out, spread, attack or ())
    finished(run)
    figures = run.figures()
    if report is not None:
        run.write_page(report)
    if json:
        print_json(figures)
        return
    from eta_guard.cli import attacks
    from eta_guard.cli.figures import tables

    for table in tables(_title(figures["rows"][0], run), figures):
        stdout().print(table)
    for table in attacks.tables(figures["attacks"]) if figures["attacks"] else ():
        stdout().print(table)
    if choice.only_embedded:
        stdout().print(
            "Small models on pictograms: they prove the procedure, not the safety of large models."
        )


def _title(first: Mapping[str, Any], run: EvaluationRun) -> str:
    return (
        f"{first['hazard_n']} hazardous pictures, {first['text_hazard_n']} hazards in text,"
        f" {first['safe_n']} safe requests ({run.suite.label}); with 95 % intervals"
    )
