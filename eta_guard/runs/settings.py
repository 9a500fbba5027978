"""The settings that a chat model is made with: a name that is unknown is an error."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from difflib import get_close_matches

from pydantic import BaseModel

logger = logging.getLogger(__name__)

_STANDARD = {"timeout", "max_retries", "api_key", "base_url", "streaming"}
"""LangChain's standard parameters of a chat model that are about how it asks over a network."""


def check_settings(model: type[BaseModel], names: Iterable[str]) -> None:
    """Checks that a model has a field for each name; LangChain would drop what it does not know.

    Raises:
        TypeError: It has none for one of them, which would leave a default in force unseen. What
            LangChain sets on any chat model and this one has no use for is logged.
    """
    fields = model.model_fields
    known = {*fields, *(field.alias for field in fields.values() if field.alias)}
    for name in names:
        if name in _STANDARD - known:
            logger.warning("%s has no use for %s: it is ignored.", model.__name__, name)
        elif name not in known:
            near = get_close_matches(name, known, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{model.__name__} has no setting {name!r}.{hint}")
