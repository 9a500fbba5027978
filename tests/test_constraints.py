"""What is installed by the README's lines: ``.ci/constraints.txt`` against ``pyproject.toml``."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LINES = (ROOT / ".ci" / "constraints.txt").read_text("utf-8").splitlines()
PINNED = dict(line.split("==") for line in LINES if "==" in line)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
REQUIRED = [
    Requirement(line)
    for lines in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for line in lines
    if not line.startswith("eta_guard")
]
ALL = pytest.mark.parametrize("required", REQUIRED, ids=lambda one: one.name)


def test_a_line_is_a_name_and_a_version() -> None:
    assert not [line for line in LINES if not re.fullmatch(r"[a-z0-9._-]+==[a-z0-9.]+", line)]


@ALL
def test_a_pin_fits_what_the_project_asks_for(required: Requirement) -> None:
    assert required.specifier.contains(PINNED[canonicalize_name(required.name)])


@ALL
def test_a_requirement_has_a_floor_and_no_next_major(required: Requirement) -> None:
    operators = {one.operator for one in required.specifier}
    assert {">=", "<"} <= operators


def test_torch_and_torchvision_are_the_pair_that_is_to_be_had_everywhere() -> None:
    assert (PINNED["torch"], PINNED["torchvision"]) == ("2.14.1", "0.29.1")
    assert int(PINNED["pillow"].split(".")[0]) < 13  # for gradio
