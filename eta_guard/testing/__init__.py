"""Conformance suites for the seams: whoever writes an engine or an evaluator can test it by them.

They are in the way of ``langchain-tests``: subclass a suite in a test file, say what is tested by a
fixture, and what pytest should know of it by properties. Each test checks one rule of the seam's
contract (``eta_guard.protocols``), and says in its docstring what to look at if it fails. A rule
that is known not to hold is overridden with ``@pytest.mark.xfail(reason=…)``, never left out.

Example::

    import pytest
    from eta_guard.testing import ImageEvaluatorTests

    class TestMine(ImageEvaluatorTests):
        @pytest.fixture
        def image_evaluator(self):
            return MyImageEvaluator()

What is slow to load is kept by a function with ``functools.cache`` that the fixture calls. Nothing
but pytest (9 or newer) is needed: asynchronous forms are run by ``asyncio.run``.
"""

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{module}" for module in ("common", "evaluators", "images")),
    *(f"{__name__}.{module}" for module in ("response_sessions", "responses")),
    *(f"{__name__}.engine_{part}" for part in ("base", "answers", "search")),
)

from eta_guard.testing.engines import EngineTests  # noqa: E402
from eta_guard.testing.images import ImageEvaluatorTests  # noqa: E402
from eta_guard.testing.responses import ResponseEvaluatorTests  # noqa: E402

__all__ = ["EngineTests", "ImageEvaluatorTests", "ResponseEvaluatorTests"]
