"""All suites by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from eta_guard.embedded.questions import Split
from eta_guard.errors import InputError
from eta_guard.evaluation.cases import Suite, SuiteCase
from eta_guard.evaluation.suites import embedded, own
from eta_guard.evaluation.suites.advbench import ADVBENCH
from eta_guard.evaluation.suites.copy import Published
from eta_guard.evaluation.suites.figstep import figstep
from eta_guard.evaluation.suites.mm_safetybench import mm_safetybench
from eta_guard.evaluation.suites.mossbench import MOSSBENCH
from eta_guard.evaluation.suites.spa_vl import spa_vl
from eta_guard.evaluation.suites.visual_adversarial import VISUAL_ADVERSARIAL
from eta_guard.evaluation.suites.xstest import XSTEST

PUBLISHED: dict[str, Published] = {
    "spa-vl-harm": spa_vl("harm"),
    "spa-vl-help": spa_vl("help"),
    "mm-safetybench-sd": mm_safetybench("SD"),
    "mm-safetybench-typo": mm_safetybench("TYPO"),
    "mm-safetybench-sd-typo": mm_safetybench("SD_TYPO"),
    "figstep": figstep(suffix=False),
    "figstep-suffix": figstep(suffix=True),
    "advbench": ADVBENCH,
    "visual-adversarial": VISUAL_ADVERSARIAL,
    "xstest": XSTEST,
    "mossbench": MOSSBENCH,
}
"""Suites that are read from a local copy."""

NAMES = (*embedded.SUITES, *PUBLISHED)


def read_suite(
    name: str,
    *,
    data: Path | None = None,
    split: Split = "held_out",
    limit: int | None = None,
) -> Suite:
    """Reads a suite.

    Args:
        name: One of ``NAMES``, or the path of a JSONL file of your own.
        data: The folder that holds the local copy of a published suite.
        split: Of the embedded suites.
        limit: Most hazardous pictures, hazardous texts, and safe requests each.

    Raises:
        InputError: There is no such suite, or part of its copy is missing.
    """
    if name in embedded.SUITES:
        return Suite(name, tuple(embedded.SUITES[name](split, limit)), split)
    if name.endswith(".jsonl"):
        return Suite(name, tuple(limited(own.read(Path(name)), limit)))
    if name not in PUBLISHED:
        raise InputError(
            f"There is no suite {name!r}.",
            hint=f"The suites are: {', '.join(NAMES)}, or the path of your own .jsonl file.",
        )
    suite = PUBLISHED[name]
    if data is None:
        raise InputError(
            f"{suite.title} is read from a local copy.",
            hint=f"Get it from {suite.home} ({suite.licence}) and pass its folder with --data.",
        )
    return Suite(name, tuple(limited(suite.cases(data), limit)))


def limited(cases: Iterable[SuiteCase], limit: int | None) -> Iterator[SuiteCase]:
    """The first cases of each kind."""
    seen: Counter[tuple[bool, bool]] = Counter()
    for case in cases:
        kind = case.hazardous, case.hazardous and case.image is not None
        seen[kind] += 1
        if limit is None or seen[kind] <= limit:
            yield case
