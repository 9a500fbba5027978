"""Compares images with texts by CLIP (open_clip).

It knows no prompt: it is given images and texts, and answers with cosines.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from PIL.Image import Image
from torch import Tensor, nn

from eta_guard.evaluators.clip_embeddings import ClipEmbeddings
from eta_guard.evaluators.clip_loading import load_clip
from eta_guard.evaluators.pixel_hash import pixel_hash
from eta_guard.evaluators.views.geometry import View, bounded_aspect, views_of
from eta_guard.evaluators.views.looking import Mark, Score, Seen, look, pairs_of, published, seen
from eta_guard.evaluators.views.offsets import FILE, ViewOffsets
from eta_guard.loading import parameters
from eta_guard.protocols import Direction, Finding, Views
from eta_guard.view_names import VIEW_NAMES, ViewName

logger = logging.getLogger(__name__)


class ClipImageEvaluator:
    """An ``ImageEvaluator`` over an open_clip model.

    Embeddings are kept, an image's by its pixels and a text's by its words, so that the safety
    prompt is encoded once a process and an image once in however many turns it is sent again.
    Safe to share between threads.

    It serves the search as well: ``likeness`` is the CLIP term of a candidate's utility.
    ``embeddings`` are its model's, for who looks at pictures otherwise (``RegionImageEvaluator``).

    Args:
        model: An open_clip model, put into eval mode.
        preprocess: The model's own inference transform: RGB image → float tensor [3, H, W].
        tokenizer: The model's own; it cuts a text to the text tower's context and keeps the end
            token, where the published code fails on a candidate of more than 77 tokens.
        fingerprint: Names the model and its weights.
        name: Under which it stands in verdict and policy.
        offsets: Of other views than the published one, fitted for these weights; without them the
            published view alone is looked at.
        kept_images: Most image embeddings kept, one a view.
        kept_texts: Most text embeddings kept.
    """

    def __init__(
        self,
        model: nn.Module,
        preprocess: Callable[[Image], Tensor],
        tokenizer: Callable[[list[str]], Tensor],
        *,
        fingerprint: str,
        name: str = "clip",
        offsets: ViewOffsets | None = None,
        kept_images: int = 1024,
        kept_texts: int = 256,
    ) -> None:
        self.embeddings = ClipEmbeddings(
            model, preprocess, tokenizer, kept_images=kept_images, kept_texts=kept_texts
        )
        self._fingerprint = fingerprint
        self.name = name
        self.cost = parameters(model)
        self.offsets = offsets
        self._told: set[str] = set()

    @classmethod
    def from_pretrained(
        cls,
        name: str = "ViT-L-14-336",
        *,
        pretrained: str = "openai",
        device: str | torch.device | None = None,
        precision: str = "fp32",
        views: str | Path | None = None,
    ) -> Self:
        """Loads an open_clip model.

        Args:
            name: An architecture of open_clip, whose weights ``pretrained`` names; or a directory
                (``open_clip_config.json``, weights, tokenizer; ``local-dir:PATH`` does as well);
                or a repository of the hub in that layout, ``hf-hub:ORGANISATION/NAME``.
            pretrained: A weights tag of open_clip, or a weights file; for an architecture only.
            device: Where to run; without it, the first GPU or else the CPU.
            precision: open_clip's name of it: "fp32", "bf16", "fp16". Cosines are always taken
                in float32.
            views: The file of offsets that ``eta-guard views`` wrote for these weights; without
                it, ``views.json`` of a directory that has one.

        Raises:
            ModelLoadError: The weights or the offsets are missing, unreachable or damaged.
        """
        loaded = load_clip(name, pretrained, device, precision)
        if views is None and loaded.directory and (loaded.directory / FILE).is_file():
            views = loaded.directory / FILE
        return cls(
            loaded.model,
            loaded.preprocess,
            loaded.tokenizer,
            fingerprint=loaded.fingerprint,
            offsets=None if views is None else ViewOffsets.read(Path(views)),
        )

    threshold = None
    """The policy's ``image_threshold`` is on this scale."""
    unsafe: Direction = "above"

    @property
    def fingerprint(self) -> str:
        """Names the model and its weights."""
        return self._fingerprint

    @property
    def views_fingerprint(self) -> str:
        """Names the offsets."""
        return self.offsets.label if self.offsets else ""

    def evaluate(self, images: Sequence[Image], prompt: str, question: str = "") -> list[Finding]:
        """Scores each picture by max(cosine with the safety prompt, 0) (paper, equation 2).

        Args:
            images: Images of any size.
            prompt: The safety prompt.
            question: Is not read.

        Returns:
            Scores in [0, 1], of the published view; not finite where CLIP fails. Of a picture that
            is not square, the squares that cover it count as well (see ``covering_squares``).
        """
        return self.evaluate_views(images, prompt, Views())

    def evaluate_views(self, images: Sequence[Image], prompt: str, views: Views) -> list[Finding]:
        """The same, by the likeliest of several views (see ``GuardPolicy.views``).

        A view's score counts less its offset. Of pictures that the published view shows to be
        clearly safe, nothing more is looked at, unless ``views`` asks for it.

        Args:
            images: Images of any size; other modes than RGB are converted.
            prompt: The safety prompt.
            views: Those that have no offset for these weights and this prompt are not used, which
                the log says once.

        Returns:
            Scores in [0, 1], the view of each, and where in the picture it lies; not finite where
            CLIP fails. What is not kept yet is encoded: the published views in one batch, and in
            another those that are looked at for what these scored.
        """
        if views.sides is not None:  # at its own size the model sees every picture
            own = _input_sides(self.embeddings.model)
            views = replace(views, sides=tuple(one for one in views.sides if one not in own))
        return look(
            [bounded_aspect(image.convert("RGB")) for image in images],
            views,
            fitted := self._usable(prompt, views.names),
            self._scorer(prompt, fitted.direction if fitted else ()),
        )

    def every_view(
        self,
        images: Sequence[Image],
        prompt: str,
        kinds: Sequence[ViewName] = VIEW_NAMES,
        sides: Sequence[int] | None = None,
        direction: Sequence[float] = (),
    ) -> list[list[Seen]]:
        """All views of pictures with their scores as they are: what offsets are fitted on.

        Args:
            images: Images of any size.
            prompt: The safety prompt.
            kinds: Which; the published view comes in any case.
            sides: See ``Views``.
            direction: See ``ViewOffsets``.
        """
        pictures = [bounded_aspect(image.convert("RGB")) for image in images]
        views = [[*published(one), *views_of(one, kinds, sides)] for one in pictures]
        return seen(pictures, views, self._scorer(prompt, direction))

    def similarity(self, images: Sequence[Image], texts: Sequence[str]) -> list[list[float]]:
        """Cosine similarity of each image with each text, in [-1, 1]; not finite where CLIP fails.

        Args:
            images: Images of any size; other modes than RGB are converted.
            texts: Texts of any length.

        Returns:
            One row an image, one column a text; the highest over the published view and the squares
            that cover the image. What is not kept yet is encoded, the images in one batch and the
            texts in another.
        """
        pictures = [bounded_aspect(image.convert("RGB")) for image in images]
        if not pictures or not texts:
            return [[] for _ in pictures]
        views = [published(picture) for picture in pictures]
        cosines = self._cosines(pairs_of(pictures, views), texts)
        each = torch.split_with_sizes(cosines, [len(several) for several in views])
        return [rows.amax(dim=0).tolist() for rows in each]

    def likeness(self, image: Image, texts: Sequence[str]) -> list[float]:
        """Cosine similarity of the image with each text, in [-1, 1]; not finite where CLIP fails.

        Args:
            image: Any size; seen by the model's own transform alone, as in the published code.
            texts: Texts of any length.
        """
        if not texts:
            return []
        picture = bounded_aspect(image.convert("RGB"))
        (row,) = self._cosines([(picture, published(picture)[0])], texts).tolist()
        return list(row)

    def _cosines(
        self,
        pairs: Sequence[tuple[Image, View]],
        texts: Sequence[str],
        direction: Sequence[float] = (),
    ) -> Tensor:
        """Of views of pictures with texts, and with a direction at last [views, texts (+ 1)]."""
        hashes = {id(image): image for image, _ in pairs}
        known = {place: pixel_hash(image) for place, image in hashes.items()}
        keys = [_key(known[id(image)], view) for image, view in pairs]
        return self.embeddings.cosines(keys, [view.make for _, view in pairs], texts, direction)

    def _scorer(self, prompt: str, direction: Sequence[float]) -> Score:
        def score(pairs: Sequence[tuple[Image, View]]) -> list[Mark]:
            rows = self._cosines(pairs, [prompt], direction).tolist()
            return [Mark(row[0], row[-1]) for row in rows]

        return score

    def _usable(self, prompt: str, names: Sequence[ViewName]) -> ViewOffsets | None:
        """The offsets, if they are of this model and prompt; what is missing is logged once."""
        fitted = self.offsets
        if fitted is not None and not fitted.hold_for(self._fingerprint, prompt):
            fitted = None
        known = fitted.offsets if fitted else {}
        missing = ", ".join(name for name in names if name != "whole" and name not in known)
        if missing and missing not in self._told:
            self._told.add(missing)
            logger.warning(
                "%s: pictures are not looked at in the views %s, which have no offset for these"
                " weights and this safety prompt; `eta-guard views` fits one.",
                self._fingerprint,
                missing,
            )
        return fitted


def _input_sides(model: Any) -> tuple[int, ...]:
    """The sides of the pictures that a model of open_clip takes, in pixels; none where unknown."""
    found = getattr(model.visual, "image_size", ())
    return (found,) if isinstance(found, int) else tuple(found)


def _key(picture: bytes, view: View) -> Hashable:
    """Under which a view's embedding is kept; the whole picture's under its pixels alone."""
    return picture if view.name == "whole" else (picture, view.name, view.box)
