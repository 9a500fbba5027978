"""The rules for ``Engine`` and its sessions."""

from __future__ import annotations

from eta_guard.testing.engine_answers import EngineAnswerTests
from eta_guard.testing.engine_search import EngineSearchTests


class EngineTests(EngineAnswerTests, EngineSearchTests):
    """Conformance suite for an ``Engine``.

    A subclass overrides the fixture ``engine``, and where it wants the properties
    ``supports_pictures``, ``supports_budget``, ``is_reproducible`` (what the engine can do), and
    ``question``, ``prefix``, ``generation``, ``sampling`` (what it is asked with).
    """
