"""Where the shipped weights and sample pictures lie."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal, get_args

from eta_guard.embedded.world import Kind

Model = Literal["clip", "reward", "chat", "guard"]


@dataclass(frozen=True)
class Sample:
    """A picture that ships with the package."""

    path: Path
    """The PNG file."""
    question: str
    """What to ask about it."""
    kind: Kind
    """Whether it shows an icon or text."""
    object: str
    """The thing that it shows."""
    hazardous: bool
    """Whether that thing is a hazard."""


def path(model: Model) -> Path:
    """Return the directory of a small model's weights.

    `clip` loads with open_clip as `local-dir:PATH`; the others load with transformers' auto
    classes.

    Raises:
        ValueError: There is no such model.
    """
    if model not in get_args(Model):
        known = ", ".join(map(repr, get_args(Model)))
        raise ValueError(f"no embedded model {model!r}; there are {known}")
    return _root() / "weights" / model


def samples() -> list[Sample]:
    """List the sample pictures, in the order of their index."""
    folder = _root() / "samples"
    index = json.loads((folder / "samples.json").read_text(encoding="utf-8"))
    return [
        Sample(
            path=folder / entry["file"],
            question=entry["question"],
            kind=entry["kind"],
            object=entry["object"],
            hazardous=entry["hazardous"],
        )
        for entry in index
    ]


def _root() -> Path:
    # The package is installed as plain files, so a resource is a path.
    return Path(str(files("eta_guard.embedded")))
