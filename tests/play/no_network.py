"""Runs ``eta-guard`` in a process that reaches this machine alone, and writes down what it tried.

Usage: ``python -m tests.play.no_network FILE ARGUMENTS``
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

_HERE = ("127.0.0.1", "localhost", "::1", "0.0.0.0", "", None)


def refuse_others(written: Path) -> None:
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def refused(host: Any) -> None:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in _HERE:
            with written.open("a") as file:
                file.write(f"{name}\n")
            raise OSError(f"no way to {name}")

    def to(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            refused(address[0])
        connect(self, address)

    def known(host: Any, *more: Any, **named: Any) -> Any:
        refused(host)
        return look_up(host, *more, **named)

    socket.socket.connect = to  # type: ignore[method-assign, assignment]
    socket.getaddrinfo = known


if __name__ == "__main__":
    refuse_others(Path(sys.argv[1]))
    from eta_guard.cli import main

    sys.exit(main(sys.argv[2:]))
