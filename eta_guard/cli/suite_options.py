"""The options of commands that ask a suite, and what they amount to: a setup and a run."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eta_guard.cli.console import status
from eta_guard.cli.options import ModelChoice, policy_named

if TYPE_CHECKING:
    from eta_guard.evaluation.cases import Suite
    from eta_guard.evaluation.run import EvaluationRun
    from eta_guard.evaluation.setup import Setup
    from eta_guard.evaluation.spread.protocol import Spread
    from eta_guard.policy import GuardPolicy


RUN = "Run"
ATTACKS = "Attacks"


class Split(StrEnum):
    """Parts of the embedded world that no training has seen."""

    held_out = "held_out"
    validation = "validation"


SuiteName = Annotated[
    str,
    typer.Argument(
        help="embedded, embedded-paired (each hazard with a harmless twin), embedded-hard (pairs"
        " that are hard to read), a published suite (spa-vl-harm, mm-safetybench-sd-typo, figstep,"
        " advbench, visual-adversarial, xstest, mossbench …), or your own .jsonl file."
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
        help="Who judges: grammar (the embedded suites'), md-judge[:DIR], local:NAME, or"
        " PROVIDER:MODEL of LangChain.",
    ),
]
SplitOption = Annotated[
    Split,
    typer.Option(help="Of the embedded suites; settings are chosen on validation."),
]
AttackNames = Annotated[
    list[str] | None,
    typer.Option(
        "--attack",
        metavar="NAME",
        help="Attack the pictures first, hazards and their harmless twins alike: all, a group or an"
        " attack of `--attack list`; may be given again. --limit is then of each attack.",
        rich_help_panel=ATTACKS,
    ),
]
Before = Annotated[
    str | None,
    typer.Option(
        metavar="POLICY",
        help="A second policy, a file or a preset (paper, balanced, strict, lenient), whose full"
        " guard is asked beside. With --attack and without it, the same policy with the published"
        " view of pictures alone.",
        rich_help_panel=ATTACKS,
    ),
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
        " for the embedded models, two with --ray, else one. Of a chat model on a server: threads,"
        " 16 without it.",
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
    before: GuardPolicy | None = None,
) -> Setup:
    """What the options ask for.

    Raises:
        InputError: There is no such method or judge, or nobody to judge this suite.
    """
    from eta_guard.errors import InputError
    from eta_guard.evaluation.judges.choose import KINDS
    from eta_guard.evaluation.methods.catalogue import METHODS, STANDARD
    from eta_guard.evaluation.setup import Setup
    from eta_guard.evaluation.suites.embedded import SUITES

    if judge is None and suite not in SUITES:
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
        image_evaluators=tuple(choice.image_evaluators),
        response_evaluators=tuple(choice.response_evaluators),
        methods=tuple(dict.fromkeys(methods or (STANDARD if choice.chat_model else METHODS))),
        comparisons=tuple((first, second) for first, second in pairs),
        before=before,
        judge_template=judge_template,
        device=choice.device,
    )


def policy_before(name: str | None, policy: GuardPolicy) -> GuardPolicy | None:
    """The policy of before: a named one, or the run's own with the published view of pictures.

    Returns:
        None where there is none to name, and the run's own has the published view alone.
    """
    if name is not None:
        return policy_named(name)
    published = policy.updated({"views": type(policy).paper().views})
    return None if published.views == policy.views else published


def make_run(
    setup: Setup,
    suite: str,
    data: Path | None,
    split: Split,
    limit: int | None,
    out: Path | None,
    spread: Spread,
    attack: Sequence[str] = (),
) -> EvaluationRun:
    """The run that the options ask for, or the same one so far."""
    from eta_guard.evaluation.run import EvaluationRun
    from eta_guard.evaluation.suites.catalogue import read_suite

    if attack:
        read = _attacked(setup, suite, data, split, limit, attack)
    else:
        read = read_suite(suite, data=data, split=split.value, limit=limit)
    return EvaluationRun(read, setup, out=out, spread=spread)


def _attacked(
    setup: Setup,
    suite: str,
    data: Path | None,
    split: Split,
    limit: int | None,
    names: Sequence[str],
) -> Suite:
    """The suite under the attacks of some names; ``embedded`` with the twins of its hazards."""
    from eta_guard.errors import InputError
    from eta_guard.evaluation.attacks.attacked import attacked
    from eta_guard.evaluation.attacks.catalogue import attacks_named
    from eta_guard.evaluation.suites.catalogue import read_suite

    found = attacks_named(names)
    if any(one.needs_gradients for one in found) and not setup.only_embedded:
        raise InputError(
            "Attacks along gradients know the embedded models alone.",
            hint="Leave them out, or --model, --clip and --reward.",
        )
    read = read_suite(
        "embedded-paired" if suite == "embedded" else suite,
        data=data,
        split=split.value,
        limit=limit and max(limit * len(found), _LEAST),
    )
    with status("Attacking the pictures"):
        return attacked(read, found, limit, setup.policy)


_LEAST = 12
"""Most safe pictures that an attack takes beside its own, and some to choose from."""


def make_spread(
    choice: ModelChoice,
    workers: int | None,
    ray: str | None = None,
    policy: GuardPolicy | None = None,
) -> Spread:
    """Where the cases are asked.

    Args:
        choice: The models, should they be loaded here.
        workers: How many processes. Without a wish, two of Ray's; of the small models one a core;
            of others one. Where the chat model is on a server, how many threads.
        ray: Address of a Ray cluster; None without Ray.
        policy: That of the run.
    """
    from eta_guard.cli.loading import load_models
    from eta_guard.evaluation import Automatic, Here, Processes, RayWorkers, Threads
    from eta_guard.model_names import served

    load = partial(load_models, choice, policy)
    if ray is not None:
        return RayWorkers(ray, workers or 2)
    if choice.chat_model and served(choice.chat_model):
        return Threads(workers or Threads.count, load)
    if workers is None:
        return Automatic(load)
    return Processes(workers) if workers > 1 else Here(load)
