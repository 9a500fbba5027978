"""Names of models as users write them."""

from __future__ import annotations

import re
from pathlib import Path

_SERVED = re.compile(r"(?P<model>.+?)@(?P<server>https?://.+)")


def served(name: str) -> tuple[str, str] | None:
    """The model and the address in ``NAME@URL``; None for one that is not on a server."""
    found = _SERVED.fullmatch(name)
    return (found["model"], found["server"]) if found else None


def pinned(name: str) -> tuple[str, str | None]:
    """A repository and the revision behind the ``@``; a directory's name is left alone."""
    if Path(name).is_dir():
        return name, None
    repository, _, revision = name.partition("@")
    return repository, revision or None
