"""Measures both procedures in alternation, and puts the figures together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any, get_args

import torch

from eta_guard.bench.engine import BenchEngine
from eta_guard.bench.forced import Follow, Lengths
from eta_guard.bench.graph_overhead import graph_overhead
from eta_guard.bench.guarded import BY_REGION, FLAGS_ALL, Guarded
from eta_guard.bench.models import Models, build_models
from eta_guard.bench.own_work import own_work
from eta_guard.bench.pictures import request
from eta_guard.bench.provider import in_front_of_a_provider
from eta_guard.bench.published import Answer, PublishedProcedure
from eta_guard.bench.sizes import Size, find_size
from eta_guard.bench.views import views_cost
from eta_guard.counts import CountName, Counts, counting
from eta_guard.loading import pick_device
from eta_guard.request.conversation import read_conversation

COUNTS = tuple(name for name in get_args(CountName) if not name.endswith("_tokens"))
"""What is told of each side, beside its seconds."""

ENOUGH_SECONDS = 240
"""On a slow or busy machine fewer repetitions have to do, unless their number is asked for."""

OPTIONS: dict[str, dict[str, Any]] = {
    "draft_stop_margin": {"draft_stop_margin": 0.0},
    "draft_with_candidates": {"draft_with_candidates": True},
}
"""Settings that draft less. Every text is unsafe here: a draft is stopped after its first sentence,
the most that stopping can save."""

OTHERWISE: dict[str, dict[str, Any]] = {
    "accept_above": {"accept_above": (-1e6, -1e6)},
    "mask": {"aligner": "mask"},
    "mask+eta": {"aligner": "mask+eta"},
    "guardalign": {"aligner": "mask", "thresholds": {BY_REGION: 2.0}},
}
"""Settings that repair otherwise, and come to other texts. Every candidate is good enough, the most
that ``accept_above`` can save; and every answer to the covered picture is unsafe, so that all of
``"mask+eta"`` has to be done. In ``"guardalign"`` evidence by region takes the place of CLIP's one
look, and finds every picture unsafe: no cosine is below -1."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Pair:
    """A flagged request on both sides, and a safe one with and without the guard."""

    published: Answer
    published_counts: Counts
    fast: Answer
    fast_counts: Counts
    safe_seconds: float
    safe_counts: Counts
    unguarded_seconds: float
    same_text: bool
    """Both sides' answers to the flagged request, and both answers to the safe one."""
    draws_alike: float | None
    """Of the guard's draws, the share that were the published side's after the same text; None
    where it goes on from its own, and the texts tell."""


class Bench:
    """Models of one size, with both procedures around them."""

    def __init__(
        self,
        size: Size,
        device: torch.device,
        dtype: torch.dtype,
        models: Models | None = None,
        *,
        compiled: bool = False,
    ) -> None:
        """Builds the models, or takes over those of another bench of the same size."""
        self.size, self.device = size, device
        # On a GPU kernels are chosen by shape: there a warm-up is as large as what is measured.
        self._by_shape = device.type != "cpu" or compiled
        self.models = models or build_models(size, device, dtype)
        self._engine = BenchEngine(self.models, self.lengths(1, 1), compiled=compiled)

    def lengths(self, candidates: int, sentences: int) -> Lengths:
        """The forced lengths of N candidates and S sentences."""
        return Lengths.drawn(
            sentences=sentences, candidates=candidates, within=self.size.sentence_tokens
        )

    def pairs(self, candidates: int, sentences: int, repeats: int) -> Iterator[Pair]:
        """Runs both sides, ``repeats`` times by turns, each time with new pictures and draws."""
        warm_up = (candidates, sentences) if self._by_shape else (1, 1)
        self._pair(self.lengths(*warm_up), seed=0)
        for seed in range(1, repeats + 1):
            yield self._pair(self.lengths(candidates, sentences), seed)

    def options(
        self,
        candidates: int,
        sentences: int,
        fast: Pair,
        options: Mapping[str, dict[str, Any]] = OPTIONS,
    ) -> dict[str, Any]:
        """The flagged request of the first pair once more, with each setting by itself."""
        guarded = self._guarded(self.lengths(candidates, sentences))
        found = {}
        drawn = fast.published.drawn
        for name, settings in options.items():
            changed = guarded.changed(settings)
            if BY_REGION in changed.flagging.policy.thresholds:
                changed = changed.by_region(self.models)
            if self._by_shape:
                changed.repair(request(2, self.models.side), seed=1)
            with self._following(drawn):
                answer, spent = changed.repair(request(2, self.models.side), seed=1)
            found[name] = {
                **_side(spent, [answer.seconds]),
                "of_published": answer.seconds / fast.published.seconds,
                "of_fast": answer.seconds / fast.fast.seconds,
                "of_unguarded": answer.seconds / fast.unguarded_seconds,
                "same_text": answer.text == fast.fast.text,
            }
        return found

    def _guarded(self, lengths: Lengths) -> Guarded:
        self._engine.force(lengths)
        policy = FLAGS_ALL.updated({"candidates": len(lengths.candidates[0])})
        return Guarded.over(self.models, self._engine, policy)

    def _pair(self, lengths: Lengths, seed: int) -> Pair:
        guarded = self._guarded(lengths)
        engine, policy = self._engine, guarded.flagging.policy
        flagged, safe = (request(2 * seed + i, self.models.side) for i in range(2))
        with counting() as spent:
            published = PublishedProcedure(self.models, engine, policy).run(
                read_conversation([flagged]), seed
            )
        with self._following(published.drawn) as follow:
            fast, fast_counts = guarded.repair(flagged, seed)
        passed, safe_seconds, safe_counts = guarded.let_pass(safe, seed)
        bare, unguarded_seconds = guarded.unguarded(safe, seed)
        return Pair(
            published,
            spent,
            fast,
            fast_counts,
            safe_seconds,
            safe_counts,
            unguarded_seconds,
            same_text=published.text == fast.text and passed == bare,
            draws_alike=follow.share if follow else None,
        )

    @contextmanager
    def _following(self, drawn: dict[tuple[int, int], list[int]]) -> Iterator[Follow | None]:
        """In half precision the guard goes on from what the published side drew (``Follow``)."""
        self._engine.follow = None if self.models.dtype == torch.float32 else Follow(drawn)
        try:
            yield self._engine.follow
        finally:
            self._engine.follow = None


