"""The errors of eta_guard, one tree, each with a hint what to do.

::

    EtaGuardError
    ├── InputError               the request cannot be read
    │   ├── ImageInputError      an image in it cannot be read, or may not be fetched
    │   └── ContextLengthError   it is longer than the model's context (in ``context_length``)
    ├── PolicyError              a policy field, file or override is not valid
    ├── ModelLoadError           weights cannot be loaded, or are of another kind than asked for
    │   └── MissingWeightsError  they are neither here nor to be had from the model hub
    ├── UnsupportedModelError    the model cannot be run by this engine or evaluator
    ├── EvaluationError          an evaluation failed and the policy says ``on_unscored="raise"``
    ├── EngineError              the engine failed while it answered
    │   └── NoRoomError          budget or context leave none for the answer
    ├── DeadlineExceededError    the policy's ``timeout`` is over
    └── OverloadedError          more requests wait than the guard's ``max_waiting``
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
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


class NoRoomError(EngineError):
    """Budget or context leave no room for an answer, or for one that begins as it has to.

    Within the guard it leads to a refusal: a plain answer may have had room.
    """


class DeadlineExceededError(EtaGuardError, TimeoutError):
    """The time that the policy gives a request is over.

    A reply tells of it; nobody outside the guard has it raised.
    """

    def __init__(
        self,
        message: str = "The request's timeout is over.",
        *,
        hint: str = "Raise `timeout` in the policy.",
    ) -> None:
        super().__init__(message, hint=hint)


class OverloadedError(EtaGuardError, RuntimeError):
    """More requests are under way than the guard lets wait; this one was not begun."""


def log_failure(logger: logging.Logger, who: str, error: Exception) -> None:
    """Logs a failure of a part that is not ours.

    Its message may quote a text that was not let out: the traceback is for those who debug.
    """
    logger.error("%s failed with %s.", who, type(error).__name__)
    logger.debug("%s failed.", who, exc_info=error)


QUOTE = 20
"""Characters in a row that an error shares with a withheld text before it counts as a quote."""
WITHHELD = "(withheld: it quotes an answer that was not let out)"


def quoting_nothing(error: Exception, withheld: Iterable[str]) -> Exception:
    """The error itself, or a copy of its type without what quotes a withheld text.

    Args:
        error: Of a part that is not ours.
        withheld: Drafts and candidates.

    Returns:
        The very error where nothing of it, nor of what caused it, shares ``QUOTE`` characters in a
        row with them. Else a copy in which each argument and attribute that does is replaced, and
        which has no cause: status, code and headers are kept, for those who decide by them.
    """
    texts = list(withheld)
    pieces = {text[i : i + QUOTE] for text in texts for i in range(len(text) - QUOTE + 1)}

    def quotes(value: object) -> bool:
        # A response of an HTTP client shows its body under `text` alone.
        told = f"{value!s}\n{value!r}\n{getattr(value, 'text', '')!s}"
        return any(told[i : i + QUOTE] in pieces for i in range(len(told) - QUOTE + 1))

    if not pieces or not any(quotes(part) for one in _chain(error) for part in _parts(one)):
        return error
    try:
        clean = type(error).__new__(type(error))
    except TypeError:  # a group of exceptions is made of them alone
        return EngineError(f"It failed with {type(error).__name__}.", hint=WITHHELD)
    clean.__dict__.update(
        {name: _replaced(value) if quotes(value) else value for name, value in vars(error).items()}
    )
    clean.args = tuple(WITHHELD if quotes(value) else value for value in error.args)
    return clean


def _chain(error: BaseException) -> Iterable[BaseException]:
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and one not in seen:
            seen.append(one)
            waiting += [one.__cause__, one.__context__]
    return seen


def _parts(error: BaseException) -> Iterable[object]:
    return (error, *error.args, *vars(error).values())


def _replaced(value: object) -> str | list[object] | None:
    if isinstance(value, list):  # notes are added to theirs
        return []
    return WITHHELD if isinstance(value, str) else None


def _listed(things: list[str]) -> str:
    text = ", ".join(things[:-1]) + f" and {things[-1]}" if len(things) > 1 else things[0]
    return text[0].upper() + text[1:]
