"""What the published procedure costs, as a formula of the lengths."""

from __future__ import annotations

from collections.abc import Sequence

from eta_guard.bench.forced import Lengths
from eta_guard.counts import Counts


def published_counts(
    lengths: Lengths,
    winners: Sequence[int],
    *,
    prompt: int,
    prefix: int,
    post_chat: int,
    search_chat: int,
) -> Counts:
    """Counts of one flagged request.

    Args:
        lengths: S sentences of N candidates, L[s][c] tokens each.
        winners: Index of the kept candidate of each sentence.
        prompt: P, positions of the prompt, image tokens included.
        prefix: F, tokens of the interference prefix.
        post_chat: Tokens of the post-evaluation's chat around an empty answer.
        search_chat: Tokens of the search's chat around an empty answer.

    Returns:
        A candidate that draws L tokens takes L forwards: the first one reads what its cache lacks
        (all P + F positions in the first sentence, the last token in later ones), each other one a
        token. The end token is one more draw of the draft, and in the round after the last sentence
        all that a candidate draws.
    """
    sentences, n = lengths.candidates, len(lengths.candidates[0])
    kept = [row[winner] for row, winner in zip(sentences, winners, strict=True)]
    accepted = [sum(kept[:s]) for s in range(lengths.rounds)]
    draws = [*sentences, (1,) * n]
    drawn = sum(map(sum, draws))
    added = [*sentences, (0,) * n]  # the end token is not scored
    scored = sum(
        search_chat + prefix + before + length
        for before, row in zip(accepted, added, strict=True)
        for length in row
    )
    compared = len(sentences) - 1  # neither the first round nor the one that stops
    return {
        "vlm_forwards": lengths.plain_draws + drawn,
        "vlm_positions": prompt + (lengths.plain_draws - 1) + n * (prompt + prefix) + (drawn - n),
        "vlm_image_encodes": 2,
        "reward_forwards": 1 + n * lengths.rounds,
        "reward_positions": post_chat + sum(lengths.draft) + scored,
        "clip_image_encodes": 1 + compared,
        "clip_text_encodes": 1 + n * compared,
        "peak_cache_rows": _peak(draws, accepted, prompt + prefix),
    }


def _peak(draws: Sequence[Sequence[int]], accepted: Sequence[int], start: int) -> float:
    """Positions of the winner's cache and of all candidates', in longest candidates."""
    peaks = [1.0]
    for s, row in enumerate(draws):
        before = start + accepted[s]
        kept = before - 1 if s else 0
        held = [before + count - 1 for count in row]
        peaks += [(kept + sum(held[: i + 1])) / max(held[: i + 1]) for i in range(len(held))]
    return max(peaks)