def measure(
    name: str,
    *,
    device: str | None = None,
    dtype: torch.dtype | None = None,
    candidates: int | None = None,
    sentences: int | None = None,
    repeats: int | None = None,
    compiled: bool = False,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """The whole benchmark of one size, as plain JSON.

    Args:
        name: Of a size.
        device: Where the models run; the GPU if there is one.
        dtype: Of all weights; the size's own without it.
        candidates: N; the size's own without it.
        sentences: S; the size's own without it.
        repeats: How often each side runs; without it as often as the size says, or less where
            that would take longer than ``ENOUGH_SECONDS``.
        compiled: Compile the guard's decode steps; the published side stays eager.
        say: Told what is being done.

    Raises:
        InputError: There is no such size.
    """
    size = find_size(name)
    n, s = candidates or size.candidates, sentences or size.sentences
    times = repeats or size.repeats
    overhead, own = graph_overhead(), own_work()
    say("Asking a played provider")
    provider = in_front_of_a_provider()
    say(f"Making the {name} models")
    kind: torch.dtype = dtype or getattr(torch, size.dtype)
    bench = Bench(size, pick_device(device), kind, compiled=compiled)
    pairs: list[Pair] = []
    say("Warming up")
    begun = perf_counter()
    for pair in bench.pairs(n, s, times):
        pairs.append(pair)
        say(f"{len(pairs)} of {times} repetitions")
        spent = perf_counter() - begun
        if repeats is None and spent * (1 + 1 / len(pairs)) > ENOUGH_SECONDS:
            break
    say("Drafting less, and repairing otherwise")
    return {
        **summary(pairs),
        "graph_overhead": overhead,
        "own_work_by_tokens": own,
        "provider": provider,
        "views": views_cost(bench.models.clip, bench.models.side),
        "options": bench.options(n, s, pairs[0]),
        "otherwise": bench.options(n, s, pairs[0], OTHERWISE),
        "compiled": compiled,
        "size": name,
        "device": str(bench.device),
        "dtype": str(kind).removeprefix("torch."),
        "n": n,
        "sentences": s,
        "repeats": len(pairs),
    }


def summary(pairs: list[Pair]) -> dict[str, Any]:
    """Counts of the first pair, medians of seconds, and medians of the ratios within pairs."""
    first = pairs[0]
    return {
        "published": _side(first.published_counts, [p.published.seconds for p in pairs]),
        "fast": _side(first.fast_counts, [p.fast.seconds for p in pairs]),
        "safe": _side(first.safe_counts, [p.safe_seconds for p in pairs]),
        "ratio": {
            "whole": median(p.published.seconds / p.fast.seconds for p in pairs),
            "aligned": median(p.published.aligned_seconds / p.fast.aligned_seconds for p in pairs),
        },
        "aligned_seconds": {
            "published": median(p.published.aligned_seconds for p in pairs),
            "fast": median(p.fast.aligned_seconds for p in pairs),
        },
        "of_unguarded": median(p.fast.seconds / p.unguarded_seconds for p in pairs),
        "overhead_safe": median(p.safe_seconds / p.unguarded_seconds for p in pairs),
        "same_text": all(p.same_text for p in pairs),
        "draws_alike": min((p.draws_alike for p in pairs if p.draws_alike), default=None),
    }


def _side(found: Counts, seconds: list[float]) -> dict[str, int | float]:
    return {**{name: found.get(name, 0) for name in COUNTS}, "seconds": median(seconds)}
