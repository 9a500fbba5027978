"""Seeds for servers and providers, which draw by themselves and take one seed a request."""

from __future__ import annotations

PART_SIZE = 2
"""How many candidates are asked for at once where the first that is good enough is kept.

One at a time would draw the fewest, in more requests, each waited for by itself.
"""


def seed_of(seed: int, sentence: int, candidate: int = 0) -> int:
    """One seed a draw, within the 31 bits that every provider takes.

    Args:
        seed: The policy's or the caller's.
        sentence: Number of the sentence from 1, or 0 for an answer without a search.
        candidate: Its number, from 0. Seeds of one sentence follow one another.
    """
    return (seed * 1_000_003 + sentence * 1_009 + candidate) % 2**31
