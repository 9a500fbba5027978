"""The guard's own engine, drawing sentences of forced lengths."""

from __future__ import annotations

from typing import Any

from transformers import LogitsProcessor

from eta_guard.bench.forced import Follow, ForcedSampling, Lengths
from eta_guard.bench.models import Models
from eta_guard.engines.local.engine import LocalEngine
from eta_guard.protocols import Generation


class BenchEngine(LocalEngine):
    """A ``LocalEngine`` in all but where its sentences end."""

    def __init__(self, models: Models, lengths: Lengths, *, compiled: bool = False) -> None:
        """Wraps the chat model.

        Args:
            models: The chat model among them.
            lengths: Of every sentence.
            compiled: See ``LocalEngine``.
        """
        super().__init__(
            models.chat, models.processor, fingerprint="random-llava", compiled=compiled
        )
        self._models = models
        self.running.sampler = self._forced
        self.follow: Follow | None = None
        """Draws of another side that are gone on from."""
        self.force(lengths)

    def force(self, lengths: Lengths) -> None:
        """Sets the lengths of the sentences to come."""
        self.forced = ForcedSampling(
            lengths,
            self._models.processor.tokenizer,
            vocabulary=self._models.chat.config.text_config.vocab_size,
            device=self._models.device,
        )

    def _forced(self, generation: Generation, *, rows: int, **place: Any) -> LogitsProcessor:
        usual = self.forced.processor(generation, rows=range(rows), **place)
        if self.follow is None:
            return usual
        return self.follow.processor(usual, sentence=place["sentence"], start=place["start"])
