"""``eta-guard ask``: one question about one image, and the way that it took."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eta_guard.cli import options
from eta_guard.cli.console import print_json, status, stdout
from eta_guard.cli.options import ModelChoice, read_policy

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage
    from PIL.Image import Image

    from eta_guard.policy import GuardPolicy


def ask(
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="An image file.", show_default=False)
    ],
    question: Annotated[
        str, typer.Argument(metavar="QUESTION", help="What to ask about it.", show_default=False)
    ],
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
    seed: options.Seed = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the picture there, with the regions that were found unsafe and their"
            " scores; some evaluators tell where (--image-evaluator regions).",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Ask about an image, and see how the answer came about.

    Shown are the plain answer and the rejected candidates too, which the guard otherwise withholds
    (--set record_rejected=false leaves them out). With --json: an object of answer, verdict, usage.
    """
    from eta_guard.request.from_file import read_request

    rules = read_policy(policy, settings, seed, record_rejected=True)
    message, pixels = read_request(image, question)
    further = (image_evaluator or (), response_evaluator or ())
    choice = ModelChoice(assembly, model, clip, reward, device, dtype, *further)

    from eta_guard.cli.loading import load_guard

    guard = load_guard(choice, rules)
    with status("Answering"):
        reply = as_json(guard.invoke([message]))
    if json:
        print_json(reply)
    else:
        _show_request(pixels, image.name, question)
        _show_way(reply, rules, pixels)
    if out is not None:
        drawn = _draw(out, pixels, reply)
        if not json:
            regions = f"{drawn} region{'' if drawn == 1 else 's'}"
            stdout().print(f"Written to {out}, with {regions} drawn.", soft_wrap=True)


def _show_request(pixels: Image, name: str, question: str) -> None:
    from eta_guard.cli.show import asked, header

    console = stdout()
    console.print(header(console, pixels, name, asked(question)))
    console.print()


def _draw(out: Path, pixels: Image, reply: dict[str, Any]) -> int:
    """Writes the picture with its unsafe regions, and returns how many they are."""
    from eta_guard.drawn_regions import unsafe_regions, with_regions
    from eta_guard.errors import InputError
    from eta_guard.state import Verdict

    verdict = Verdict.model_validate(reply["verdict"])
    regions = [region for image in verdict.images for region in unsafe_regions(image)]
    try:
        with_regions(pixels, regions).save(out)
    except (OSError, ValueError) as error:  # ValueError: a suffix that names no format
        raise InputError(
            f"The picture cannot be written to {out} ({error}).",
            hint="Name a file that can be written, such as regions.png.",
        ) from error
    return len(regions)


def _show_way(reply: dict[str, Any], policy: GuardPolicy, pixels: Image) -> None:
    from eta_guard.cli.show import Way
    from eta_guard.state import Verdict

    verdict = Verdict.model_validate(reply["verdict"])
    stdout().print(Way(verdict, policy, reply["answer"], [pixels]))


def as_json(reply: AIMessage) -> dict[str, Any]:
    """The reply as plain values: ``answer``, ``verdict`` and ``usage``."""
    return {
        "answer": reply.text,
        "verdict": reply.response_metadata["eta_guard"],
        "usage": dict(reply.usage_metadata or {}),
    }
