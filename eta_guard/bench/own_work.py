"""What the engine itself does in a step of drawing, beside the model's forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from time import process_time
from typing import Any, cast

import torch
from transformers import LogitsProcessor

from eta_guard.bench.models import chat_model
from eta_guard.bench.pictures import request
from eta_guard.bench.sizes import find_size
from eta_guard.bench.tokens import WORDS, word_ids
from eta_guard.engines.local.engine import LocalEngine
from eta_guard.engines.local.sampling import Sampler, sampler
from eta_guard.protocols import Candidate, Generation, Sampling
from eta_guard.request.conversation import read_conversation

_CANDIDATES, _STEPS = 5, 40


class _Pauses:
    """Milliseconds of the processor between the forwards of a model."""

    def __init__(self, model: Any) -> None:
        self.found: list[float] = []
        self._ended: float | None = None
        self._hooks = [
            model.register_forward_pre_hook(self._begins),
            model.register_forward_hook(self._ends),
        ]

    def _begins(self, *_: object) -> None:
        if self._ended is not None:
            self.found.append(1000 * (process_time() - self._ended))

    def _ends(self, *_: object) -> None:
        self._ended = process_time()

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()


def own_work(lengths: Sequence[int] = (100, 1000)) -> dict[str, dict[str, float]]:
    """Milliseconds of a step at the end of answers of so many tokens, without its forward.

    Medians over the last steps: of an answer that is continued to its end, and of the candidates of
    a sentence together. Two lengths tell what the answer's own length costs.
    The model is the smallest, on the CPU, with the paper's vocabulary: nothing here depends on it
    but the width of its logits.

    Args:
        lengths: Of the answers, in tokens.
    """
    return {str(tokens): _at(tokens) for tokens in lengths}


def _at(tokens: int) -> dict[str, float]:
    small, wide = find_size("small"), find_size("7b").text["vocab_size"]
    text = {**small.text, "vocab_size": wide, "max_position_embeddings": 2 * tokens + 1024}
    model, processor = chat_model(replace(small, text=text), torch.float32)
    engine = LocalEngine(model, processor, fingerprint="random-llava")
    engine.running.sampler = _words_alone(processor.tokenizer, wide)
    picture = request(0, small.vision["image_size"])
    generation = Generation(max_tokens=tokens)
    session = engine.open(read_conversation([picture]), generation)
    pauses = _Pauses(model)
    try:
        # Resumed, so that not every token need be drawn here.
        ids = (word_ids(processor.tokenizer, WORDS) * tokens)[: tokens - _STEPS]
        begun = [Candidate(engine.running.decode(ids), tuple(ids), None)]
        session.prefill("", begun)
        session.propose(_CANDIDATES, Sampling(5, 1.0, _STEPS))
        searched = median(pauses.found[-_STEPS // 2 :])
        session.prefill("", begun)
        session.finish()
        plain = median(pauses.found[-_STEPS // 2 :])
    finally:
        pauses.close()
    return {"plain_ms": plain, "search_ms": searched}


def _words_alone(tokenizer: Any, vocabulary: int) -> Sampler:
    """Draws as always, but no end: random models would write bytes, and ends where they like."""
    others = torch.full((vocabulary,), float("-inf"))
    others[word_ids(tokenizer, WORDS)] = 0

    def drawing(generation: Generation, **place: Any) -> LogitsProcessor:
        usual = sampler(generation, **place)

        def draw(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            scores += others
            return usual(ids, scores) if usual else scores

        return cast(LogitsProcessor, draw)

    return drawing
