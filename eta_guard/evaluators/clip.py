"""Compares images with texts by CLIP (open_clip).

It knows no prompt: it is given images and texts, and answers with cosines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Self, TypeVar, cast

import torch
from huggingface_hub import try_to_load_from_cache
from PIL.Image import Image, Resampling
from torch import Tensor, nn

from eta_guard import counts
from eta_guard.errors import ModelLoadError
from eta_guard.evaluators.bounded_cache import BoundedCache
from eta_guard.evaluators.clip_text import literal_tokenizer
from eta_guard.evaluators.pixel_hash import pixel_hash
from eta_guard.loading import (
    hub_answers,
    is_directory,
    loading,
    parameters,
    pick_device,
    under_its_own_name,
    weights_fingerprint,
)
from eta_guard.protocols import Direction, Finding

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

_MAX_ASPECT = 64
_SQUARE_WITHIN = 0.02
"""Share of the side by which an image may be longer and its middle still be all of it."""


class ClipImageEvaluator:
    """An ``ImageEvaluator`` over an open_clip model.

    Embeddings are kept, an image's by its pixels and a text's by its words, so that the safety
    prompt is encoded once a process and an image once in however many turns it is sent again.
    Safe to share between threads.

    It serves the search as well: ``likeness`` is the CLIP term of a candidate's utility.

    Args:
        model: An open_clip model, put into eval mode.
        preprocess: The model's own inference transform: RGB image → float tensor [3, H, W].
        tokenizer: The model's own; it cuts a text to the text tower's context and keeps the end
            token, where the published code fails on a candidate of more than 77 tokens.
        fingerprint: Names the model and its weights.
        name: Under which it stands in verdict and policy.
        kept_images: Most image embeddings kept.
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
        kept_images: int = 256,
        kept_texts: int = 256,
    ) -> None:
        self._model = cast("Any", model)
        self._model.eval()
        self._preprocess = preprocess
        self._fingerprint = fingerprint
        self.name = name
        self.cost = parameters(model)
        self._images: BoundedCache[bytes, Tensor] = BoundedCache(kept_images)
        self._texts: BoundedCache[str, Tensor] = BoundedCache(kept_texts)
        self._tokenize = literal_tokenizer(tokenizer)
        # The tokenizers set their truncation on a shared object while they work.
        self._tokenizing = Lock()
        # The layer that meets the pixels: in half precision, norms and embeddings may stay float32.
        layers = self._model.visual.modules()
        weight = next(m.weight for m in layers if isinstance(m, nn.Conv2d | nn.Linear))
        self._device, self._dtype = weight.device, weight.dtype

    @classmethod
    def from_pretrained(
        cls,
        name: str = "ViT-L-14-336",
        *,
        pretrained: str = "openai",
        device: str | torch.device | None = None,
        precision: str = "fp32",
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

        Raises:
            ModelLoadError: The weights are missing, unreachable or damaged.
        """
        import open_clip

        source, repository = _source(name, pretrained)
        whole = loading("CLIP model", name.removeprefix("local-dir:"), repository=repository)
        with whole, under_its_own_name("open_clip"):
            _require_files(source, repository)
            model, preprocess = open_clip.create_model_from_pretrained(
                source,
                pretrained=None if ":" in source else pretrained,
                device=pick_device(device),
                precision=precision,
                force_quick_gelu=_quick_gelu(source, pretrained),
            )
            tokenizer = open_clip.get_tokenizer(source)
        label = source.partition(":")[2] or f"{source}/{Path(pretrained).name}"
        return cls(model, preprocess, tokenizer, fingerprint=weights_fingerprint(label, model))

    threshold = None
    """The policy's ``image_threshold`` is on this scale."""
    unsafe: Direction = "above"

    @property
    def fingerprint(self) -> str:
        """Names the model and its weights."""
        return self._fingerprint

    def evaluate(self, images: Sequence[Image], prompt: str, question: str = "") -> list[Finding]:
        """Scores each picture by max(cosine with the safety prompt, 0) (paper, equation 2).

        Args:
            images: Images of any size.
            prompt: The safety prompt.
            question: Is not read.

        Returns:
            Scores in [0, 1], of the view that is likest; not finite where CLIP fails.
        """
        # Clipping first would turn minus infinity into the safest of scores.
        return [
            Finding(max(cosine, 0.0) if math.isfinite(cosine) else cosine)
            for (cosine,) in self.similarity(images, [prompt])
        ]

    def similarity(self, images: Sequence[Image], texts: Sequence[str]) -> list[list[float]]:
        """Cosine similarity of each image with each text, in [-1, 1]; not finite where CLIP fails.

        Args:
            images: Images of any size; other modes than RGB are converted.
            texts: Texts of any length.

        Returns:
            One row an image, one column a text; the highest over the views that cover the image
            (see ``covering_views``). What is not kept yet is encoded, the images in one batch and
            the texts in another.
        """
        pictures = [bounded_aspect(image.convert("RGB")) for image in images]
        views = [covering_views(picture) for picture in pictures]
        if not pictures or not texts:
            return [[] for _ in pictures]
        cosines = self._cosines([view for several in views for view in several], texts)
        each = torch.split_with_sizes(cosines, [len(several) for several in views])
        best = [rows.amax(dim=0) for rows in each]
        return [row.tolist() for row in best]

    def likeness(self, image: Image, texts: Sequence[str]) -> list[float]:
        """Cosine similarity of the image with each text, in [-1, 1]; not finite where CLIP fails.

        Args:
            image: Any size; seen by the model's own transform alone, as in the published code.
            texts: Texts of any length.
        """
        if not texts:
            return []
        (row,) = self._cosines([bounded_aspect(image.convert("RGB"))], texts).tolist()
        return list(row)

    def _cosines(self, views: list[Image], texts: Sequence[str]) -> Tensor:
        keys = [pixel_hash(view) for view in views]
        with torch.inference_mode():
            left = _embeddings(keys, views, self._images, self._encode_images)
            right = _embeddings(list(texts), list(texts), self._texts, self._encode_texts)
            # A matrix product adds up its last columns in another order than the first ones: two
            # candidates that read alike would not tie, and the wrong one of equals be kept.
            return (left[:, None] * right[None]).sum(dim=-1).clamp(-1.0, 1.0)

    def _encode_images(self, pictures: list[Image]) -> Tensor:
        counts.add("clip_image_encodes", len(pictures))
        pixels = torch.stack([self._preprocess(picture) for picture in pictures])
        return _unit(self._model.encode_image(pixels.to(self._device, self._dtype)))

    def _encode_texts(self, texts: list[str]) -> Tensor:
        counts.add("clip_text_encodes", len(texts))
        with self._tokenizing:
            ids = self._tokenize(texts)
        return _unit(self._model.encode_text(ids.to(self._device)))


def covering_views(image: Image) -> list[Image]:
    """The image, and where it is not square the squares that cover it from end to end.

    CLIP's own transform (and so the paper's scores) cuts out the middle square. What stands beside
    it would go unseen here, while most chat models are shown it.

    Args:
        image: Any size.

    Returns:
        The image itself first; of a square image, nothing else.
    """
    side, long = sorted(image.size)
    count = -(-long // side)
    if long - side <= _SQUARE_WITHIN * side:
        return [image]
    starts = [round(step * (long - side) / (count - 1)) for step in range(count)]
    wide = image.width == long
    squares = [
        image.crop((start, 0, start + side, side) if wide else (0, start, side, start + side))
        for start in starts
    ]
    return [image, *squares]


def bounded_aspect(image: Image) -> Image:
    """The image, squeezed where one side is more than 64 times the other.

    CLIP's transform scales the *shorter* side to its input size: a strip of 1 x 60,000 pixels
    would become one of 336 x 20,000,000. No image that CLIP could make sense of is touched.
    """
    width, height = image.size
    size = (min(width, height * _MAX_ASPECT), min(height, width * _MAX_ASPECT))
    return image if size == image.size else image.resize(size, Resampling.BICUBIC)


def _embeddings(
    keys: list[K],
    items: list[T],
    kept: BoundedCache[K, Tensor],
    encode: Callable[[list[T]], Tensor],
) -> Tensor:
    """One unit vector a key [len(keys), width], float32 on the CPU; missing ones in one batch."""
    found = {key: kept.get(key) for key in keys}
    missing = {key: item for key, item in zip(keys, items, strict=True) if found[key] is None}
    if missing:
        for key, row in zip(missing, encode(list(missing.values())), strict=True):
            found[key] = row
            kept.put(key, row)
    return torch.stack([row for key in keys if (row := found[key]) is not None])


def _unit(embeddings: Tensor) -> Tensor:
    """Rows of length 1 in float32 on the CPU, whatever the model's dtype."""
    return nn.functional.normalize(embeddings.float(), dim=-1).cpu()


def _source(name: str, pretrained: str) -> tuple[str, str | None]:
    """open_clip's way of naming the model, and the hub repository to download it from by hand."""
    import open_clip

    if name.startswith("local-dir:"):
        return name, None
    if name.startswith("hf-hub:"):
        return name, name.removeprefix("hf-hub:")
    if name in open_clip.list_models():
        tag = open_clip.get_pretrained_cfg(name, pretrained)
        return name, (tag.get("hf_hub") or "").rstrip("/") or None
    if is_directory(name):
        return f"local-dir:{name}", None
    raise ModelLoadError(
        f"{name!r} is neither an architecture of open_clip nor a directory.",
        hint="Pass a name of open_clip.list_models(), a directory, or hf-hub:ORGANISATION/NAME.",
    )


def _quick_gelu(source: str, pretrained: str) -> bool:
    """Whether the weights were trained with QuickGELU, x · sigmoid(1.702 x).

    OpenAI's were, but open_clip's plain configurations ("ViT-L-14-336") compute the exact GELU
    and only warn of the mismatch; the cosines would be off. The weights' tag knows.
    """
    import open_clip

    return bool(open_clip.get_pretrained_cfg(source, pretrained).get("quick_gelu", False))


def _require_files(source: str, repository: str | None) -> None:
    """Fails early and quietly where open_clip would fail late and aloud."""
    if source.startswith("local-dir:"):
        directory = Path(source.removeprefix("local-dir:"))
        if not (directory / "open_clip_config.json").is_file():
            raise ModelLoadError(
                f"The directory {str(directory)!r} holds no open_clip_config.json.",
                hint="Download the weights in open_clip's layout, for the paper's CLIP with `hf"
                " download timm/vit_large_patch14_clip_336.openai --local-dir DIR`.",
            )
    elif repository and not hub_answers():
        file = (
            "open_clip_config.json"
            if source.startswith("hf-hub:")
            else "open_clip_model.safetensors"
        )
        if not isinstance(try_to_load_from_cache(repository, file), str):
            raise ConnectionError("the model hub does not answer")
