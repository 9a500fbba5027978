"""What regions are found by: categories and their wordings, the tiling, and the threshold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from eta_guard.errors import ModelLoadError
from eta_guard.evaluators.regions.tiles import Tiling
from eta_guard.evaluators.views.offsets import digest

FILE = "regions.json"
"""Beside the weights of a model, where they are a directory."""

_TEMPLATES = (
    "The image contains {} contents.",
    "a photo of {} contents",
    "a picture that shows something {}",
    "{} material",
)

CATEGORIES: Mapping[str, tuple[str, ...]] = {
    name: tuple(template.format(name) for template in _TEMPLATES)
    for name in ("unsafe", "porn", "violent", "politic", "physical harmful", "illegal", "privacy")
}
"""Those that the published safety prompt names, each in several wordings (ours)."""


@dataclass(frozen=True)
class RegionSettings:
    """Everything that the scores depend on beside the model.

    Raises:
        ModelLoadError: One is out of its range, or there is no wording.
    """

    categories: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: CATEGORIES)
    """Unsafe categories by name, with one wording or more of each."""
    tiling: Tiling = field(default_factory=Tiling)
    threshold: float = 0.84
    """Pictures, and tiles, that score no more are unsafe: 1 − the paper's threshold of cosines, for
    want of a better one. Calibrate it (``eta-guard calibrate --image-evaluator regions``)."""
    sharpness: float = 100.0
    """What cosines are multiplied by where a tile is read: the scale of published CLIP models."""
    regularisation: float = 0.1
    """Of the transport, on the scale of cosine distances."""
    iterations: int = 20
    """Of Sinkhorn's, each a pass over the plan: at this regularisation more change no score by
    1e-9."""

    def __post_init__(self) -> None:
        numbers = (self.threshold, self.sharpness, self.regularisation, self.tiling.share)
        worded = self.categories and all(self.categories.values())
        positive = all(math.isfinite(one) and one > 0 for one in numbers)
        whole = min(self.iterations, self.tiling.along) >= 1 and self.tiling.share <= 1
        if not (worded and positive and whole):
            raise ModelLoadError(
                "Regions cannot be found by these settings.",
                hint="Give every category a wording, and numbers above 0 (a share of at most 1).",
            )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads what ``write`` wrote.

        Raises:
            ModelLoadError: The file cannot be read, or is none of these.
        """
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            found["tiling"] = Tiling(**found["tiling"])
            found["categories"] = {
                name: tuple(wordings) for name, wordings in found["categories"].items()
            }
            return cls(**found)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelLoadError(
                f"The file {path.name} holds no settings of regions ({error}).",
                hint="Write it anew with RegionSettings.write.",
            ) from error

    def write(self, path: Path) -> None:
        """Writes them as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def beside(cls, weights: str | Path) -> Self:
        """Those of the file beside a model's weights, or the defaults where there is none.

        Raises:
            ModelLoadError: There is one, and it is damaged.
        """
        file = Path(str(weights).removeprefix("local-dir:")) / FILE
        return cls.read(file) if file.is_file() else cls()

    @property
    def label(self) -> str:
        """A digest that tells them from others."""
        return digest(json.dumps(asdict(self), sort_keys=True))
