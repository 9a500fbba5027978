"""Embeddings of pictures and texts by a CLIP model, each made once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from threading import Lock
from typing import Any, TypeVar, cast

import torch
from PIL.Image import Image
from torch import Tensor, nn

from eta_guard import counts
from eta_guard.evaluators.bounded_cache import BoundedCache
from eta_guard.evaluators.clip_text import literal_tokenizer

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

MakePicture = Callable[[], Image]
"""Makes the pixels of a view: many at once of a large picture would fill the memory."""


class ClipEmbeddings:
    """Embeds pictures and texts, and keeps the embeddings. Threads may share it.

    Args:
        model: An open_clip model, put into eval mode.
        preprocess: Its inference transform: RGB image → float tensor [3, H, W].
        tokenizer: Its own.
        kept_images: Most image embeddings kept.
        kept_texts: Most text embeddings kept.
    """

    def __init__(
        self,
        model: nn.Module,
        preprocess: Callable[[Image], Tensor],
        tokenizer: Callable[[list[str]], Tensor],
        *,
        kept_images: int,
        kept_texts: int,
    ) -> None:
        self.model = cast("Any", model)
        self.model.eval()
        self.preprocess = preprocess
        self.tokenizer = tokenizer
        self.images: BoundedCache[Hashable, Tensor] = BoundedCache(kept_images)
        self.texts: BoundedCache[str, Tensor] = BoundedCache(kept_texts)
        self._tokenize = literal_tokenizer(tokenizer)
        # The tokenizers set their truncation on a shared object while they work.
        self._tokenizing = Lock()
        # The layer that meets the pixels: in half precision, norms and embeddings may stay float32.
        layers = self.model.visual.modules()
        weight = next(m.weight for m in layers if isinstance(m, nn.Conv2d | nn.Linear))
        self._device, self._dtype = weight.device, weight.dtype

    def cosines(
        self,
        keys: Sequence[Hashable],
        pictures: Sequence[MakePicture],
        texts: Sequence[str],
        direction: Sequence[float] = (),
    ) -> Tensor:
        """Cosine similarities [pictures, texts] in [-1, 1], float32 on the CPU.

        Args:
            keys: Under which each picture's embedding is kept.
            pictures: RGB; made only where the embedding is missing. Those go in one batch.
            texts: Of any length; those whose embedding is missing go in another batch.
            direction: A unit vector, with which pictures are compared in one more last column.
        """
        with torch.inference_mode():
            left = _embeddings(keys, pictures, self.images, self._encode_images)
            right = self.of_texts(texts)
            if direction:
                right = torch.cat([right, torch.tensor([direction])])
            # A matrix product adds up its last columns in another order than the first ones: two
            # candidates that read alike would not tie, and the wrong one of equals be kept.
            return (left[:, None] * right[None]).sum(dim=-1).clamp(-1.0, 1.0)

    def of_pictures(self, pictures: Sequence[MakePicture]) -> Tensor:
        """Unit vectors [pictures, width], float32 on the CPU; in one batch, and not kept.

        Args:
            pictures: RGB, at least one.
        """
        with torch.inference_mode():
            return self._encode_images(list(pictures))

    def of_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors [texts, width], float32 on the CPU.

        Args:
            texts: Of any length, at least one; those whose embedding is missing go in one batch.
        """
        with torch.inference_mode():
            return _embeddings(list(texts), list(texts), self.texts, self._encode_texts)

    def _encode_images(self, pictures: list[MakePicture]) -> Tensor:
        counts.add("clip_image_encodes", len(pictures))
        pixels = torch.stack([self.preprocess(make()) for make in pictures])
        return _unit(self.model.encode_image(pixels.to(self._device, self._dtype)))

    def _encode_texts(self, texts: list[str]) -> Tensor:
        counts.add("clip_text_encodes", len(texts))
        with self._tokenizing:
            ids = self._tokenize(texts)
        return _unit(self.model.encode_text(ids.to(self._device)))


def _embeddings(
    keys: Sequence[K],
    items: Sequence[T],
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
