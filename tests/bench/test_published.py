from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from eta_guard.bench.engine import BenchEngine
from eta_guard.bench.forced import Lengths
from eta_guard.bench.guarded import FLAGS_ALL, Guarded
from eta_guard.bench.models import Models
from eta_guard.bench.pictures import request
from eta_guard.bench.published import Answer, PublishedProcedure
from eta_guard.bench.published_counts import published_counts
from eta_guard.bench.tokens import FULL_STOP
from eta_guard.counts import Counts, counting
from eta_guard.engines.local.chat_template import model_inputs
from eta_guard.request.conversation import read_conversation

SEED = 7
CASES = [(n, s) for n in (1, 3, 5) for s in (1, 2, 4)]


@dataclass(frozen=True)
class Both:
    """A flagged request on both sides, the guard's parts warm."""

    engine: BenchEngine
    lengths: Lengths
    published: Answer
    published_counts: Counts
    fast: Answer
    fast_counts: Counts
    safe_counts: Counts


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"n{case[0]}-s{case[1]}")
def both(request: pytest.FixtureRequest, models: Models) -> Both:
    return run_both(models, *request.param)


def run_both(models: Models, candidates: int, sentences: int) -> Both:
    lengths = Lengths.drawn(sentences=sentences, candidates=candidates, within=(3, 9))
    engine = BenchEngine(models, lengths)
    policy = FLAGS_ALL.updated({"candidates": candidates})
    flagged = request(100 * candidates + sentences, models.side)
    guarded = Guarded.over(models, engine, policy)
    with counting() as spent:
        published = PublishedProcedure(models, engine, policy).run(
            read_conversation([flagged]), SEED
        )
    _, _, safe_counts = guarded.let_pass(flagged, SEED)
    fast, fast_counts = guarded.repair(flagged, SEED)
    return Both(engine, lengths, published, spent, fast, fast_counts, safe_counts)


def kept_lengths(both: Both) -> list[int]:
    """Tokens of each sentence of the answer, read off its text."""
    ids = both.engine.running.encode(both.published.text)
    ids = ids[len(both.engine.running.encode(FLAGS_ALL.prefix)) :]
    (stop,) = both.engine.running.encode(FULL_STOP)
    ends = [i + 1 for i, token in enumerate(ids) if token == stop]
    edges = [0, *ends]
    assert edges[-1] == len(ids)
    return [end - begin for begin, end in pairwise(edges)]


def winners(both: Both) -> list[int]:
    rows = zip(both.lengths.candidates, kept_lengths(both), strict=True)
    return [row.index(length) for row, length in rows]


def test_both_sides_end_with_the_same_text(both: Both) -> None:
    assert both.published.text == both.fast.text
    assert both.published.text.startswith(FLAGS_ALL.prefix)
    assert both.published.text.count(FULL_STOP) == len(both.lengths.candidates)


def test_counts_of_the_published_procedure_equal_the_formula(both: Both, models: Models) -> None:
    prompt = model_inputs(models.processor, read_conversation([request(0, models.side)]))
    chat = models.reward.chat
    expected = published_counts(
        both.lengths,
        winners(both),
        prompt=prompt["input_ids"].shape[1],
        prefix=len(both.engine.running.encode(FLAGS_ALL.prefix)),
        post_chat=len(chat.ids(FLAGS_ALL.post_prompt, "")),
        search_chat=len(chat.ids(FLAGS_ALL.search_prompt, "")),
    )
    peak = expected.pop("peak_cache_rows")
    found: dict[str, Any] = dict(both.published_counts)
    assert found.pop("peak_cache_rows") == pytest.approx(peak)
    assert found == expected


def test_the_guard_shares_its_work(both: Both) -> None:
    found, sentences = both.fast_counts, len(both.lengths.candidates)
    longest = sum(max(row) for row in both.lengths.candidates)
    aligned = found["vlm_forwards"] - both.safe_counts["vlm_forwards"]
    assert aligned <= longest + sentences + 1
    assert found["vlm_image_encodes"] == 1
    assert both.safe_counts["clip_image_encodes"] + found.get("clip_image_encodes", 0) == 1
    assert found["reward_forwards"] <= sentences + 3
    assert "reward_forwards" not in both.safe_counts
