"""What a chat model is asked with: settings that it has, less those that its provider refuses."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from threading import Lock
from typing import Any

from langchain_core.language_models import BaseChatModel

from eta_guard.protocols import Generation

logger = logging.getLogger(__name__)

_NAMES = ("max_tokens", "temperature", "seed")
_WORDS = {"max_tokens": r"max_(completion_|output_)?tokens"}
_UNKNOWN = re.compile(r"unexpected keyword argument '(\w+)'")
_REFUSING = (400, 404, 422)
"""Statuses of HTTP by which a provider says that it does not take a request as it is."""


def asked_with(generation: Generation) -> dict[str, Any]:
    """The settings that somebody has made, as far as that can be told."""
    default = Generation()
    values = {name: getattr(generation, name) for name in _NAMES}
    return {name: value for name, value in values.items() if value != getattr(default, name)}


def fields_of(model: BaseChatModel, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings that a model has fields for, as its fields are to be."""
    known = {name: value for name, value in asked.items() if name in type(model).model_fields}
    if (model.profile or {}).get("temperature") is False:
        known.pop("temperature", None)
    limit = getattr(model, "max_tokens", None)
    if "max_tokens" in known and isinstance(limit, int):
        known["max_tokens"] = min(limit, known["max_tokens"])
    return known


class Refused:
    """Settings that a provider has refused once, and is not sent again."""

    def __init__(self) -> None:
        """Begins with none."""
        self._names: frozenset[str] = frozenset()
        self._lock = Lock()

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
    word = _WORDS.get(name, name)
    if isinstance(error, TypeError):
        unknown = _UNKNOWN.search(str(error))
        return unknown is not None and re.fullmatch(word, unknown[1]) is not None
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    return status in _REFUSING and re.search(rf"\b{word}\b", str(error)) is not None
