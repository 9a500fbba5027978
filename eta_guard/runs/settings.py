"""The settings that a chat model is made with: a name that is unknown is an error."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from pydantic import BaseModel


def check_settings(model: type[BaseModel], names: Iterable[str]) -> None:
    """Checks that a model has a field for each name; LangChain would drop what it does not know.

    Raises:
        TypeError: It has none for one of them, which would leave a default in force unseen.
    """
    fields = model.model_fields
    known = {*fields, *(field.alias for field in fields.values() if field.alias)}
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{model.__name__} has no setting {name!r}.{hint}")
