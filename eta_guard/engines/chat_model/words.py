"""The words of a block: what a reader could read in it, without ids, signatures and files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

_OPAQUE_KEY = re.compile(
    r"(.*_)?id|type|index|status|mime_type|format|phase|language|data|base64|url"
    r"|encrypted_.*|(thought_?)?signature",
    re.IGNORECASE,
)
_OPAQUE_VALUE = re.compile(r"data:\S*|[\w+/=-]{64,}")


def words_of(value: object) -> str:
    """The words at any depth of a value, a line each; empty if there are none.

    Args:
        value: Of JSON.
    """
    return "\n".join(_words(value))


def _words(value: object) -> Iterator[str]:
    if isinstance(value, str):
        if value.strip() and not _OPAQUE_VALUE.fullmatch(value):
            yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if not _OPAQUE_KEY.fullmatch(str(key)):
                yield from _words(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _words(inner)
