"""The notebooks run, and show what was committed."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from notebooks.run import HERE, NAMES, execute, read

LARGEST = 300_000
"""Bytes of a notebook, its pictures included."""
ALL = pytest.mark.parametrize("name", NAMES)
WARNING = "warnings.warn('late'); print('one'); print('progress', file=sys.stderr)\n'two'"
PICTURE = re.compile(r"base64,[A-Za-z0-9+/=]+")


def told(notebook: NotebookNode) -> list[list[dict[str, Any]]]:
    """What each cell shows, but for the bytes of pictures: they differ between libraries."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [[_output(output) for output in cell.outputs] for cell in cells]


def _output(output: NotebookNode) -> dict[str, Any]:
    if output.output_type == "stream":
        return {output.name: output.text}
    return {
        kind: None if kind.startswith("image/") else PICTURE.sub("base64,", value)
        for kind, value in output.data.items()
    }


@pytest.mark.loopback  # the kernel listens there
@pytest.mark.slow
@ALL
@pytest.mark.timeout(1800)
def test_a_fresh_run_shows_what_was_committed(name: str) -> None:
    committed = read(name)
    assert told(execute(deepcopy(committed))) == told(committed)


@pytest.mark.loopback
@pytest.mark.timeout(600)
def test_warnings_are_no_part_of_what_a_notebook_shows() -> None:
    quiet, warns = (
        new_notebook(cells=[new_code_cell(source)])
        for source in ("print('one')\n'two'", "import sys, warnings\n" + WARNING)
    )
    shown = told(execute(warns))
    assert shown == told(execute(quiet))
    assert shown == [[{"stdout": "one\n"}, {"text/plain": "'two'"}]]


@ALL
def test_all_cells_were_run_in_their_order_without_a_fault(name: str) -> None:
    cells = [cell for cell in read(name).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output.output_type for cell in cells for output in cell.outputs}
    assert kinds <= {"execute_result", "display_data"}


@ALL
def test_what_was_committed_is_small_and_knows_no_machine(name: str) -> None:
    text = (HERE / f"{name}.ipynb").read_text("utf-8")
    assert len(text) < LARGEST
    assert not re.search(r"/(home|root|tmp|work|usr|Users)/|site-packages|iopub", text)
    assert "image/png" in text


def test_a_stale_output_is_found() -> None:
    committed = read("one_request")
    fresh = deepcopy(committed)
    outputs = [
        output for cell in fresh.cells if cell.cell_type == "code" for output in cell.outputs
    ]
    (table,) = [one for one in outputs if "passes of" in one.get("data", {}).get("text/html", "")]
    table["data"]["text/html"] = table["data"]["text/html"].replace(">1<", ">2<")
    assert told(fresh) != told(committed)
