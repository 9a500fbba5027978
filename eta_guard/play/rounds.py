"""The search as the page shows it: each sentence's candidates, and the one that was kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eta_guard.cli import words
from eta_guard.play.asking import Turn
from eta_guard.state import SentenceRound


@dataclass(frozen=True)
class Row:
    """One candidate."""

    text: str
    reward: str
    likeness: str
    utility: str
    share: float
    """Its utility within the round's, in percent: a bar."""
    picked: bool


@dataclass(frozen=True)
class Round:
    """The candidates of one sentence."""

    sentence: int
    rows: Sequence[Row]


def rounds_of(turn: Turn) -> list[Round]:
    """The sentences that have been searched so far."""
    events = [event for event in turn.found if "sentence" in event]
    return [Round(event["sentence"], list(_rows(event))) for event in events]


def _rows(event: Mapping[str, Any]) -> Iterator[Row]:
    record = SentenceRound.model_validate({**event, "text": ""})
    digits = words.digits_of(record)
    known = [c.utility for c in record.candidates if c.utility is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    texts = event.get("texts") or ["(not recorded)"] * len(record.candidates)
    for place, (candidate, text) in enumerate(zip(record.candidates, texts, strict=True)):
        said = text.strip() or "(stop here)"
        utility = candidate.utility
        share = 1.0 if utility is None or low == high else (utility - low) / (high - low)
        yield Row(
            said,
            words.number(candidate.reward, digits),
            words.number(candidate.similarity, digits),
            words.number(utility, digits),
            round(8 + 92 * share, 1) if utility is not None else 0.0,
            place == record.pick,
        )
