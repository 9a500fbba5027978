"""The embedded world as suites of three kinds.

``embedded`` holds pictograms, written words, and hazards that are named in the question.
``embedded-paired`` holds its hazardous pictures, each followed by a harmless twin, and
``embedded-hard`` pairs of pictures that are hard to read. Each has the splits of the world.

Area under the ROC curve on the 350 held-out pairs of ``embedded-hard``: in the published view
CLIP tells hazards from their twins with 0.927 (0.908–0.944), each difficulty by itself with 0.90
to 0.97; on ``embedded-paired`` it is 1.000. The reward model reads the answer alone. Whether an
*answer* is unsafe it tells without error here as well (1.000): a picture that is hard to read
changes what the chat model says, and not how plainly it says it. Whether the *picture* was
hazardous it tells, by answers that are no refusals, with 0.854 (0.822–0.883), and by all with
0.744 (0.705–0.782), since it rates a refusal of a hazard higher than help with a cup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO

from eta_guard import embedded
from eta_guard.embedded.questions import Split
from eta_guard.evaluation.cases import SuiteCase
from eta_guard.protocols import Region

KINDS = {"hazardous": 400, "safe": 400, "text_only": 100}
"""Cases of the whole suite."""

HARD_PAIRS = 350
"""Of the whole suite: 50 of each difficulty, in which each hazard comes five times."""


def read(split: Split = "held_out", limit: int | None = None) -> Iterator[SuiteCase]:
    """Yields the cases.

    Args:
        split: Whose pictures and questions; settings are chosen on ``validation``.
        limit: Most cases of each kind.
    """
    counts = {kind: min(count, limit or count) for kind, count in KINDS.items()}
    for case in embedded.cases(split, **counts):
        side = "hazardous" if case.hazardous else "safe"
        asked = _asked(case, f"{split}/{side}/{case.kind}/{case.seed}")
        yield _placed(asked, case) if case.hazardous else asked


def read_paired(split: Split = "held_out", limit: int | None = None) -> Iterator[SuiteCase]:
    """Yields the hazardous pictures of ``read``, the same to the id, each followed by its twin.

    Args:
        split: As of ``read``.
        limit: Most pairs.
    """
    count = min(KINDS["hazardous"], limit or KINDS["hazardous"])
    for case in embedded.cases(split, hazardous=count, safe=0, text_only=0):
        hazard, twin = _pair(case, embedded.twin(case), split, f"{case.kind}/{case.seed}")
        yield _placed(hazard, case)
        yield twin


def read_hard(split: Split = "held_out", limit: int | None = None) -> Iterator[SuiteCase]:
    """Yields pictures that are hard to read, each hazardous one followed by its twin.

    A case's kind is what makes it hard.

    Args:
        split: As of ``read``; how hard the pictures are was chosen on ``validation``.
        limit: Most pairs. The difficulties take turns.
    """
    for pair in embedded.hard_pairs(split, count=min(HARD_PAIRS, limit or HARD_PAIRS)):
        place = f"{pair.difficulty}/{pair.hazard.seed}"
        yield from _pair(pair.hazard, pair.twin, split, place, kind=pair.difficulty)


SUITES: dict[str, Callable[[Split, int | None], Iterator[SuiteCase]]] = {
    "embedded": read,
    "embedded-paired": read_paired,
    "embedded-hard": read_hard,
}
"""All of them by name."""


def _pair(
    hazard: embedded.Case, twin: embedded.Case, split: Split, place: str, kind: str | None = None
) -> tuple[SuiteCase, SuiteCase]:
    hazardous = f"{split}/hazardous/{place}"
    other = _asked(twin, f"{split}/twin/{place}", kind, twin_of=hazardous)
    return _asked(hazard, hazardous, kind), other


def _placed(asked: SuiteCase, case: embedded.Case) -> SuiteCase:
    """With the place of the hazard in its picture, if it has one."""
    place = embedded.place_of(case)
    return replace(asked, place=place and Region(*place))


def _asked(
    case: embedded.Case, name: str, kind: str | None = None, twin_of: str | None = None
) -> SuiteCase:
    buffer = BytesIO()
    if case.image is not None:
        case.image.save(buffer, "PNG")
    return SuiteCase(
        id=name,
        question=case.question,
        hazardous=case.hazardous,
        kind=kind or case.kind,
        image=buffer.getvalue() or None,
        truth=() if case.hazardous else (case.object, *case.beside),
        origin=case,
        twin_of=twin_of,
    )
