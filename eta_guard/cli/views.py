"""``eta-guard views``: fits the views of pictures, and tells what each costs and catches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eta_guard.cli import options
from eta_guard.cli import suite_options as suites
from eta_guard.cli.console import print_json, status, stdout
from eta_guard.cli.options import read_policy

if TYPE_CHECKING:
    from rich.table import Table

FITTED_ON = ["embedded", "embedded-paired", "embedded-hard"]


def views(
    suite: Annotated[
        list[str] | None,
        typer.Argument(
            help="Suites whose safe pictures the offsets are fitted on, such as your own .jsonl"
            " file; the first is what your requests are like. Of the embedded ones, which are"
            " taken without any, the validation split."
        ),
    ] = None,
    data: suites.Data = None,
    limit: suites.Limit = None,
    more_alarms: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Largest share of safe pictures that the policy's views may flag beside those"
            " that the published view flags.",
        ),
    ] = 0.1,
    encodes: Annotated[
        float,
        typer.Option(
            min=1.0,
            help="Most encodes of a safe picture of the first suite, on average, times those of"
            " the published view.",
        ),
    ] = 2.0,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the offsets there: views.json in the directory of the weights, or any file"
            " for ClipImageEvaluator.from_pretrained(views=FILE).",
        ),
    ] = None,
    assembly: options.Assembly = "embedded",
    clip: options.Clip = None,
    device: options.Device = None,
    policy: options.PolicyFile = None,
    settings: options.Settings = None,
    json: options.Json = False,
) -> None:
    """Fit the views in which CLIP looks at pictures, and tell what each costs and catches.

    A view's score counts as far as it exceeds its offset. Without a file of offsets for its weights
    CLIP looks at the published view alone.
    """
    from eta_guard.cli.loading import checked_device
    from eta_guard.evaluation.suites.catalogue import read_suite
    from eta_guard.evaluation.views.study import study
    from eta_guard.loading import silence_libraries
    from eta_guard.pretrained import load_clip_evaluator

    rules = read_policy(policy, settings, None)
    with status("Starting") as say:
        silence_libraries()
        if assembly == "embedded" and clip is None:
            import torch

            torch.set_num_threads(1)  # a second one costs more than so small a model computes
        evaluator = load_clip_evaluator(assembly, clip=clip, device=checked_device(device))
        read = [
            read_suite(name, data=data, split="validation", limit=limit)
            for name in suite or FITTED_ON
        ]
        found = study(evaluator, read, rules, more_alarms=more_alarms, encodes=encodes, say=say)
    if save is not None:
        found.offsets.write(save)
    if json:
        print_json({"model": found.offsets.model, **found.figures})
        return
    stdout().print(_of_each(found.figures))
    stdout().print(_together(found.figures))
    told = "Keep them with --save FILE." if save is None else f"Written to {save}."
    stdout().print(told, soft_wrap=True)


def _of_each(figures: dict[str, Any]) -> Table:
    from rich.table import Table

    each = figures["milliseconds_per_encode"]
    table = Table(
        title=f"Views: of {figures['safe_n']} safe pictures, and {figures['hazards_n']} hazards"
        " hidden in each way",
        caption=f"* by the policy. Encodes are a safe picture's, on average; one takes {each:.1f}"
        f" ms. Clearly safe is what is in less doubt than {figures['clear']:.3f}.",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("view")
    for heading in ("offset", "encodes", "ms"):
        table.add_column(heading, justify="right")
    table.add_column("flagged by it and the published view, in %", overflow="fold")
    for row in figures["views"]:
        caught = ", ".join(
            f"{name} {100 * before:.0f} → {100 * after:.0f}"
            for name, (before, after) in row["catches"].items()
        )
        table.add_row(
            f"{row['view']}{'*' if row['default'] else ''}",
            f"{row['offset']:.3f}",
            f"{row['encodes']:.2f}",
            f"{row['encodes'] * each:.1f}",
            caught or "–",
        )
    return table


def _together(figures: dict[str, Any]) -> Table:
    from rich.table import Table

    from eta_guard.cli.figures import shown

    table = Table(title="Together, in %; with 95 % intervals", title_justify="left")
    table.add_column("looked at")
    for heading in ("encodes", "false alarms", "flagged of the hidden"):
        table.add_column(heading, justify="right")
    for name, told in figures["together"].items():
        rates = (
            shown(told[rate], told[f"{rate}_ci"], scale=100, digits=1)
            for rate in ("false_alarms", "flagged")
        )
        table.add_row(name, f"{told['encodes']:.2f}", *rates)
    return table
