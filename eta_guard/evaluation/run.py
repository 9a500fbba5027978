"""A run: every case of a suite asked by every method, each record kept as soon as it is there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eta_guard.evaluation.figures import same_test
from eta_guard.evaluation.figures.attacks import attacks
from eta_guard.evaluation.figures.comparisons import comparison
from eta_guard.evaluation.figures.evaluators import evaluators
from eta_guard.evaluation.figures.places import places
from eta_guard.evaluation.figures.rows import row
from eta_guard.evaluation.results import ResultsFile
from eta_guard.evaluation.spread.here import Here

if TYPE_CHECKING:
    from eta_guard.evaluation.cases import Suite, SuiteCase
    from eta_guard.evaluation.records import CaseRecord
    from eta_guard.evaluation.setup import Setup
    from eta_guard.evaluation.spread.protocol import Asked, Spread

Progress = Callable[[int, int], None]
"""Is told how many cases are done, and how many there are: once before the first is asked, when
the models are loaded, and after each."""


class EvaluationRun:
    """Measures methods side by side on a suite; ``eta-guard evaluate`` is this on a terminal.

    The records of a run that was given ``out`` are on the disk, each as it ends. Whatever stops
    it, a run of the same suite and setup with the same ``out`` goes on from there.

    Args:
        suite: What is asked.
        setup: Models, judge, methods and policy.
        out: A folder that keeps the records; without one they are kept in memory alone.
        spread: Where the cases are asked; in this process, one after another, without it.

    Raises:
        InputError: ``out`` holds results of another suite or setup.

    Example:
        >>> run = EvaluationRun(read_suite("embedded"), Setup(judge="grammar"), out="runs/embedded")
        >>> for record in run.records():
        ...     print(record.id, record.answers["full"].judgement.outcome)
        >>> run.write_page("report.html")
    """

    def __init__(
        self,
        suite: Suite,
        setup: Setup,
        *,
        out: Path | str | None = None,
        spread: Spread | None = None,
    ) -> None:
        self.suite = suite
        self.setup = setup
        self.out = None if out is None else Path(out)
        self._spread: Spread = spread or Here()
        self._records: dict[str, CaseRecord] = {}
        self._file: ResultsFile | None = None
        if self.out is not None:
            self._file = ResultsFile(self.out, {"suite": suite.label, **setup.configuration})
            self._file.missing(suite.cases)  # raises where a case is another one now
            self._records.update(self._file.records)

    @property
    def missing(self) -> list[SuiteCase]:
        """The cases that are still to be asked."""
        return [case for case in self.suite.cases if case.id not in self._records]

    @property
    def total(self) -> int:
        """How many cases there are."""
        return len(self.suite.cases)

    @property
    def done(self) -> int:
        """How many of them have been asked."""
        return self.total - len(self.missing)

    def records(self, progress: Progress | None = None) -> Asked:
        """Yields a record a case: those of before in the suite's order, then each as it ends.

        Whoever looks no further closes the generator, which ends the work.

        Raises:
            EtaGuardError: A model cannot be loaded, a case cannot be read, or an engine failed.
                A judge or an evaluator that fails is recorded instead.
        """
        missing = self.missing
        yield from [self._records[c.id] for c in self.suite.cases if c.id in self._records]
        if not missing:
            return
        with closing(self._spread(missing, self.setup)) as asked:
            before = self.done
            if progress:
                progress(before, self.total)
            for done, record in enumerate(asked, start=before + 1):
                if self._file:
                    self._file.append(record)
                self._records[record.id] = record
                if progress:
                    progress(done, self.total)
                yield record

    def finish(self, progress: Progress | None = None) -> list[CaseRecord]:
        """Asks what is missing, and returns all records in the order of the cases."""
        for _ in self.records(progress):
            pass
        return [self._records[case.id] for case in self.suite.cases]

    def figures(self) -> dict[str, Any]:
        """What ``eta-guard evaluate --json`` prints; asks what is missing.

        Returns:
            ``rows``, the figures of a method each; ``evaluators``, what each evaluator flags, alone
            and together; ``places``, how near the regions that they tell come to the hazards;
            ``comparisons``, win-tie rates; ``attacks``, what each attack comes to
            (None without any); and ``paper``, the published figures, with what differs.
        """
        records = self.finish()
        return {
            "suite": self.suite.name,
            "split": self.suite.split,
            "judge": self.setup.judge_name,
            "rows": [row(name, records) for name in self.setup.methods],
            "evaluators": evaluators(records, self.setup.policy),
            "places": places(records),
            "comparisons": [comparison(":".join(p), records) for p in self.setup.comparisons],
            "attacks": attacks(records),
            "paper": same_test.beside(self.suite.name, self.setup, records),
        }

    def write_page(self, path: Path | str) -> None:
        """Writes one self-contained HTML page that shows it all; asks what is missing."""
        from eta_guard.evaluation.page.write import write_report

        figures, records = self.figures(), self.finish()
        write_report(
            Path(path), suite=self.suite, setup=self.setup, figures=figures, records=records
        )
