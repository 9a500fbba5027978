"""Draws answers as a batch over copies of the cache: the general route, for every architecture.

Layers that see a window, keep a recurrent state or look at the picture by cross-attention cannot
share one row. The prompt is read whole, as ``generate`` reads it, and what comes first is drawn
from the logits of that one forward: in half precision those of another forward are others. After a
draw one id is left unread, since a cache that covers all ids has no logits to go on from.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import LogitsProcessorList, StoppingCriteriaList

from eta_guard import counts
from eta_guard.engines.local.caches import ModelState, held_positions
from eta_guard.engines.local.running_model import RunningModel
from eta_guard.engines.local.stopping import RowEnds

if TYPE_CHECKING:
    from transformers import LogitsProcessor


class BatchReader:
    """A prompt that is read once, and the answer that grows after it."""

    def __init__(self, running: RunningModel, inputs: dict[str, Tensor]) -> None:
        """Takes the model's inputs, one row; nothing is computed yet."""
        self._running, self._inputs = running, inputs
        self._read: ModelState | None = None
        self._answer = ModelState()
        self._drawn = ModelState()
        self._aside: Callable[[ModelState], list[list[int]]] | None = None
        self._length = 0

    @property
    def _prompt(self) -> ModelState:
        if self._read is None:
            self._read = self._running.read(self._inputs)
            counts.add("batch_prompts")
        return self._read

    def restart(self) -> None:
        """Begins the answer anew, after the prompt alone."""
        self._answer = self._prompt

    def begin_aside(
        self, ids: list[int], *, limit: int, sampler: LogitsProcessor | None, ends: RowEnds
    ) -> None:
        """Begins one answer from the prompt; it is drawn by itself, once it is wanted."""
        self._aside = partial(self._draw, ids=ids, rows=1, limit=limit, sampler=sampler, ends=ends)

    def finish_aside(self) -> list[list[int]]:
        """Draws the answer aside, and leaves the one under way as it is."""
        assert self._aside is not None, "begin_aside() comes first"
        return self._aside(self._prompt.forked(1))

    @property
    def ended_aside(self) -> bool:
        """Not before it is wanted: rows of different texts make no batch."""
        return False

    def draw(
        self,
        ids: list[int],
        rows: int,
        *,
        limit: int,
        sampler: LogitsProcessor | None,
        ends: RowEnds,
    ) -> list[list[int]]:
        """Draws continuations of prompt and answer so far; see ``TreeReader.draw``."""
        self._length = len(ids)
        self._drawn = self._answer.forked(rows)
        return self._draw(self._drawn, ids, rows, limit, sampler, ends)

    def keep(self, row: int, tokens: int) -> None:
        """Keeps a row of the last draw where the cache can be cut to it exactly.

        Where it cannot, the cache stays as it was before the draw, and the accepted sentence is
        read again at the head of the next one.
        """
        unread = 1
        self._answer = self._drawn.kept(row, self._length + tokens - unread) or self._answer
        self._drawn = ModelState()

    def _draw(
        self,
        state: ModelState,
        ids: list[int],
        rows: int,
        limit: int,
        sampler: LogitsProcessor | None,
        ends: RowEnds,
    ) -> list[list[int]]:
        nothing_new = len(ids) == self._inputs["input_ids"].shape[1]
        out = self._running.generate(
            state,
            first=state.logits if nothing_new else None,
            input_ids=torch.tensor([ids] * rows),
            attention_mask=torch.ones(rows, len(ids), dtype=torch.long),
            **_cross_attention(self._inputs, rows, len(ids)),
            max_new_tokens=limit,
            logits_processor=LogitsProcessorList([sampler] if sampler else []),
            stopping_criteria=StoppingCriteriaList([ends]),
        )
        held = held_positions((self._read, self._answer, state))
        counts.add("peak_cache_rows", held / out.shape[1])
        drawn: list[list[int]] = out[:, len(ids) :].tolist()
        return drawn


def _cross_attention(inputs: dict[str, Tensor], rows: int, length: int) -> dict[str, Tensor]:
    """Which image tiles each id may look at, for models that look by cross-attention.

    Without it a padded tile would be looked at. What follows the prompt sees what its last id saw.
    """
    mask = inputs.get("cross_attention_mask")
    if mask is None:
        return {}
    more = mask[:, -1:].expand(-1, length - mask.shape[1], *mask.shape[2:])
    return {"cross_attention_mask": torch.cat([mask, more], dim=1).expand(rows, *[-1] * 3)}
