"""What the engine itself does in a step of drawing, beside the model's forward."""

from __future__ import annotations

from statistics import median
from time import process_time
from typing import Any

import torch

from eta_guard.bench.engine import BenchEngine
from eta_guard.bench.forced import Lengths
from eta_guard.bench.models import build_models
from eta_guard.bench.pictures import request
from eta_guard.bench.sizes import find_size
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


def own_work(tokens: int = 1000) -> dict[str, float]:
    """Milliseconds of a step at the end of an answer of so many tokens, without its forward.

    Medians over the last steps: of the plain answer, and of the candidates of a sentence together.
    The model is the smallest, on the CPU, with the paper's vocabulary: nothing here depends on it
    but the width of its logits.
    """
    small = find_size("small")
    wide = find_size("7b").text["vocab_size"]
    text = {**small.text, "vocab_size": wide, "max_position_embeddings": 2 * tokens + 1024}
    models = build_models(
        small.__class__(**{**vars(small), "text": text}), torch.device("cpu"), torch.float32
    )
    sentence = (_STEPS,) * _CANDIDATES
    lengths = Lengths(draft=(tokens,), candidates=(sentence, sentence, sentence))
    engine = BenchEngine(models, lengths)
    session = engine.open(
        read_conversation([request(0, models.side)]), Generation(max_tokens=2 * tokens)
    )
    pauses = _Pauses(models.chat)
    try:
        words = session.answer().text
        plain = median(pauses.found[-_STEPS:])
        ids = engine.running.encode(words)[:tokens]
        session.prefill("", [Candidate(words, tuple(ids), None)])
        session.propose(_CANDIDATES, Sampling(5, 1.0, _STEPS))
        searched = median(pauses.found[-_STEPS // 2 :])
    finally:
        pauses.close()
    return {"plain_ms": plain, "search_ms": searched}
