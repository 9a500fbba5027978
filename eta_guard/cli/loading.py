"""Loads the guard that the options ask for, quietly but for a line of progress."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from eta_guard import pretrained
from eta_guard.cli.console import status
from eta_guard.cli.options import Dtype, ModelChoice
from eta_guard.errors import ModelLoadError

if TYPE_CHECKING:
    import torch

    from eta_guard.guard import EtaGuard
    from eta_guard.policy import GuardPolicy


def load_guard(choice: ModelChoice, policy: GuardPolicy) -> EtaGuard:
    """Loads the models and puts the guard around them.

    Raises:
        ModelLoadError: Weights are missing, or there is no such device.
    """
    parts = load_models(choice, policy)
    from eta_guard.guard import EtaGuard

    return EtaGuard(**parts, policy=policy)


def load_models(choice: ModelChoice, policy: GuardPolicy | None = None) -> pretrained.Parts:
    """Loads the models, and says on stderr which one it is at.

    Args:
        choice: Which.
        policy: See ``load_parts``.

    Raises:
        ModelLoadError: Weights are missing, or there is no such device.
    """
    with status("Starting") as say:
        from eta_guard.loading import silence_libraries

        silence_libraries()
        if choice.only_embedded and not choice.further:
            import torch

            # These are so small that a second thread costs more than it computes.
            torch.set_num_threads(1)
        return pretrained.load_parts(
            choice.assembly,
            chat_model=choice.chat_model,
            clip=choice.clip,
            reward=choice.reward,
            image_evaluators=choice.image_evaluators,
            response_evaluators=choice.response_evaluators,
            policy=policy,
            device=checked_device(choice.device),
            dtype=torch_dtype(choice.dtype),
            progress=lambda what: say(_shortened(what)),
        )


def checked_device(device: str | None) -> str | None:
    """The device, if it can hold a number."""
    if device is None:
        return None
    import torch

    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        raise ModelLoadError(
            f"There is no device {device!r} here.", hint="Choose another, such as --device cpu."
        ) from error
    return device


def torch_dtype(dtype: Dtype | None) -> torch.dtype | None:
    """The number format as torch knows it."""
    if dtype is None:
        return None
    import torch

    found = getattr(torch, dtype.value)
    assert isinstance(found, torch.dtype)
    return found


def _shortened(what: str) -> str:
    """With the end of a long path alone: ``Loading the clip …/weights/clip``."""
    words, _, last = what.rpartition(" ")
    path = Path(last)
    return f"{words} …/{'/'.join(path.parts[-2:])}" if path.is_absolute() else what
