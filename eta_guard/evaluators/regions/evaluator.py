"""Scores pictures by their regions: tiles of CLIP against wordings of unsafe categories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import torch
from PIL.Image import Image
from torch import Tensor

from eta_guard.evaluators.clip import ClipImageEvaluator
from eta_guard.evaluators.kept_findings import KeptFindings
from eta_guard.evaluators.regions.settings import RegionSettings
from eta_guard.evaluators.regions.tiles import Tile, tiles_of
from eta_guard.evaluators.regions.transport import transport
from eta_guard.evaluators.views.geometry import bounded_aspect
from eta_guard.protocols import Direction, Finding, Region

_LONGEST = 4
"""Squares that cover the longest picture; a longer one is squeezed. Each is cut in tiles, and a
strip of one pixel's width should not cost a thousand passes of the image tower."""


class RegionImageEvaluator:
    """An ``ImageEvaluator`` that says where a picture is unsafe, and in which category.

    Its evidence is GuardAlign's (ICLR 2026): the picture is cut into tiles, CLIP embeds each, and
    optimal transport matches them with several wordings of each unsafe category (see
    ``transport``). A picture scores its distance from the nearest category, which is the mean of
    its tiles' by their weights, a cosine distance in [0, 2]; unsafe is what scores the threshold
    or less. So an unsafe picture has at least one tile that is.

    On the embedded models (`eta-guard calibrate embedded --image-evaluator regions`, validation) it
    tells hazardous pictures from safe ones with an area under the ROC curve of 0.997 (0.995–0.999),
    CLIP in the default views with 0.990 (0.982–0.996). Where it points is coarse there: that CLIP
    knows things only as large as its picture, so that tiles are three quarters of the side, and the
    middle of one lies on the hazard no oftener than the picture's own does (the table of regions of
    `eta-guard evaluate embedded --image-evaluator regions` has both). It is of no help with mosaics
    either, which the views are for.

    Costs one pass of the image tower a tile. It is dearer than CLIP, so that it is not asked about
    pictures that CLIP has flagged, unless the policy says ``short_circuit=False``. Safe to share
    between threads.

    Args:
        clip: Whose model embeds tiles and wordings; it need not evaluate anything itself.
        settings: Categories, tiling, threshold; the published safety prompt's categories without.
        name: Under which it stands in verdict and policy.
        kept: Most findings kept, each under the hash of its picture's pixels.
    """

    unsafe: Direction = "below"

    def __init__(
        self,
        clip: ClipImageEvaluator,
        settings: RegionSettings | None = None,
        *,
        name: str = "regions",
        kept: int = 1024,
    ) -> None:
        self.settings = settings or RegionSettings()
        self.embeddings = clip.embeddings
        self.name, self.threshold = name, self.settings.threshold
        self.fingerprint = f"{clip.fingerprint}+regions:{self.settings.label}"
        self.cost = self.settings.tiling.along**2 * clip.cost
        self._kept = KeptFindings(kept)

    @classmethod
    def from_pretrained(
        cls,
        name: str = "ViT-L-14-336",
        *,
        pretrained: str = "openai",
        device: str | torch.device | None = None,
        precision: str = "fp32",
        settings: RegionSettings | None = None,
    ) -> Self:
        """Loads an open_clip model; arguments and errors are ``ClipImageEvaluator``'s.

        Args:
            name: As there.
            pretrained: As there.
            device: As there.
            precision: As there.
            settings: Without them those of ``regions.json`` in a directory that has one.
        """
        clip = ClipImageEvaluator.from_pretrained(
            name, pretrained=pretrained, device=device, precision=precision
        )
        return cls(clip, settings or RegionSettings.beside(name))

    def evaluate(
        self, images: Sequence[Image], prompt: str = "", question: str = ""
    ) -> list[Finding]:
        """How far each picture is from the nearest unsafe category, and where it is nearest.

        Args:
            images: Pictures of any size; other modes than RGB are converted. Where one side is more
                than four times the other, it is squeezed.
            prompt: Not read: the categories have wordings of their own.
            question: Not read.

        Returns:
            One finding a picture, with its nearest category. Regions are the tiles that score the
            evaluator's own threshold or less, or else the one that scores least; of tiles of which
            one has the other's middle in it, only the less safe. A picture's tiles go through the
            model in one batch. Not finite where CLIP fails.
        """
        wanted = self._kept.of(images)
        return wanted.with_new(
            [self._finding(bounded_aspect(one, _LONGEST)) for one in wanted.missing]
        )

    def _finding(self, picture: Image) -> Finding:
        settings = self.settings
        tiles = tiles_of(picture, settings.tiling)
        found = transport(
            self.embeddings.of_pictures([tile.make for tile in tiles]),
            self._wordings(),
            sharpness=settings.sharpness,
            regularisation=settings.regularisation,
            iterations=settings.iterations,
        )
        score, nearest = found.categories.min(dim=0)
        if not math.isfinite(score):
            return Finding(float(score))
        return Finding(
            float(score),
            list(settings.categories)[int(nearest)],
            self._regions(tiles, found.tiles.tolist()),
        )

    def _wordings(self) -> list[Tensor]:
        every = list(self.settings.categories.values())
        rows = self.embeddings.of_texts([text for texts in every for text in texts])
        return list(torch.split_with_sizes(rows, [len(texts) for texts in every]))

    def _regions(self, tiles: Sequence[Tile], scores: Sequence[float]) -> tuple[Region, ...]:
        regions: list[Region] = []
        for score, tile in sorted(zip(scores, tiles, strict=True), key=lambda one: one[0]):
            if regions and score > self.settings.threshold:
                break
            if not any(_has_the_middle_of(region, tile) for region in regions):
                regions.append(Region(*tile.box, score))
        return tuple(regions)


def _has_the_middle_of(region: Region, tile: Tile) -> bool:
    box = tile.box
    x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    return region.left <= x <= region.right and region.top <= y <= region.bottom
