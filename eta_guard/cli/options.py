"""The options that commands share, and what they amount to: models and a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from eta_guard.errors import PolicyError

if TYPE_CHECKING:
    from eta_guard.policy import GuardPolicy

MODELS, POLICY = "Models", "Policy"


class Dtype(StrEnum):
    """Number formats of the weights."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


Assembly = Annotated[
    str,
    typer.Option(
        help="The models that belong together: embedded or paper.", rich_help_panel=MODELS
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="Another chat model: a name, a directory, or NAME@URL (on a vLLM server,"
        " http://HOST:PORT/v1).",
        rich_help_panel=MODELS,
    ),
]
Clip = Annotated[
    str | None,
    typer.Option(
        help="Another open_clip model: a name such as ViT-L-14-336/openai, or a directory.",
        rich_help_panel=MODELS,
    ),
]
Reward = Annotated[
    str | None,
    typer.Option(help="Another reward model: a name or a directory.", rich_help_panel=MODELS),
]
ImageEvaluators = Annotated[
    list[str] | None,
    typer.Option(
        "--image-evaluator",
        metavar="SPEC",
        help="A further evaluator of pictures: typographic (of the text in them), regions (tiles"
        " of CLIP, which tell where), guard:NAME (a"
        " guard model, by name or directory), guard:NAME@URL (one on a server,"
        " http://HOST:PORT/v1) or classifier:NAME=LABEL,… (with its unsafe labels); may be given"
        " again. What any evaluator flags is flagged.",
        rich_help_panel=MODELS,
    ),
]
ResponseEvaluators = Annotated[
    list[str] | None,
    typer.Option(
        "--response-evaluator",
        metavar="SPEC",
        help="A further evaluator of answers: guard:NAME or guard:NAME@URL, as for pictures; may be"
        " given again.",
        rich_help_panel=MODELS,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="Where the models run, such as cpu or cuda; the GPU if there is one.",
        rich_help_panel=MODELS,
    ),
]
DtypeOption = Annotated[
    Dtype | None,
    typer.Option(
        "--dtype",
        help="Of chat and reward model, and of further evaluators.",
        rich_help_panel=MODELS,
    ),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        metavar="FILE",
        help="Policy fields, as YAML or JSON; the defaults without it.",
        rich_help_panel=POLICY,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="A policy field, such as candidates=3; may be given again.",
        rich_help_panel=POLICY,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        help="Of every random draw; the same seed gives the same answer.", rich_help_panel=POLICY
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]


@dataclass(frozen=True)
class ModelChoice:
    """Which models, and where they run."""

    assembly: str = "embedded"
    chat_model: str | None = None
    clip: str | None = None
    reward: str | None = None
    device: str | None = None
    dtype: Dtype | None = None
    image_evaluators: Sequence[str] = ()
    response_evaluators: Sequence[str] = ()

    @property
    def only_embedded(self) -> bool:
        """Whether the assembly's three models are those that ship with the package."""
        return self.assembly == "embedded" and not (self.chat_model or self.clip or self.reward)

    @property
    def further(self) -> tuple[str, ...]:
        """All evaluators beside the assembly's."""
        return (*self.image_evaluators, *self.response_evaluators)


def read_policy(
    file: Path | None, settings: Sequence[str] | None, seed: int | None, **standing: Any
) -> GuardPolicy:
    """The policy that the options ask for.

    Args:
        file: The fields to start from.
        settings: ``field=value`` each, the last of a field counts.
        seed: Counts more than all of these.
        standing: What the command sets by itself; it counts less than ``settings``.

    Raises:
        PolicyError: The file cannot be read, or a field is unknown or out of range.
    """
    from eta_guard.policy import GuardPolicy

    policy = GuardPolicy.from_file(file) if file else GuardPolicy()
    values = standing | dict(_setting(text) for text in settings or ())
    return policy.updated(values if seed is None else values | {"seed": seed})


def policy_named(name: str) -> GuardPolicy:
    """The policy of a file, or a preset.

    Raises:
        PolicyError: There is neither, or it cannot be read.
    """
    from eta_guard.policy import GuardPolicy

    return GuardPolicy.from_file(name) if Path(name).is_file() else GuardPolicy.preset(name)


def _setting(text: str) -> tuple[str, Any]:
    field, equals, value = text.partition("=")
    if not equals or not field.strip():
        raise PolicyError(f"--set {text!r} is not FIELD=VALUE.", hint="Write --set candidates=3.")
    return field.strip(), _value(value)


def _value(text: str) -> Any:
    """A YAML scalar or list, or a mapping in braces; what YAML cannot read is text as it is.

    So is what YAML takes for a mapping without braces: a text with a colon in it.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    a_text = isinstance(value, dict) and not text.lstrip().startswith("{")
    return text if a_text or value is None else value
