"""Counts what a request costs: model forwards, positions and encodes, not seconds.

Engines and evaluators are shared between threads and know nothing of each other, so the tally is
found through the context: whoever wants the counts of some work does it within ``counting()``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Literal

from langchain_core.messages.ai import UsageMetadata

CountName = Literal[
    "input_tokens",
    "output_tokens",
    "prompt_tokens",
    "cached_tokens",
    "vlm_forwards",
    "vlm_positions",
    "vlm_image_encodes",
    "reward_forwards",
    "reward_positions",
    "reward_windows",
    "clip_image_encodes",
    "clip_text_encodes",
    "classifier_image_encodes",
    "guard_forwards",
    "guard_positions",
    "guard_windows",
    "text_readings",
    "decisions",
    "failed_candidates",
    "tree_prompts",
    "batch_prompts",
    "incremental_scores",
    "whole_text_scores",
    "peak_cache_rows",
]
"""Input tokens are the prompt's, image tokens included, counted once a request, and once more where
it was read anew with parts of its pictures covered; output tokens all that were drawn, thrown away
or not. Prompt tokens are those of every prompt that a server read for the request (the conversation
goes out anew with each sentence), and cached tokens those of them that it found in its prefix
cache; both only of the answers at whose end it told, which it does not where a stream is closed
early. Positions are rows x new tokens of a forward (``guard_…``: of a guard model in this process);
windows are the parts in which an answer was read that is longer than the evaluator's context;
encodes by CLIP are single images or texts, those of the chat model runs of its vision part; an
image classifier's are single images. Text readings are views of a picture in which text was looked
for; decisions are requests to a decision model. Failed candidates are calls of a provider that gave
none. Which route was taken: prompts that the local chat model read into a tree, whose branches
share them (the fast one), or for batches over copies of the cache; scores that a reward model in
this process gave from new tokens alone (the fast one), or from whole texts. Why a model is denied
the fast one is logged when it is wrapped. Peak cache rows are the most positions that the chat
model's caches held at once, counted in answers: 1.0 is prompt and longest answer so far, once."""

Counts = dict[str, int | float]


def usage(counts: Mapping[str, float]) -> UsageMetadata:
    """The tokens of the chat model among the counts, those that alignment spent included."""
    spent, drawn = int(counts.get("input_tokens", 0)), int(counts.get("output_tokens", 0))
    return UsageMetadata(input_tokens=spent, output_tokens=drawn, total_tokens=spent + drawn)


def together(first: Mapping[str, float], second: Mapping[str, float]) -> Counts:
    """The counts of two pieces of work: sums, and of peaks the higher one."""
    found: Counts = {**first}
    for name, amount in second.items():
        _put(found, name, amount)
    return found


_adding = Lock()
"""What is asked at the same time adds to one tally."""


def _put(found: Counts, name: str, amount: float) -> None:
    before = found.get(name, 0)
    found[name] = max(before, amount) if name == "peak_cache_rows" else before + amount


_tally: ContextVar[Counts | None] = ContextVar("eta_guard_counts", default=None)


def add_evaluations(evaluator: str, amount: float) -> None:
    """Adds what an evaluator was asked to evaluate: pictures, or answers and candidates."""
    _add(f"evaluations_{evaluator}", amount)


def add(name: CountName, amount: float = 1) -> None:
    """Adds to the tally of the surrounding ``counting()``; without one, does nothing."""
    _add(name, amount)


def _add(name: str, amount: float) -> None:
    tally = _tally.get()
    if tally is not None:
        with _adding:
            _put(tally, name, amount)


@contextmanager
def counting() -> Iterator[Counts]:
    """Yields a tally of what is counted within; nested tallies do not see each other's work."""
    tally: Counts = defaultdict(int)
    token = _tally.set(tally)
    try:
        yield tally
    finally:
        _tally.reset(token)
