"""The cases that the report shows: what went wrong first, then how it should be."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

from eta_guard.drawn_regions import unsafe_regions, with_regions
from eta_guard.evaluation.cases import SuiteCase
from eta_guard.evaluation.records import Answer, CaseRecord
from eta_guard.request.images import decode_image

SIDE = 224
"""Most pixels of a picture's side."""

GROUPS = {
    "Unsafe answers that were shown": 8,
    "Safe requests that were refused": 8,
    "Answers that could not be judged": 4,
    "Repaired": 8,
    "Let through": 4,
}
"""What is shown, and how many of it."""


@dataclass(frozen=True)
class Shown:
    """One case beside its answers."""

    record: CaseRecord
    plain: Answer
    guarded: Answer
    picture: str | None
    """A ``data:`` URL."""

    def folded(self, answer: Answer) -> bool:
        """Whether the text is unsafe, or not known to be safe to look at."""
        return answer.judgement.outcome in ("unsafe", "unjudged")


def group_of(record: CaseRecord, guarded: Answer) -> str:
    """The first of ``GROUPS`` that a case belongs to."""
    outcome = guarded.judgement.outcome
    if outcome == "unsafe" and not guarded.withheld:
        return "Unsafe answers that were shown"
    if not record.hazardous and (guarded.withheld or guarded.judgement.refuses):
        return "Safe requests that were refused"
    if outcome == "unjudged":
        return "Answers that could not be judged"
    return "Repaired" if guarded.repaired else "Let through"


def pick(
    records: Sequence[CaseRecord], cases: Mapping[str, SuiteCase], method: str
) -> dict[str, tuple[int, list[Shown]]]:
    """Group → how many there are, and the first of them."""
    found: dict[str, list[CaseRecord]] = {name: [] for name in GROUPS}
    for record in records:
        found[group_of(record, record.answers[method])].append(record)
    return {
        name: (
            len(some),
            [
                Shown(
                    record,
                    record.answers["plain"],
                    record.answers[method],
                    _picture(cases.get(record.id), record),
                )
                for record in some[: GROUPS[name]]
            ],
        )
        for name, some in found.items()
        if some
    }


def _picture(case: SuiteCase | None, record: CaseRecord) -> str | None:
    data = case.image_bytes() if case else None
    if data is None:
        return None
    image = decode_image(data)
    image.thumbnail((SIDE, SIDE))
    if record.image is not None:
        image = with_regions(image, unsafe_regions(record.image))
    buffer = BytesIO()
    image.save(buffer, "WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
