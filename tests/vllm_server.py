"""Starts a real vLLM over the shipped models, for the tests marked ``vllm``."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import httpx
import pytest

SCRIPT = Path(__file__).parent.parent / ".ci" / "vllm"
LONGEST = 400
"""Seconds from start to first answer: 40 on two quiet cores, several times that on busy ones."""
NO_ENVIRONMENT = 3
"""How the script ends where vLLM was never installed."""


@contextmanager
def serving(model: Literal["chat", "reward"], log: Path, *options: str) -> Iterator[str]:
    """Serves a shipped model on this machine while the context lasts; gives the address.

    Options are vLLM's; ``--model`` has it serve another one in the same way.

    The test is skipped where there is no vLLM, and fails where it does not start.
    """
    port = _free_port()
    with log.open("w") as written:
        server = subprocess.Popen(
            [SCRIPT, model, "--port", str(port), *options],
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(server, address, log)
        yield address
    finally:
        _end(server)


def metric(address: str, name: str, **labels: str) -> float:
    """One of the server's own metrics, summed over all labels but those that are given."""
    total = 0.0
    for line in httpx.get(f"{address}/metrics").raise_for_status().text.splitlines():
        found = re.fullmatch(rf"vllm:{name}(?:{{(.*)}})? (\S+)", line)
        if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
            total += float(found[2])
    return total


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        if server.poll() == NO_ENVIRONMENT:
            pytest.skip(log.read_text().strip())
        if server.returncode is not None:
            break
        with suppress(httpx.TransportError):
            if httpx.get(f"{address}/health").status_code == httpx.codes.OK:
                return
        time.sleep(1)
    pytest.fail(f"vLLM did not start:\n{log.read_text()[-4000:]}", pytrace=False)


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ends the server and the workers that it has started."""
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(20)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
