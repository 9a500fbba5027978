"""What this process holds: memory, threads, open files and connections."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
from dataclasses import dataclass
from pathlib import Path

_SELF = Path("/proc/self")
_M_ARENA_MAX = -8
"""Of glibc's ``malloc.h``."""


@dataclass(frozen=True)
class Held:
    """Counts at one moment. None: this system does not tell."""

    threads: frozenset[threading.Thread]
    memory: int | None
    """Resident, in bytes."""
    connections: int | None
    """Sockets of any kind."""
    files: int | None
    """All other descriptors."""

    @classmethod
    def now(cls) -> Held:
        """Counts what is held once nothing waits to be collected or given back."""
        gc.collect()
        _give_back()
        opened = _descriptors()
        sockets = None if opened is None else sum(one.startswith("socket:") for one in opened)
        return cls(
            threads=frozenset(threading.enumerate()),
            memory=_resident(),
            connections=sockets,
            files=None if opened is None or sockets is None else len(opened) - sockets,
        )


def in_one_arena() -> None:
    """Has glibc serve all threads from one heap, if this is glibc and none has begun yet.

    Of its own accord it gives every new thread another one, up to eight a core, and what is free in
    one is of no use to the others: memory that grows with the threads there have been, and leaks
    nothing. In a service the environment variable ``MALLOC_ARENA_MAX`` does the same.
    """
    if (choose := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        choose(_M_ARENA_MAX, 1)


def _give_back() -> None:
    """Has glibc return what is free."""
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


def _resident() -> int | None:
    try:
        pages = int((_SELF / "statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _descriptors() -> list[str] | None:
    try:
        names = os.listdir(_SELF / "fd")
    except OSError:
        return None
    found = []
    for name in names:
        try:
            found.append(os.readlink(_SELF / "fd" / name))
        except OSError:  # the one by which they were listed is closed by now
            continue
    return found
