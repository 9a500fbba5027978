from __future__ import annotations

import pytest

from eta_guard.evaluation import Suite, read_suite
from eta_guard.evaluation.attacks.attack import Surroundings
from eta_guard.evaluation.cases import SuiteCase


@pytest.fixture(scope="package")
def suite() -> Suite:
    return read_suite("embedded-paired", limit=12)


@pytest.fixture(scope="package")
def pair(suite: Suite) -> tuple[SuiteCase, SuiteCase]:
    """A hazardous pictogram and its twin."""
    return next(pair for pair in suite.pairs if pair[0].kind == "pictogram")


@pytest.fixture
def around(suite: Suite) -> Surroundings:
    return Surroundings([case for case in suite.cases if not case.hazardous])
