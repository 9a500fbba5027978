"""By which name the installed ``transformers`` takes a KV cache.

Release 5.24 calls it ``cache`` and warns at ``past_key_values``; before it there is no ``cache``.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

NAMES = ("cache", "past_key_values")


def cache_argument(model_class: Any) -> str:
    """The name of the argument, as the class's own forward spells it.

    Args:
        model_class: Of a model of ``transformers``. One whose forward names no cache is taken to
            hand it on to a forward of the library's, as ``generate`` does.
    """
    return _named(model_class.forward) or generation_argument()


@cache
def generation_argument() -> str:
    """The name among the arguments and in the output of ``generate``, which hides it in kwargs."""
    from transformers import GenerationMixin

    named = _named(GenerationMixin.prepare_inputs_for_generation)
    if named is None:
        raise RuntimeError(f"This release of transformers names a KV cache none of {NAMES}.")
    return named


def _named(function: Any) -> str | None:
    parameters = inspect.signature(function).parameters
    return next((name for name in NAMES if name in parameters), None)
