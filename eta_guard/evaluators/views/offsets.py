"""What the scores of other views are held against: offsets that were fitted for one model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

from eta_guard.errors import ModelLoadError
from eta_guard.view_names import VIEW_NAMES, ViewName

FILE = "views.json"
"""Beside the weights of a model, where they are a directory."""


@dataclass(frozen=True)
class ViewOffsets:
    """By how much a view's score has to exceed what the published view's would.

    The likeliest of several views is likelier than one, of safe pictures as well, and views in
    which no picture of the training looked are so most of all: what a view scores counts only as
    far as it exceeds what safe pictures score in it now and then. `eta-guard views` fits them.
    """

    model: str
    """Fingerprint of the model whose scores they were fitted on."""
    prompt: str
    """Digest of the safety prompt, by ``digest``."""
    clear: float
    """A picture whose published view is in less doubt is safe without a further look (see
    ``GuardPolicy.look_closer``)."""
    offsets: Mapping[ViewName, float] = field(default_factory=dict)
    """By kind of view, each at least 0. A view that is not here is not used."""
    encodes: float = 1.0
    """How many views of an ordinary safe picture were encoded in the fit, on average."""
    direction: tuple[float, ...] = ()
    """In which hidden hazards lie from ordinary safe pictures, of unit length [width of the
    embeddings]: a view is in as much doubt as its embedding's cosine with it. Without one, as it
    scores."""

    @classmethod
    def read(cls, path: Path) -> ViewOffsets:
        """Reads what ``write`` wrote.

        Raises:
            ModelLoadError: The file cannot be read, or is none of these.
        """
        try:
            read = json.loads(path.read_text(encoding="utf-8"))
            found = cls(**{**read, "direction": tuple(read.get("direction", ()))})
            unknown = sorted(set(found.offsets) - set(VIEW_NAMES))
            numbers = (found.clear, found.encodes, *found.offsets.values(), *found.direction)
            if unknown or not all(math.isfinite(each) for each in numbers):
                raise ValueError(f"an offset of {', '.join(unknown) or 'no number'}")
            if min(found.offsets.values(), default=0.0) < 0:
                raise ValueError("an offset below 0")
            return found
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ModelLoadError(
                f"The file {path.name} holds no offsets of views ({error}).",
                hint="Make it anew with `eta-guard views --save FILE`.",
            ) from error

    def write(self, path: Path) -> None:
        """Writes them as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @property
    def label(self) -> str:
        """A digest that tells them from others."""
        return digest(json.dumps(asdict(self), sort_keys=True))

    def hold_for(self, model: str, prompt: str) -> bool:
        """Whether they were fitted on this model's scores under this prompt."""
        return (self.model, self.prompt) == (model, digest(prompt))


def digest(text: str) -> str:
    """What a text is known by, such as a safety prompt in a file of offsets."""
    return sha256(text.encode()).hexdigest()[:12]
