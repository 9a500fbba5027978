"""Whether the regions that evaluators tell lie where the hazards do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from eta_guard.evaluation.findings import findings
from eta_guard.evaluation.intervals import Estimate, Rate, mean
from eta_guard.evaluation.records import CaseRecord
from eta_guard.protocols import Region

Told = tuple[Region, Region]
"""The least safe region of a picture, and where its hazard lies."""


def places(records: Sequence[CaseRecord]) -> dict[str, dict[str, Any]]:
    """How near regions come to hazards whose place is known.

    Args:
        records: Counted are pictures that an evaluator flagged and told a region of.

    Returns:
        A row an evaluator by name, each figure with its count (``…_n``) and 95 % interval
        (``…_ci``): ``hit``, the share of pictures in which the middle of the least safe region lies
        on the hazard's box; ``overlap``, the mean intersection over union of the two; ``covered``,
        the mean share of the box that the region covers. And what no look at the picture comes to:
        ``hit_blind`` of the picture's own middle, ``overlap_blind`` of the whole picture.
    """
    by_name: dict[str, list[Told]] = {}
    for record in records:
        for name, told in _told(record):
            by_name.setdefault(name, []).append(told)
    return {name: _row(several) for name, several in by_name.items()}


def _told(record: CaseRecord) -> Iterator[tuple[str, Told]]:
    for found in findings(record, "image") if record.place else ():
        if found.outcome == "unsafe" and found.regions and record.place:
            yield found.evaluator, (found.regions[0], record.place)


def _row(several: Sequence[Told]) -> dict[str, Any]:
    whole = Region(0.0, 0.0, 1.0, 1.0)
    figures: dict[str, Rate | Estimate] = {
        "hit": Rate(sum(_hits(region, place) for region, place in several), len(several)),
        "hit_blind": Rate(sum(_hits(whole, place) for _, place in several), len(several)),
        "overlap": mean([_overlap(region, place) for region, place in several]),
        "overlap_blind": mean([_overlap(whole, place) for _, place in several]),
        "covered": mean([_shared(region, place) / _area(place) for region, place in several]),
    }
    row: dict[str, Any] = {}
    for name, one in figures.items():
        row |= {name: one.value, f"{name}_n": one.n, f"{name}_ci": one.interval}
    return row


def _hits(region: Region, place: Region) -> bool:
    x, y = (region.left + region.right) / 2, (region.top + region.bottom) / 2
    return place.left <= x <= place.right and place.top <= y <= place.bottom


def _overlap(one: Region, other: Region) -> float:
    shared = _shared(one, other)
    return shared / (_area(one) + _area(other) - shared)


def _shared(one: Region, other: Region) -> float:
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    return max(width, 0.0) * max(height, 0.0)


def _area(region: Region) -> float:
    return (region.right - region.left) * (region.bottom - region.top)
