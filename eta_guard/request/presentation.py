"""Presentation: how conversations are shown to one chat model, before its own processor has them.

A model answers as it was trained only where it is shown what it was trained on. What its chat
template and its processor leave out stands here, as a value of the engine. Evaluators do not see
it: they are given the conversation itself, each picture whole and unpadded.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace

from langchain_core.messages import SystemMessage
from PIL import Image

from eta_guard.request.conversation import Conversation, Picture, Turn
from eta_guard.request.images import MAX_PIXELS

VICUNA_SYSTEM = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives"
    " helpful, detailed, and polite answers to the human's questions."
)
"""What a conversation with LLaVA-1.5 begins with (published code, conversation ``llava_v1``)."""

CLIP_MEAN = (122, 116, 104)
"""The mean of CLIP's training pictures as a colour, each part rounded down (published code)."""

_MAX_SIDE = math.isqrt(MAX_PIXELS)


@dataclass(frozen=True)
class Square:
    """Pictures are centred on a square, which has the whole picture survive a centre crop."""

    background: tuple[int, int, int]
    """Colour of what the picture does not cover: RGB, 0 to 255."""
    side: int | None = None
    """Pixels a side that the square is scaled to (bicubic, as Pillow does it): the size at which
    the model's processor has nothing left to scale. Left as it is without one."""

    def around(self, picture: Image.Image) -> Image.Image:
        """The square with the picture, RGB, in its middle.

        A picture that is longer than ``MAX_PIXELS`` allow a square to be is scaled down before.
        """
        longest = max(picture.size)
        if longest > _MAX_SIDE:
            width, height = (max(1, length * _MAX_SIDE // longest) for length in picture.size)
            picture = picture.resize((width, height), Image.Resampling.BICUBIC)
            longest = _MAX_SIDE
        if picture.width != picture.height:
            square = Image.new("RGB", (longest, longest), self.background)
            corner = ((longest - picture.width) // 2, (longest - picture.height) // 2)
            square.paste(picture, corner)
            picture = square
        if self.side is None or picture.width == self.side:
            return picture
        return picture.resize((self.side, self.side), Image.Resampling.BICUBIC)


@dataclass(frozen=True)
class Presentation:
    """How conversations are shown to one chat model; by default, as they are.

    Example:
        >>> shown = Presentation.llava_1_5()
        >>> engine = VllmEngine(url, "llava-hf/llava-1.5-7b-hf", presentation=shown)
    """

    system: str | None = None
    """Begins a conversation that has no system message of its own at its beginning. One that has
    keeps it in this one's place, even if it is empty."""
    square: Square | None = None
    """Pictures are padded to squares; without one they go to the processor as they are."""
    special_tokens: bool = False
    """The tokenizer's own tokens stand before the prompt, where it is not the chat template that
    writes them. transformers does so by itself; a vLLM server only if it is asked to."""

    @property
    def mark(self) -> str:
        """What a fingerprint says of it: a model that is shown something else answers otherwise."""
        if self == AS_IT_IS:
            return ""
        return f"+shown:{hashlib.sha256(repr(self).encode()).hexdigest()[:8]}"

    @classmethod
    def llava_1_5(cls) -> Presentation:
        """What LLaVA-1.5 is shown by its authors' code, and by that of the ETA paper.

        The Vicuna system sentence, and each picture whole: padded to a square in CLIP's mean
        colour and scaled to 336 pixels. The converted checkpoints of the hub
        (``llava-hf/llava-1.5-7b-hf``, ``-13b-hf``) do neither by themselves: their chat template
        has no system sentence (and no ``<s>``), their processor crops the middle.
        """
        return cls(VICUNA_SYSTEM, Square(CLIP_MEAN, 336), special_tokens=True)

    def show(self, conversation: Conversation) -> Conversation:
        """The conversation as the model is to be given it."""
        if self == AS_IT_IS:
            return conversation
        messages, turns = conversation.messages, conversation.turns
        if self.system is not None and turns[0].role != "system":
            messages = (SystemMessage(self.system), *messages)
            turns = (Turn("system", (self.system,)), *turns)
        moved = len(turns) - len(conversation.turns)
        shown = (
            replace(turn, parts=tuple(self._part(part, moved) for part in turn.parts))
            for turn in turns
        )
        return replace(conversation, messages=messages, turns=tuple(shown))

    def _part(self, part: str | Picture, moved: int) -> str | Picture:
        if isinstance(part, str):
            return part
        pixels = self.square.around(part.pixels) if self.square else part.pixels
        return replace(part, pixels=pixels, message=part.message + moved)


AS_IT_IS = Presentation()
"""Nothing beyond the model's own chat template and processor."""
