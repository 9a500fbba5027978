"""ContextLengthError, apart from the other errors: it needs LangChain, which is slow to import."""

from __future__ import annotations

from langchain_core.exceptions import ContextOverflowError

from eta_guard.errors import InputError


class ContextLengthError(InputError, ContextOverflowError):
    """The conversation leaves no room in the model's context.

    It is LangChain's ``ContextOverflowError`` as well, for those who shorten a history and ask
    again.
    """
