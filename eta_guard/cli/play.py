"""``eta-guard play``: the playground, a page on which a request is seen to go through the graph."""

from __future__ import annotations

import signal
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eta_guard.cli import options
from eta_guard.cli.console import stdout
from eta_guard.cli.options import ModelChoice, read_policy

if TYPE_CHECKING:
    from eta_guard.guard import EtaGuard
    from eta_guard.play.scores import KnownScores


def play(
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Where to listen on this machine; a free one without it."
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="What eta-guard calibrate --out DIR has kept: thresholds are shown over its"
            " scores. Over those of the sample pictures without it.",
        ),
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
    seed: options.Seed = None,
) -> None:
    """Open the playground: drop a picture, ask, and watch the guard at work.

    A page on this machine alone; it works without a network. The plain answer and the rejected
    candidates are shown there, which the guard otherwise withholds.
    """
    from eta_guard.play.serve import require_gradio, serving

    require_gradio()
    rules = read_policy(policy, settings, seed)
    further = (image_evaluator or (), response_evaluator or ())
    choice = ModelChoice(assembly, model, clip, reward, device, dtype, *further)

    from eta_guard.cli.loading import load_guard

    guard = load_guard(choice, rules)
    # Whoever ends the process leaves as little behind as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with serving(guard, _scores(guard, calibration), models=_models(choice), port=port) as address:
        stdout().print(f"The playground is at {address} (Ctrl-C ends it).", soft_wrap=True)
        Event().wait()


def _scores(guard: EtaGuard, calibration: Path | None) -> KnownScores:
    from eta_guard.play.scores import of_calibration, of_samples

    return of_samples(guard) if calibration is None else of_calibration(calibration)


def _models(choice: ModelChoice) -> dict[str, Any]:
    """Arguments of ``load_parts`` that are not its defaults, ``dtype`` by name."""
    named = {
        "assembly": choice.assembly if choice.assembly != "embedded" else None,
        "chat_model": choice.chat_model,
        "clip": choice.clip,
        "reward": choice.reward,
        "image_evaluators": list(choice.image_evaluators) or None,
        "response_evaluators": list(choice.response_evaluators) or None,
        "device": choice.device,
        "dtype": choice.dtype.value if choice.dtype else None,
    }
    return {name: value for name, value in named.items() if value is not None}
