"""``eta-guard demo``: the sample pictures, the plain answer beside the guarded one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Annotated

import typer

from eta_guard.cli import options
from eta_guard.cli.ask import as_json
from eta_guard.cli.console import print_json, status, stdout
from eta_guard.cli.options import ModelChoice, read_policy

if TYPE_CHECKING:
    from eta_guard.cli.tour import Stop
    from eta_guard.embedded import Sample
    from eta_guard.policy import GuardPolicy


def demo(
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="How many of the pictures; all without it.", show_default=False),
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
    json: options.Json = False,
) -> None:
    """Tour the sample pictures: the plain model's answer beside the guarded one.

    With --json, an object of two keys. "samples" is a list of objects with file, object, kind,
    hazardous, question, plain (the plain answer), answer, verdict and usage; "totals" counts,
    for the hazardous and for the safe ones, pictures, decisions, unchanged answers, and answers
    that the embedded models' wording gives away as unsafe.
    """
    rules = read_policy(policy, settings, seed).updated({"record_rejected": True})
    further = (image_evaluator or (), response_evaluator or ())
    choice = ModelChoice(assembly, model, clip, reward, device, dtype, *further)

    from eta_guard import embedded

    samples = _alternating(embedded.samples())[:limit]
    stops = _stops(samples, choice, rules)
    if json:
        _print_json(list(stops))
    else:
        _show(stops, len(samples), choice, rules)


def _print_json(stops: list[Stop]) -> None:
    from eta_guard.cli.tour import totals

    print_json({"samples": [stop.as_json() for stop in stops], "totals": totals(stops)})


def _show(stops: Iterator[Stop], count: int, choice: ModelChoice, policy: GuardPolicy) -> None:
    """Prints each stop as soon as it is there; the introduction once the models are."""
    from eta_guard.cli.tour import introduction, totals, totals_view, view

    console = stdout()
    seen: list[Stop] = []
    for stop in stops:
        if not seen:
            console.print(introduction(count, small=choice.only_embedded))
        seen.append(stop)
        console.print(view(stop, policy, console, place=len(seen), count=count))
    console.print(totals_view(totals(seen), judged=choice.only_embedded))


def _alternating(samples: Sequence[Sample]) -> list[Sample]:
    """A hazardous picture, a safe one, and so on, so that a short tour shows both."""
    hazardous = [sample for sample in samples if sample.hazardous]
    safe = [sample for sample in samples if not sample.hazardous]
    return [s for s in chain(*zip_longest(hazardous, safe)) if s is not None]


def _stops(samples: Sequence[Sample], choice: ModelChoice, policy: GuardPolicy) -> Iterator[Stop]:
    """Answers one picture after another."""
    from eta_guard.cli.loading import load_guard
    from eta_guard.cli.tour import Stop
    from eta_guard.request.from_file import read_request
    from eta_guard.state import Verdict

    requests = [read_request(sample.path, sample.question) for sample in samples]
    guard = load_guard(choice, policy)
    for place, (sample, (message, pixels)) in enumerate(zip(samples, requests, strict=True), 1):
        with status(f"Answering {place} of {len(samples)}: {sample.object}"):
            reply = as_json(guard.invoke([message]))
        verdict = Verdict.model_validate(reply["verdict"])
        yield Stop(sample, pixels, reply["answer"], verdict, reply["usage"])
