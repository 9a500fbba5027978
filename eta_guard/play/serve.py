"""Serves the page on this machine alone, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from eta_guard.errors import InputError
from eta_guard.guard import EtaGuard
from eta_guard.play.scores import KnownScores

LOOPBACK = "127.0.0.1"


def require_gradio() -> None:
    """Says what to install where the page cannot be made.

    Raises:
        InputError: The extra is not installed.
    """
    if find_spec("gradio") is None:
        raise InputError("The playground needs Gradio.", hint="Install `eta_guard[play]`.")


@contextmanager
def serving(
    guard: EtaGuard,
    scores: KnownScores,
    *,
    models: Mapping[str, Any] | None = None,
    port: int | None = None,
) -> Iterator[str]:
    """Serves the page within the block.

    Args:
        guard: Is tried out.
        scores: Known ones, for the histograms.
        models: Arguments of ``load_parts`` that load the guard's models.
        port: The first free one from 7860 on without it.

    Yields:
        The page's address.

    Raises:
        InputError: The port is taken.
    """
    folder = Path(tempfile.mkdtemp(prefix="eta-guard-play-"))  # for this user alone
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    # Before Gradio is imported: it would tell its makers that it is.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        from eta_guard.play import page
        from eta_guard.play.playground import Playground

        blocks = page.build(Playground(guard, scores, folder, models or {}))
        try:
            _, address, _ = blocks.launch(
                server_name=LOOPBACK,
                server_port=port,
                share=False,
                inbrowser=False,
                prevent_thread_lock=True,
                quiet=True,
                ssr_mode=False,
                enable_monitoring=False,
                mcp_server=False,
                footer_links=[],
                theme=page.THEME,
                css_paths=[page.STYLE],
            )
        except OSError as error:
            raise InputError(
                f"Port {port} is taken." if port else "No port is free.",
                hint="Choose another: --port 7900.",
            ) from error
        try:
            yield address
        finally:
            blocks.close(verbose=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
