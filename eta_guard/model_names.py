"""Names of models as users write them."""

from __future__ import annotations

from pathlib import Path


def pinned(name: str) -> tuple[str, str | None]:
    """A repository and the revision behind the ``@``; a directory's name is left alone."""
    if Path(name).is_dir():
        return name, None
    repository, _, revision = name.partition("@")
    return repository, revision or None
