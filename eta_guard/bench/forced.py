"""Forced lengths: random models never end a sentence by themselves, or not alike.

Every draw is made as always, by the same uniform numbers, but only among the tokens that may stand
at its place: words, the full stop at the sentence's given length, then the word that opens the next
sentence, or the end token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor

from eta_guard.bench.tokens import FULL_STOP, OPENERS, WORDS, word_ids
from eta_guard.engines.local.sampling import PLAIN_ANSWER, InverseTransform, uniforms
from eta_guard.protocols import Generation, Sampling

_WORD, _OPENER, _STOP, _END = range(4)


@dataclass(frozen=True)
class Lengths:
    """How many tokens each sentence has.

    The end token follows the last one: of a draft at once, of an aligned answer as a round of its
    own, in which every candidate proposes to stop.
    """

    draft: tuple[int, ...]
    """A sentence of the plain answer each."""
    candidates: tuple[tuple[int, ...], ...]
    """[sentence][candidate]."""

    @classmethod
    def drawn(cls, *, sentences: int, candidates: int, within: tuple[int, int]) -> Lengths:
        """Ragged lengths, the same ones each time.

        Args:
            sentences: Of the plain answer as of the aligned one.
            candidates: N.
            within: Shortest and longest sentence, at least 2.
        """

        # Each place has a generator of its own: fewer sentences or candidates are a part of more.
        def length(*place: int) -> int:
            return int(np.random.default_rng(place).integers(*within, endpoint=True))

        draft = tuple(length(0, sentence) for sentence in range(sentences))
        rows = tuple(
            tuple(length(1, sentence, candidate) for candidate in range(candidates))
            for sentence in range(sentences)
        )
        return cls(draft, rows)

    @property
    def plain_draws(self) -> int:
        """Tokens drawn for the plain answer, the end token included."""
        return sum(self.draft) + 1

    @property
    def rounds(self) -> int:
        """Rounds of the search, the one that stops included."""
        return len(self.candidates) + 1

    def script(self, sentence: int, candidate: int) -> list[int]:
        """What kind of token stands at each step, one step beyond the sentence included."""
        if sentence == PLAIN_ANSWER:
            parts = [_sentence(length, first=i == 0) for i, length in enumerate(self.draft)]
            return [*[kind for part in parts for kind in part][:-1], _WORD, _END]
        if sentence == self.rounds:
            return [_END]
        kinds = _sentence(self.candidates[sentence - 1][candidate], first=sentence == 1)
        return [*kinds, _END if sentence == len(self.candidates) else _OPENER]


def _sentence(length: int, *, first: bool) -> list[int]:
    return [_WORD if first else _OPENER, *[_WORD] * (length - 2), _STOP]


class ForcedSampling:
    """Makes the processors of both procedures, so that both draw alike."""

    def __init__(self, lengths: Lengths, tokenizer: Any, *, vocabulary: int, device: Any) -> None:
        """Prepares the masks.

        Args:
            lengths: Of every sentence.
            tokenizer: The chat model's.
            vocabulary: Width of its logits.
            device: Where they are.
        """
        self.lengths = lengths
        allowed = torch.zeros(4, vocabulary, dtype=torch.bool)
        allowed[_WORD, word_ids(tokenizer, WORDS)] = True
        allowed[_OPENER, word_ids(tokenizer, OPENERS)] = True
        allowed[_STOP, word_ids(tokenizer, (FULL_STOP,))] = True
        allowed[_END, tokenizer.eos_token_id] = True
        self._forbidden = ~allowed.to(device)

    def processor(
        self,
        generation: Generation,
        *,
        sentence: int,
        rows: Sequence[int],
        steps: int,
        start: int,
        sampling: Sampling | None,
    ) -> LogitsProcessor:
        """How the tokens of some candidates are drawn.

        Args:
            generation: Its seed is read.
            sentence: Number of the sentence, or ``PLAIN_ANSWER``.
            rows: Which candidates the rows of the batch are.
            steps: Most tokens that will be drawn.
            start: Length of the ids at which the first one is drawn.
            sampling: The search's settings; None draws greedily.
        """
        scripts = [self.lengths.script(sentence, row) for row in rows]
        drawn = None
        if sampling is not None:
            numbers = uniforms(generation.seed, sentence, max(rows) + 1, steps)[list(rows)]
            drawn = InverseTransform(
                numbers, start=start, temperature=sampling.temperature, top_k=sampling.top_k
            )
        return _Forced(scripts, self._forbidden, start=start, drawn=drawn)


@dataclass
class Follow:
    """What the other side drew, which this one goes on from; and how often it would have anyway.

    In half precision rounding alone flips a draw now and then, after which two texts have nothing
    in common. Followed, both do the same work, and each draw is compared after the same text.
    """

    drawn: Mapping[tuple[int, int], Sequence[int]] = field(repr=False)
    """Ids by sentence and candidate."""
    alike: list[bool] = field(default_factory=list, repr=False)
    """Of each draw, whether it was the same."""

    @property
    def share(self) -> float:
        """Of the draws that were the same, in [0, 1]."""
        return sum(self.alike) / len(self.alike)

    def processor(self, usual: LogitsProcessor, *, sentence: int, start: int) -> LogitsProcessor:
        """Draws what the other side drew, where it drew something.

        Args:
            usual: Leaves this side's own draw alone.
            sentence: Number of the sentence, or ``PLAIN_ANSWER``.
            start: Length of the ids at which the first token is drawn.
        """
        return _Following(self, usual, sentence, start)


class _Following(LogitsProcessor):  # type: ignore[misc, unused-ignore]
    def __init__(self, follow: Follow, usual: LogitsProcessor, sentence: int, start: int) -> None:
        self._follow, self._usual = follow, usual
        self._sentence, self._start = sentence, start

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        step = input_ids.shape[1] - self._start
        own: Tensor = self._usual(input_ids, scores)
        for row, token in enumerate(own.argmax(dim=-1).tolist()):
            ids = self._follow.drawn[self._sentence, row]
            if step < len(ids):
                self._follow.alike.append(token == ids[step])
                own[row] = float("-inf")
                own[row, ids[step]] = 0.0
        return own


class _Forced(LogitsProcessor):  # type: ignore[misc, unused-ignore]
    def __init__(
        self,
        scripts: Sequence[list[int]],
        forbidden: Tensor,
        *,
        start: int,
        drawn: InverseTransform | None,
    ) -> None:
        longest = max(map(len, scripts))
        # What a row draws after its end is thrown away.
        padded = [[*script, *[_END] * (longest - len(script))] for script in scripts]
        self._kinds = torch.tensor(padded, device=forbidden.device)
        self._forbidden, self._start, self._drawn = forbidden, start, drawn

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        step = min(input_ids.shape[1] - self._start, self._kinds.shape[1] - 1)
        masked = scores.masked_fill(self._forbidden[self._kinds[:, step]], float("-inf"))
        return masked if self._drawn is None else self._drawn(input_ids, masked)
