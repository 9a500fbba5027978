"""Questions → what a checkpoint's processor makes of them: text, ids and pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

import torch
from torch import Tensor

from eta_guard.errors import UnsupportedModelError
from eta_guard.evaluators.guard_model.asking import Asked
from eta_guard.evaluators.guard_model.guard_format import GuardFormat
from eta_guard.text.literal_text import LiteralText, with_tokenizer
from eta_guard.text.plain_text import special_tokens

Inputs = dict[str, Tensor]
"""What a model's forward is given; ``input_ids`` and ``attention_mask`` are [rows, width]."""

ALONG_IDS = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
"""Inputs that have one entry an id."""


@dataclass(frozen=True)
class Stem:
    """What the rows of a session have in common, up to their last picture."""

    ids: list[int] = field(repr=False)
    text: str = field(repr=False)
    """What the ids were made of."""
    inputs: Inputs = field(repr=False)
    """Of a row that begins so: its pixels stand for all."""


class GuardPrompts:
    """Makes prompts by the chat template and the processor of a checkpoint.

    Args:
        processor: A transformers processor, or for text alone a tokenizer.
        form: How the family is asked.

    Raises:
        UnsupportedModelError: There is no chat template.
    """

    def __init__(self, processor: Any, form: GuardFormat) -> None:
        self._processor, self._form = processor, form
        # Tokenizers set their padding on a shared object while they work.
        self._turn = RLock()
        self.tokenizer: Any = getattr(processor, "tokenizer", processor)
        self._template = processor.chat_template or self.tokenizer.chat_template
        if not self._template:
            raise UnsupportedModelError(
                f"The {form.name} checkpoint has no chat template.",
                hint="Download its chat_template.jinja beside the weights.",
            )

        names = ("image_token", "boi_token", "eoi_token", "video_token", "fake_image_token")
        holders = (self._processor, self.tokenizer)
        marks = [getattr(holder, name, None) for holder in holders for name in names]
        self.control_tokens = [*special_tokens(self.tokenizer), *filter(None, marks)]
        """Texts that are read as control tokens, those that stand for pictures included."""
        self.literal = LiteralText(self.tokenizer, self.control_tokens)
        """Marks texts that go into questions."""

    def encode(self, text: str) -> list[int]:
        """The ids of a text, with none added at its ends."""
        with self._turn:
            reader = self.literal.reader(text)
            ids: list[int] = reader(text, add_special_tokens=False)["input_ids"]
        return ids

    def text(self, asked: Asked) -> str:
        """The prompt up to the verdict, before pictures are unfolded into their tokens."""
        text: str = self.tokenizer.apply_chat_template(
            asked.messages,
            chat_template=self._template,
            tokenize=False,
            add_generation_prompt=True,
            **asked.template,
        )
        return text if text.endswith(asked.lead) else text + asked.lead

    def inputs(self, asked: Sequence[Asked], said: str = "") -> Inputs:
        """One row a question, padded on the right.

        Args:
            asked: The questions.
            said: What the model is taken to have said already.
        """
        if self._form.processor_prompts:
            with self._turn:
                return self._by_processor(asked)
        return self._inputs([self.text(one) + said for one in asked], [o.pictures for o in asked])

    def stem(self, asked: Asked) -> Stem | None:
        """The part of a prompt whose ids do not depend on what follows it.

        Returns:
            None where the ids up to the last picture cannot be told from those behind it.
        """
        text = self.text(asked)
        if not asked.pictures:
            return Stem([], "", {})
        mark = getattr(self._processor, "image_token", None)
        at = text.rfind(mark) if isinstance(mark, str) else -1
        if at < 0:
            return None
        cut = at + len(str(mark))
        inputs = self._inputs([text], [asked.pictures])
        ids, behind = inputs["input_ids"][0].tolist(), self.encode(text[cut:])
        if not behind or ids[-len(behind) :] != behind:
            return None
        return Stem(ids[: -len(behind)], text[:cut], inputs)

    def _inputs(self, texts: list[str], pictures: list[list[Any]]) -> Inputs:
        bos = self.tokenizer.bos_token
        seen: dict[str, Any] = {}
        if any(pictures):
            seen["images"] = pictures
        reader = self.literal.reader("".join(texts))
        alone = self._processor is self.tokenizer
        tokens = reader if alone else with_tokenizer(self._processor, reader)
        # As `apply_chat_template` of transformers decides it.
        added = not alone and not (bos and texts[0].startswith(bos))
        with self._turn:
            made = tokens(
                text=texts,
                add_special_tokens=added,
                padding=True,
                padding_side="right",
                return_tensors="pt",
                **seen,
            )
        return {name: value for name, value in made.items() if isinstance(value, Tensor)}

    def _by_processor(self, asked: Sequence[Asked]) -> Inputs:
        """The questions are in the order of the processor's own: each picture's policies."""
        names = list(self._form.policies)
        own = {} if names == [""] else {"policies": names, "custom_policies": self._form.policies}
        count = 1 if names == [""] else len(names)
        pictures = [[picture] for one in asked[::count] for picture in one.pictures]
        made = self._processor(images=pictures, padding_side="right", return_tensors="pt", **own)
        return {name: value for name, value in made.items() if isinstance(value, Tensor)}


def lengths(inputs: Inputs) -> Tensor:
    """How many ids each row has, [rows]."""
    return inputs["attention_mask"].sum(dim=1)


def of_ids(inputs: Inputs, ids: list[int]) -> Inputs:
    """The inputs, of one row, with its first ids alone, or with more text behind them."""
    width = len(ids)
    made = {name: value for name, value in inputs.items() if name not in ALONG_IDS}
    for name in ALONG_IDS[2:]:
        if name in inputs:
            kinds = inputs[name][:, :width]
            made[name] = torch.nn.functional.pad(kinds, (0, width - kinds.shape[1]))
    return {**made, "input_ids": torch.tensor([ids])}


def padded(rows: Sequence[Sequence[int]], pad: int) -> Inputs:
    """Rows of ids, padded on the right."""
    width = max(map(len, rows))
    ids = [[*row, *[pad] * (width - len(row))] for row in rows]
    mask = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}
