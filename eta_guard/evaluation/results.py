"""The results of a run on disk: written case by case, so that nothing is lost when it stops."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eta_guard.errors import InputError
from eta_guard.evaluation.cases import SuiteCase
from eta_guard.evaluation.records import CaseRecord

logger = logging.getLogger(__name__)

SCHEMA = 3
"""Of the records; results of another one cannot be continued."""

CONFIGURATION, CASES = "run.json", "cases.jsonl"


class ResultsFile:
    """A folder with the configuration of a run and a line for each case that has ended.

    Args:
        folder: Made where it is missing.
        configuration: Whatever the answers depend on. A folder that holds answers of another
            configuration is left alone.

    Raises:
        InputError: The folder holds results of another configuration, or is no results folder.
    """

    def __init__(self, folder: Path, configuration: Mapping[str, Any]) -> None:
        self.folder = folder
        self.records: dict[str, CaseRecord] = {}
        """What has been written, by the id of the case."""
        given = json.loads(json.dumps({"schema": SCHEMA, **configuration}))
        folder.mkdir(parents=True, exist_ok=True)
        described = folder / CONFIGURATION
        if described.exists():
            _compare(_read_configuration(described), given, folder)
        else:
            if (folder / CASES).exists():
                raise InputError(
                    f"{folder} holds {CASES} but no {CONFIGURATION}.",
                    hint="Choose another --out, or remove what is left there.",
                )
            _write_whole(described, json.dumps(given, indent=2) + "\n")
        self._path = folder / CASES
        self._read()

    def append(self, record: CaseRecord) -> None:
        """Writes one case; it is on the disk when this returns.

        Raises:
            InputError: The models are not those of the cases before it.
            OSError: It cannot be written; what was written before stays whole.
        """
        first = next(iter(self.records.values()), record)
        if first.models != record.models:
            raise InputError(
                f"{self.folder} holds answers of other weights under the same names.",
                hint="Choose another --out.",
            )
        line = record.model_dump_json().encode() + b"\n"
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            end = os.fstat(file).st_size
            try:
                _write(file, line, self._path)
                os.fsync(file)
            except BaseException:  # a full disk may have taken half of the line
                os.ftruncate(file, end)
                raise
        finally:
            os.close(file)
        self.records[record.id] = record

    def missing(self, cases: Sequence[SuiteCase]) -> list[SuiteCase]:
        """The cases that are still to be asked.

        Raises:
            InputError: A case that was asked is another one now.
        """
        for case in cases:
            found = self.records.get(case.id)
            if found is not None and found.question != case.question:
                raise InputError(
                    f"{self.folder}: case {case.id} was another question then.",
                    hint="The copy of the suite has changed; choose another --out.",
                )
        return [case for case in cases if case.id not in self.records]

    def _read(self) -> None:
        data = self._path.read_bytes() if self._path.exists() else b""
        whole = data.rfind(b"\n") + 1
        if whole < len(data):  # the process died while it wrote this line
            os.truncate(self._path, whole)
        damaged = 0
        for line in data[:whole].splitlines():
            try:
                record = CaseRecord.model_validate_json(line)
            except ValidationError:
                damaged += 1
                continue
            self.records.setdefault(record.id, record)
        if damaged:
            logger.warning("%s: %d damaged lines; these cases are asked again.", CASES, damaged)


def _read_configuration(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{path} is no configuration of a run.", hint="Choose another --out.")
    return found


def _compare(found: Mapping[str, Any], given: Mapping[str, Any], folder: Path) -> None:
    for name in [*given, *(set(found) - set(given))]:
        if found.get(name) != given.get(name):
            there, here = (_shown(values.get(name)) for values in (found, given))
            raise InputError(
                f"{folder} holds results of another configuration: {name} was {there}, is {here}.",
                hint="Run the same command as before, or choose another --out.",
            )


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:120]}…"


def _write(file: int, data: bytes, path: Path) -> None:
    while data:
        try:
            data = data[os.write(file, data) :]
        except OSError as error:
            error.filename = str(path)
            raise


def _write_whole(path: Path, text: str) -> None:
    """Either the whole file or none of it."""
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
