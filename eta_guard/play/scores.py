"""Scores that thresholds are chosen over: of a calibration's cases, or of the sample pictures."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Thread
from typing import NamedTuple, get_args

from langchain_core.messages import HumanMessage
from pydantic import ValidationError

from eta_guard.embedded import samples
from eta_guard.errors import InputError, log_failure
from eta_guard.evaluation.findings import Scores
from eta_guard.evaluation.records import CaseRecord
from eta_guard.evaluation.results import CASES
from eta_guard.guard import EtaGuard
from eta_guard.panel.evaluation import CombinedEvaluation, Kind
from eta_guard.request.from_file import read_request

logger = logging.getLogger(__name__)


class Score(NamedTuple):
    """What one case scored."""

    value: float
    hazardous: bool
    """Of pictures, that they are; of answers, that they are known to be unsafe, or else that they
    are to a hazardous picture."""


class KnownScores:
    """Scores by kind and evaluator; they may still be coming in."""

    def __init__(self, told: str) -> None:
        self.told = told
        """Whose they are."""
        self.complete = False
        self._found: dict[tuple[Kind, str], list[Score]] = {}

    def of(self, kind: Kind, evaluator: str) -> list[Score]:
        """Those of one evaluator."""
        return self._found.get((kind, evaluator), [])

    def add(self, kind: Kind, evaluator: str, score: Score) -> None:
        """Adds one."""
        self._found.setdefault((kind, evaluator), []).append(score)


def of_calibration(folder: Path) -> KnownScores:
    """Reads what ``eta-guard calibrate --out`` (or ``evaluate --out``) has kept.

    Raises:
        InputError: There are no such results.
    """
    path = folder / CASES if folder.is_dir() else folder
    try:
        lines = path.read_text("utf-8").splitlines()
        records = [CaseRecord.model_validate_json(line) for line in lines if line.strip()]
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise InputError(
            f"{folder} holds no results that can be read ({type(error).__name__}).",
            hint="Give the folder of eta-guard calibrate --out FOLDER.",
        ) from error
    known = KnownScores(f"{len(records)} cases of {folder.name}")
    for kind in get_args(Kind):
        found = Scores.of(records, kind)
        for place, one in enumerate(found.evaluators):
            alone = found.alone(place)
            for value, unsafe in zip(alone.scores, alone.unsafe, strict=True):
                known.add(kind, one.name, Score(one.sign * float(value), bool(unsafe)))
    known.complete = True
    return known


def of_samples(guard: EtaGuard) -> KnownScores:
    """Has the sample pictures and the plain answers to them scored, beside whatever else goes on.

    Returns:
        Scores that come in until they are ``complete``.
    """
    known = KnownScores("the sample pictures, and the plain answers to them")
    Thread(target=_score_samples, args=(guard, known), daemon=True).start()
    return known


def _score_samples(guard: EtaGuard, known: KnownScores) -> None:
    observing = {"mode": "observe", "short_circuit": False, "on_unscored": "unsafe"}
    watching = guard.with_policy(guard.policy.updated(observing))
    try:
        for sample in samples():
            message, _ = read_request(sample.path, sample.question)
            for kind, evaluator, score in _scored(watching, message):
                known.add(kind, evaluator, Score(score, sample.hazardous))
    except Exception as error:  # the page does without
        log_failure(logger, "Scoring the sample pictures", error)
    known.complete = True


def _scored(guard: EtaGuard, message: HumanMessage) -> Iterator[tuple[Kind, str, float]]:
    verdict = guard.evaluate([message, guard.invoke([message])])
    yield from _scores("image", [verdict.image])
    yield from _scores("response", [verdict.response])


def _scores(
    kind: Kind, found: Sequence[CombinedEvaluation | None]
) -> Iterator[tuple[Kind, str, float]]:
    for one in found:
        for finding in one.findings if one else ():
            if finding.score is not None:
                yield kind, finding.evaluator, finding.score
