"""The errors of eta_guard, one tree, each with a hint what to do.

::

    EtaGuardError
    ├── InputError               the request cannot be read
    │   └── ImageInputError      an image in it cannot be read, or may not be fetched
    ├── PolicyError              a policy field, file or override is not valid
    ├── ModelLoadError           weights cannot be loaded, or are of another kind than asked for
    │   └── MissingWeightsError  they are neither here nor to be had from the model hub
    ├── UnsupportedModelError    the model cannot be run by this engine or evaluator
    ├── EvaluationError          an evaluation failed and the policy says ``on_unscored="raise"``
    └── EngineError              the engine failed while it answered
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any


class EtaGuardError(Exception):
    """Base of every error that eta_guard raises on purpose.

    Args:
        message: What is wrong, naming the value.
        hint: What to do about it, as an imperative sentence.
    """

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}"

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is pickled by its positional arguments alone, without the hint.
        return partial(type(self), hint=self.hint), (self.message,)


class InputError(EtaGuardError, ValueError):
    """The request cannot be read: no messages, or content of an unknown form."""


class ImageInputError(InputError):
    """An image in the request is damaged, of an unknown form, or stands elsewhere."""


class PolicyError(EtaGuardError, ValueError):
    """A policy field, file or override is unknown, forbidden or out of range."""


class ModelLoadError(EtaGuardError, OSError):
    """Weights are missing, damaged, or of another kind than asked for."""


class MissingWeightsError(ModelLoadError):
    """Weights are neither on this machine nor to be had from the model hub.

    Args:
        wanted: What is missing, licence included, and the hub repository that holds it.
    """

    def __init__(self, wanted: Mapping[str, str]) -> None:
        self.wanted = dict(wanted)
        are = "are" if len(self.wanted) > 1 else "is"
        commands = ", ".join(f"`hf download {name} --local-dir DIR`" for name in wanted.values())
        super().__init__(
            f"{_listed(list(self.wanted))} {are} neither on this machine nor to be had from the"
            " model hub.",
            hint=f"Where there is a network, run {commands}; then pass DIR in place of the name.",
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.wanted,)


class UnsupportedModelError(EtaGuardError, ValueError):
    """A loaded model lacks what this engine or evaluator needs of it."""


class EvaluationError(EtaGuardError, RuntimeError):
    """An evaluation failed and the policy asks for an error (``on_unscored="raise"``)."""


class EngineError(EtaGuardError, RuntimeError):
    """The engine failed while it was answering."""


def log_failure(logger: logging.Logger, who: str, error: Exception) -> None:
    """Logs a failure of a part that is not ours.

    Its message may quote a text that was not let out: the traceback is for those who debug.
    """
    logger.error("%s failed with %s.", who, type(error).__name__)
    logger.debug("%s failed.", who, exc_info=error)


def _listed(things: list[str]) -> str:
    text = ", ".join(things[:-1]) + f" and {things[-1]}" if len(things) > 1 else things[0]
    return text[0].upper() + text[1:]
