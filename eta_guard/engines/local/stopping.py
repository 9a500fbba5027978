"""Where each row of a batch ends: at an end token, a stop text, or a sentence end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from transformers import StoppingCriteria

from eta_guard.engines.local.growing_text import GrowingText
from eta_guard.protocols import FinishReason
from eta_guard.text.following import Follower, is_whole_sentence, sentence_end, stop_start


@dataclass(frozen=True)
class RowEnd:
    """How one row ended."""

    kept: int
    """How many of the drawn tokens belong to the text; one drawn to see an end is not kept."""
    drawn: int
    text: str = field(repr=False)
    finish_reason: FinishReason | None
    """None at a sentence end, or where the limit of tokens cut the row."""


class RowEnds(StoppingCriteria):  # type: ignore[misc, unused-ignore]
    """Follows the text of every row, and stops each where it ends."""

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        *,
        before: Sequence[int],
        start: int,
        rows: int,
        end_tokens: frozenset[int],
        stop: tuple[str, ...],
        at_sentences: bool,
        most: int | None = None,
        follower: Follower | None = None,
    ) -> None:
        """Prepares to follow.

        Args:
            decode: Token ids to text.
            before: Ids of the answer so far, whose text the new one is measured after: decoded
                alone, a first token would lose its space.
            start: Length of the ids at which a row's first token is drawn.
            rows: Size of the batch.
            end_tokens: Ids that end an answer.
            stop: Texts before which an answer is cut.
            at_sentences: Stop after one sentence.
            most: Tokens at which a row is cut; one whose tokens are less than a character each, as
                in a script that the tokenizer writes byte by byte, at so many characters.
            follower: Follows a single row.
        """
        self.ends: list[RowEnd | None] = [None] * rows
        self._decode, self._before, self._start = decode, list(before), start
        self._end_tokens, self._stop, self._at_sentences = end_tokens, stop, at_sentences
        self._follower, self._most = follower, most
        text_before = decode(self._before) if before else ""
        self._base, self._text_before = len(text_before), text_before
        self._texts = [GrowingText(decode, before) for _ in range(rows)]
        self._lengths: list[list[int]] = [[] for _ in range(rows)]
        """Of each row's text, after each of its tokens."""

    def __call__(self, input_ids: torch.Tensor, scores: object, **kwargs: object) -> torch.Tensor:
        """Returns which rows [rows] are done, after a token was added to each."""
        for row, end in enumerate(self.ends):
            if end is None:
                self.ends[row] = self._end(row, input_ids[row, self._start :])
        done = [end is not None for end in self.ends]
        return torch.tensor(done, device=input_ids.device)

    def cut(self, ids: Sequence[int], *, final: bool) -> RowEnd:
        """The end of a row that the limit of tokens has cut.

        Args:
            ids: What was drawn.
            final: The answer's budget is spent. Otherwise it goes on, and a character of which
                only some bytes were drawn is left to the next sentence, to be drawn whole.
        """
        kept = len(ids)
        while not final and kept > 1 and self._text(ids[:kept]).endswith("\ufffd"):
            kept -= 1
        return RowEnd(kept, len(ids), self._text(ids[:kept]), None)

    def _end(self, row: int, ids: torch.Tensor) -> RowEnd | None:
        drawn, token = len(ids), int(ids[-1])
        if token in self._end_tokens:
            text = self._text(ids[:-1].tolist())
            whole = self._at_sentences and is_whole_sentence(text)
            return RowEnd(drawn - 1, drawn, text, None if whole else "stop")
        # The bytes of a character that is not whole yet decode to a mark, which is no lookahead.
        drawn_text = self._texts[row].add(token)
        text = drawn_text.rstrip("\ufffd")
        self._lengths[row].append(len(text))
        stop = stop_start(self._text_before, text, self._stop)
        if stop is not None:
            return RowEnd(drawn, drawn, text[:stop], "stop")
        if self._follower and self._follower.stops(text):
            return RowEnd(drawn, drawn, text, "stop")
        boundary = sentence_end(text) if self._at_sentences else None
        if boundary is None:
            return self.cut(ids.tolist(), final=False) if self._is_long(drawn, drawn_text) else None
        kept = 1 + next(i for i, length in enumerate(self._lengths[row]) if length >= boundary)
        return RowEnd(kept, drawn, self._text(ids[:kept].tolist()), None)

    def _is_long(self, drawn: int, text: str) -> bool:
        if self._most is None or drawn < self._most:
            return False
        # Broken characters are no script: what writes them never comes to an end.
        return len(text) >= self._most or "\ufffd" in text.rstrip("\ufffd")

    def _text(self, ids: Sequence[int]) -> str:
        return self._decode([*self._before, *ids])[self._base :]
