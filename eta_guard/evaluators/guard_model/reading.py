"""Reads the verdicts of a guard model in this process."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from eta_guard.evaluators.guard_model.asking import Asked, Category
from eta_guard.evaluators.guard_model.guard_format import GuardFormat
from eta_guard.evaluators.guard_model.prompts import GuardPrompts, Stem, lengths, of_ids, padded
from eta_guard.evaluators.guard_model.running import KeptPrompt, RunningGuard
from eta_guard.evaluators.guard_model.verdict import (
    VerdictTokens,
    first_category,
    score_of,
)

logger = logging.getLogger(__name__)

_MOST_CATEGORY = 24
_NOISE = {torch.float32: 1e-3}
_HALF_NOISE = 0.05
_RIDES_ALONG = 8
"""Ids that rows share beyond what is kept, and that are not worth a forward of their own."""


@dataclass
class Chain:
    """Questions that begin alike, about one growing answer."""

    stem: Asked
    """The question about the accepted text alone."""
    begun: Stem | None = field(default=None, repr=False)
    kept: KeptPrompt | None = field(default=None, repr=False)
    whole: bool = False
    """Whether its rows have to be read whole."""


class LocalReader:
    """Asks a guard model in this process. Safe to share between threads.

    Args:
        model: Of transformers, in eval mode.
        processor: The checkpoint's; for text alone its tokenizer.
        form: How the family is asked.

    Raises:
        UnsupportedModelError: There is no chat template, or the tokenizer does not tell the
            verdicts apart.
    """

    def __init__(self, model: Any, processor: Any, form: GuardFormat) -> None:
        self._form = form
        self._running = RunningGuard(model)
        self._prompts = GuardPrompts(processor, form)
        self._pad = self._prompts.tokenizer.pad_token_id or 0
        kinds = [kind for kind in (form.image, form.answer) if kind]
        encode = self._prompts.encode
        self._verdicts = {k.lead: VerdictTokens.of(form, k.lead, encode) for k in kinds}
        self._noise = _NOISE.get(model.dtype, _HALF_NOISE)
        self._keeps: bool | None = None if self._running.keeps else False

    @property
    def control_tokens(self) -> list[str]:
        """Texts that are read as control tokens."""
        return self._prompts.control_tokens

    def plain(self, text: str) -> str:
        """A text, marked where it spells out a control token: see ``LiteralText``."""
        return self._prompts.literal(text)

    def holds(self, asked: Asked) -> bool:
        """Whether a question fits the model's context."""
        longest = self._running.longest
        return longest is None or int(lengths(self._prompts.inputs([asked]))[0]) <= longest

    def begin(self, stem: Asked) -> Chain:
        """What is kept of questions that begin like the one about the accepted text alone."""
        return Chain(stem)

    def scores(self, asked: Sequence[Asked], chain: Chain | None = None) -> list[float]:
        """The score of each question, in one batch.

        Args:
            asked: The questions.
            chain: What they begin with alike, to be read once however many they are.

        Returns:
            One score a question; NaN where the model gives no verdict, or the question is longer
            than its context.
        """
        if not asked:
            return []
        if chain and (len(asked) > 1 or chain.kept):
            rows = self._rows(asked, chain)
            if rows is not None:
                return self._go_on(asked, rows, chain)
        inputs = self._prompts.inputs(asked)
        fits = self._fits(lengths(inputs).tolist())
        if not all(fits):
            kept = [one for one, fit in zip(asked, fits, strict=True) if fit]
            found = iter(self.scores(kept))
            return [next(found) if fit else math.nan for fit in fits]
        return self._told(asked, self._running.next_tokens(inputs))

    def category(self, question: Category) -> str | None:
        """The category that the model names; None if it names none."""
        inputs = self._prompts.inputs([question.asked], question.said)
        drawn = self._running.draw(inputs, _MOST_CATEGORY)
        return first_category(self._prompts.tokenizer.decode(drawn), question.end)

    def _told(self, asked: Sequence[Asked], probabilities: Tensor) -> list[float]:
        scores = []
        for one, row in zip(asked, probabilities, strict=True):
            tokens = self._verdicts[one.lead]
            safe, middle, unsafe = (
                float(row[list(ids)].sum()) for ids in (tokens.safe, tokens.middle, tokens.unsafe)
            )
            scores.append(score_of(self._form, safe, middle, unsafe))
        return scores

    def _fits(self, widths: list[int]) -> list[bool]:
        longest = self._running.longest
        fits = [longest is None or width <= longest for width in widths]
        if not all(fits):
            logger.warning(
                "A question of %d tokens is longer than the guard model's context of %s.",
                max(widths),
                longest,
            )
        return fits

    # ── rows that go on from a prompt that is read once ──

    def _rows(self, asked: Sequence[Asked], chain: Chain) -> list[list[int]] | None:
        """The ids of the questions and, last, of the chain's stem; None if they are read whole."""
        if self._keeps is False or chain.whole:
            return None
        chain.begun = chain.begun or self._prompts.stem(chain.stem)
        texts = [self._prompts.text(one) for one in (*asked, chain.stem)]
        begun = chain.begun
        if begun is None or not all(text.startswith(begun.text) for text in texts):
            chain.whole = True
            return None
        cut = len(begun.text)
        rows = [[*begun.ids, *self._prompts.encode(text[cut:])] for text in texts]
        return rows if all(self._fits([len(row) for row in rows])) else None

    def _go_on(self, asked: Sequence[Asked], rows: list[list[int]], chain: Chain) -> list[float]:
        *rows, stem = rows
        shared = min(_shared([*rows, stem]), min(map(len, rows)) - 1)
        kept = self._kept(chain, stem[:shared])
        if kept is None:
            return self._told(asked, self._running.next_tokens(self._prompts.inputs(asked)))
        ends = padded([row[len(kept.ids) :] for row in rows], self._pad)
        told = self._running.after(kept, ends)
        if self._keeps is None:
            self._keeps = self._agrees(asked[0], told[0])
            if not self._keeps:
                return self.scores(asked)
        return self._told(asked, told)

    def _kept(self, chain: Chain, shared: list[int]) -> KeptPrompt | None:
        """What is kept of the shared ids; read now where it is missing or short."""
        begun, kept = chain.begun, chain.kept
        if begun is None or len(shared) < max(len(begun.ids), 1):
            return None
        if kept is not None and shared[: len(kept.ids)] != kept.ids:
            kept = None
        if kept is None:
            kept = self._running.keep(of_ids(begun.inputs, shared), shared)
        elif len(shared) - len(kept.ids) >= _RIDES_ALONG:
            new = torch.tensor([shared[len(kept.ids) :]])
            kept = self._running.keep({"input_ids": new}, shared, kept)
        chain.kept = kept
        return kept

    def _agrees(self, asked: Asked, told: Tensor) -> bool:
        """Whether a row read after a kept prompt is what it is if it is read whole: tried once."""
        whole = self._running.next_tokens(self._prompts.inputs([asked]))[0]
        off = float((whole - told).abs().max())
        if off <= self._noise:
            return True
        logger.warning(
            "%s: every score reads a whole prompt, which is slower; going on from a kept prompt was"
            " tried out: probabilities are off by %.1e.",
            self._form.name,
            off,
        )
        return False


def _shared(rows: Sequence[list[int]]) -> int:
    """How many ids the rows begin with alike."""
    for place, ids in enumerate(zip(*rows, strict=False)):
        if len(set(ids)) > 1:
            return place
    return min(map(len, rows))
