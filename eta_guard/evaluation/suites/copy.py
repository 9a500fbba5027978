"""A local copy of a published suite, and what to say where part of it is missing."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eta_guard.errors import InputError
from eta_guard.evaluation.cases import SuiteCase


@dataclass(frozen=True)
class Published:
    """A suite that others have published."""

    title: str
    home: str
    """Where it is published."""
    licence: str
    """Of the data, as its publisher states it."""
    read: Callable[[Copy], Iterator[SuiteCase]]

    def cases(self, folder: Path) -> list[SuiteCase]:
        """Reads a local copy whole, so that what is missing shows before anything is asked.

        Raises:
            InputError: Part of the copy is missing or damaged; the message says which.
        """
        copy = Copy(folder, self)
        if not folder.is_dir():
            raise copy.lacks(f"the folder {folder}")
        found = list(self.read(copy))
        if not found:
            raise copy.lacks("every case")
        return found


@dataclass(frozen=True)
class Copy:
    """The folder that holds a copy."""

    folder: Path
    suite: Published

    def lacks(self, what: str) -> InputError:
        """The error for what is missing."""
        return InputError(
            f"{self.suite.title}: {what} is missing.",
            hint=f"It is published at {self.suite.home} ({self.suite.licence});"
            " pass the folder of your copy with --data.",
        )

    def file(self, *names: str) -> Path:
        """The first of these files that is there.

        Raises:
            InputError: None is.
        """
        for name in names:
            if (self.folder / name).is_file():
                return self.folder / name
        raise self.lacks(f"{names[0]} in {self.folder}")

    def rows(self, path: Path, *columns: str) -> list[dict[str, str]]:
        """The rows of a CSV file that has these columns."""
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file)
                found = list(reader)
                there = reader.fieldnames or ()
        except (UnicodeDecodeError, csv.Error) as error:
            raise self._damaged(path, error) from error
        for column in columns:
            if column not in there:
                raise self.lacks(f"the column {column!r} of {path}")
        return found

    def first_cells(self, path: Path) -> list[str]:
        """The first cell of each line of a CSV file that may have no heading, spaces and all."""
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                return [row[0] for row in csv.reader(file) if row and row[0].strip()]
        except (UnicodeDecodeError, csv.Error) as error:
            raise self._damaged(path, error) from error

    def entries(self, path: Path) -> dict[str, Any]:
        """The entries of a JSON file ``{"0": {…}}``."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise self._damaged(path, error) from error
        if not isinstance(found, dict):
            raise self._damaged(path, TypeError("it holds no object"))
        return found

    def field(self, entry: Any, name: str, path: Path) -> Any:
        """One field of an entry of a JSON file."""
        if not isinstance(entry, dict) or name not in entry:
            raise self.lacks(f"the field {name!r} of an entry in {path}")
        return entry[name]

    def _damaged(self, path: Path, error: Exception) -> InputError:
        return InputError(
            f"{self.suite.title}: {path} cannot be read ({error}).",
            hint=f"Get it anew from {self.suite.home}.",
        )
