"""Executes the notebooks and puts the fresh outputs into them: ``python -m notebooks.run``."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

HERE = Path(__file__).parent
NAMES = tuple(sorted(path.stem for path in HERE.glob("*.ipynb")))
LONGEST = 900
"""Seconds that one cell may take, on a slow machine beside other work."""


def read(name: str) -> NotebookNode:
    """A notebook as it was committed."""
    found: NotebookNode = nbformat.read(HERE / f"{name}.ipynb", as_version=4)
    return found


def execute(notebook: NotebookNode) -> NotebookNode:
    """Runs all cells in a fresh kernel of this Python, and drops what differs from run to run.

    So go warnings and all else on stderr: they tell of the releases that happen to be installed.

    Raises:
        CellExecutionError: A cell failed.
    """
    client = NotebookClient(
        notebook,
        timeout=LONGEST,
        record_timing=False,
        # Cells come from this repository, and only this process knows the key that signs them: a
        # warning that the way to the kernel is not encrypted says nothing new.
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(HERE)}},
    )
    done: NotebookNode = client.execute()
    for cell in done.cells:
        if cell.cell_type == "code":
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
    done.metadata = NotebookNode(
        kernelspec={"name": "python3", "display_name": "Python 3", "language": "python"},
        language_info={"name": "python"},
    )
    return done


def main(names: list[str]) -> None:
    """Executes some notebooks, or all of them."""
    for name in names or NAMES:
        done = execute(read(name))
        nbformat.write(done, HERE / f"{name}.ipynb")


if __name__ == "__main__":
    main(sys.argv[1:])
