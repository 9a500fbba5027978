"""The command line ``eta-guard``: one command a file, put together in ``app``."""

from __future__ import annotations

from eta_guard.cli.app import main

__all__ = ["main"]
