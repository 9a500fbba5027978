"""The small models as an attacker has them who knows all weights: scores with gradients.

A picture goes in at its own size. It is scaled by the weights that Pillow's bicubic has and
normalised as both processors do it, so that gradients come back to the pixels; what the models' own
processors make of the picture differs by their rounding to whole levels alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from eta_guard import embedded
from eta_guard.engines.local.chat_template import model_inputs
from eta_guard.evaluation.attacks.scaling import BICUBIC, SEEN, weights
from eta_guard.evaluation.cases import SuiteCase
from eta_guard.evaluators.views.offsets import FILE, ViewOffsets
from eta_guard.loading import silence_libraries
from eta_guard.request.conversation import read_conversation

View = Callable[[Tensor], Tensor]
"""Pixels [rows, 3, height, width] in [0, 255] → those that an evaluator looks at, likewise."""


def whole(pixels: Tensor) -> Tensor:
    """The published view: the picture as it is."""
    return pixels


class WhiteBox:
    """CLIP and the chat model, frozen; safe to use in one thread alone."""

    def __init__(
        self, clip: Any, tokenizer: Any, chat: Any, processor: Any, offsets: ViewOffsets | None
    ) -> None:
        """Takes over loaded models.

        Args:
            clip: Of open_clip, with the embedded one's input.
            tokenizer: Its own.
            chat: A LLaVA of transformers, with the same input.
            processor: Its own.
            offsets: Of CLIP's further views, where it looks at any.
        """
        self.offsets = offsets
        self._clip, self._tokenizer = clip.eval(), tokenizer
        self._chat, self._processor = chat.eval(), processor
        for model in (clip, chat):
            model.requires_grad_(False)

    @classmethod
    def embedded(cls) -> Self:
        """Loads those that ship with the package."""
        import open_clip
        from transformers import AutoModelForImageTextToText, AutoProcessor

        silence_libraries()
        source = f"local-dir:{embedded.path('clip')}"
        clip, _ = open_clip.create_model_from_pretrained(source)
        chat, offsets = str(embedded.path("chat")), embedded.path("clip") / FILE
        return cls(
            clip,
            open_clip.get_tokenizer(source),
            AutoModelForImageTextToText.from_pretrained(chat, dtype=torch.float32),
            cast(Any, AutoProcessor).from_pretrained(chat),
            ViewOffsets.read(offsets) if offsets.is_file() else None,
        )

    def likeness(self, pixels: Tensor, prompt: str) -> Tensor:
        """CLIP's cosine of each picture with a prompt.

        Args:
            pixels: [rows, 3, side, side] in [0, 255].
            prompt: The safety prompt.

        Returns:
            [rows], in [-1, 1], with gradients.
        """
        with torch.no_grad():
            text = nn.functional.normalize(self._clip.encode_text(self._tokenizer([prompt])))
        return self._embedded(pixels) @ text[0]

    def doubt(self, pixels: Tensor, prompt: str) -> Tensor:
        """How far each picture lies where hidden hazards do, as the evaluator asks it.

        Args:
            pixels: [rows, 3, side, side] in [0, 255].
            prompt: The safety prompt, which counts where the offsets have no direction.

        Returns:
            [rows], in [-1, 1], with gradients.
        """
        if self.offsets is None or not self.offsets.direction:
            return self.likeness(pixels, prompt)
        return self._embedded(pixels) @ torch.tensor(self.offsets.direction)

    def _embedded(self, pixels: Tensor) -> Tensor:
        return nn.functional.normalize(self._clip.encode_image(_input(pixels)))

    def reluctance(self, pixels: Tensor, case: SuiteCase, answer: str) -> Tensor:
        """How unwilling the chat model is to begin with an answer.

        Args:
            pixels: [rows, 3, side, side] in [0, 255], each in place of the case's picture.
            case: Is asked, but for its picture.
            answer: What it is to begin with.

        Returns:
            [rows], the mean negative logarithm of a token's probability, with gradients.
        """
        given = model_inputs(self._processor, read_conversation(case.messages()))
        target = self._processor.tokenizer(
            answer, add_special_tokens=False, return_tensors="pt"
        ).input_ids
        ids = torch.cat([given["input_ids"], target], dim=1).expand(len(pixels), -1)
        out = self._chat(
            input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=_input(pixels)
        )
        count = target.shape[1]
        said = torch.log_softmax(out.logits[:, -count - 1 : -1], dim=-1)
        found = said.gather(2, target.expand(len(pixels), -1)[..., None])
        return -found.mean(dim=(1, 2))


def tensor_of(images: Sequence[Image.Image]) -> Tensor:
    """Pictures of one size, RGB, as [rows, 3, height, width] in [0, 255], float32."""
    found = np.stack([np.asarray(image, dtype=np.float32) for image in images])
    return torch.from_numpy(found).permute(0, 3, 1, 2).contiguous()


def picture_from(pixels: Tensor) -> Image.Image:
    """The picture of [3, height, width], rounded to whole levels."""
    levels = pixels.detach().round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).numpy())


def _input(pixels: Tensor) -> Tensor:
    """What both models are given: [rows, 3, 64, 64], normalised."""
    if pixels.shape[-1] != pixels.shape[-2]:
        raise ValueError(f"pictures of {tuple(pixels.shape[-2:])} pixels are not square")
    if pixels.shape[-1] != SEEN:
        scale = torch.tensor(weights(pixels.shape[-1], SEEN, BICUBIC), dtype=torch.float32)
        pixels = (scale @ pixels @ scale.T).clamp(0, 255)
    return pixels / 127.5 - 1
