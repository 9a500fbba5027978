"""Asks what has not been asked yet, here or on workers, and keeps each case as it ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from eta_guard.cli.console import stderr
from eta_guard.cli.options import ModelChoice
from eta_guard.evaluation.spread.processes import cores, in_processes

if TYPE_CHECKING:
    from eta_guard.evaluation.cases import SuiteCase
    from eta_guard.evaluation.records import CaseRecord
    from eta_guard.evaluation.results import ResultsFile
    from eta_guard.evaluation.setup import Setup

FEW = 60
"""Cases that one process has asked before a second one has loaded its models."""


def answered(
    cases: Sequence[SuiteCase],
    setup: Setup,
    choice: ModelChoice,
    results: ResultsFile | None,
    *,
    ray: str | None = None,
    workers: int | None = None,
) -> list[CaseRecord]:
    """Asks what has not been asked, and returns a record for every case, in their order.

    Args:
        cases: All that are wanted.
        setup: How they are asked.
        choice: The models that ``setup`` names, as the options did.
        results: Holds what was asked before, and keeps what is asked now.
        ray: Address of a Ray cluster; None without Ray.
        workers: How many processes, each with models of its own. Without a wish, two of Ray's; of
            the small models one a core; of others one.
    """
    from eta_guard.cli.progress import progress

    records = dict(results.records) if results else {}
    missing = results.missing(cases) if results else list(cases)
    if missing:
        if ray is not None:
            source = _spread(missing, setup, ray, workers or 2)
        elif (count := workers or _fitting(choice, len(missing))) > 1:
            source = in_processes(missing, setup, workers=count)
        else:
            source = _run_here(setup, choice, missing)
        with progress("Asking", len(cases) - len(missing), len(cases)) as advance:
            _keep(source, records, results, advance, len(cases))
    return [records[case.id] for case in cases]


def _fitting(choice: ModelChoice, cases: int) -> int:
    return cores() if choice.only_embedded and cases > FEW else 1


def _run_here(
    setup: Setup, choice: ModelChoice, cases: Iterable[SuiteCase]
) -> Iterator[CaseRecord]:
    from eta_guard.cli.loading import load_models

    runner = setup.runner(load_models(choice))
    return map(runner.run, cases)


def _spread(
    cases: Sequence[SuiteCase], setup: Setup, address: str, workers: int
) -> Iterator[CaseRecord]:
    from eta_guard.evaluation.spread.ray_workers import spread

    # Ray tells of workers that died on stdout, where nothing but the result belongs.
    with redirect_stdout(sys.stderr):
        yield from spread(cases, setup, address=address, workers=workers)


def _keep(
    source: Iterator[CaseRecord],
    records: dict[str, CaseRecord],
    results: ResultsFile | None,
    advance: Callable[[], None],
    total: int,
) -> None:
    try:
        for record in source:
            records[record.id] = record
            if results:
                results.append(record)
            advance()
    except BaseException:
        if results:
            done = len(results.records)
            stderr().print(
                f"{done} of {total} cases are kept in {results.folder}; the same command goes on"
                " from there.",
                soft_wrap=True,
            )
        raise
