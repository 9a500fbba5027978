"""What a chat model is asked with: settings that it has, less those that its provider refuses."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from threading import Lock
from typing import Any

from langchain_core.exceptions import ContextOverflowError, ModelInvalidRequestError
from langchain_core.language_models import BaseChatModel

from eta_guard.protocols import Generation

logger = logging.getLogger(__name__)

_NAMES = ("max_tokens", "temperature", "seed")
_WORDS = {"max_tokens": r"max_?(completion|output)?_?tokens"}
_UNKNOWN = re.compile(r"unexpected keyword argument '(\w+)'")
_TOO_LONG = re.compile(r"context (limit|length|window)", re.IGNORECASE)
"""Whoever says this names ``max_tokens`` as well, and means the conversation."""
_REFUSING = (400, 404, 422)
"""Statuses of HTTP by which a provider says that it does not take a request as it is."""


def asked_with(generation: Generation) -> dict[str, Any]:
    """The settings that somebody has made, as far as that can be told."""
    default = Generation()
    values = {name: getattr(generation, name) for name in _NAMES}
    return {name: value for name, value in values.items() if value != getattr(default, name)}


def fields_of(model: BaseChatModel, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings that a model has fields for, as its fields are to be."""
    fields = type(model).model_fields
    names = {field.alias: name for name, field in fields.items()} | {name: name for name in fields}
    known = {names[name]: value for name, value in asked.items() if name in names}
    if (model.profile or {}).get("temperature") is False:
        known.pop("temperature", None)
    longest = names.get("max_tokens")
    limit = getattr(model, longest, None) if longest else None
    if longest in known and isinstance(limit, int):
        known[longest] = min(limit, known[longest])
    return known


class Refused:
    """Settings that a provider has refused once, and is not sent again."""

    def __init__(self) -> None:
        """Begins with none."""
        self._names: frozenset[str] = frozenset()
        self._lock = Lock()

    def __reduce__(self) -> tuple[type[Refused], tuple[()]]:
        # A copy of the engine asks for itself: a lock cannot be copied.
        return Refused, ()

    def less(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The settings without those that were refused."""
        return {name: value for name, value in asked.items() if name not in self._names}

    def learns(self, error: Exception, sent: Mapping[str, Any]) -> bool:
        """Whether an error refuses some of the settings, which are then left out from now on.

        Calls that are under way at once may each be refused the same.

        Args:
            error: Of the provider, or of the client that speaks with it.
            sent: The settings that this call was made with.
        """
        refused = {name for name in sent if _refuses(error, name)}
        with self._lock:
            new = refused - self._names
            self._names |= refused
        if new:
            logger.warning(
                "The model refuses %s (%s); it is asked without from now on.",
                ", ".join(sorted(new)),
                type(error).__name__,
            )
        return bool(refused)


def _refuses(error: Exception, name: str) -> bool:
    word = re.compile(_WORDS.get(name, name), re.IGNORECASE)
    if isinstance(error, TypeError):
        unknown = _UNKNOWN.search(str(error))
        return unknown is not None and word.fullmatch(unknown[1]) is not None
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    invalid = isinstance(error, ModelInvalidRequestError) or status in _REFUSING
    if not invalid or isinstance(error, ContextOverflowError) or _TOO_LONG.search(str(error)):
        return False
    return re.search(rf"\b{word.pattern}\b", str(error), re.IGNORECASE) is not None
