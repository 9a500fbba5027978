"""What loading a model has in common: where from, onto what, and how it fails."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import constants, get_session

from eta_guard.errors import EtaGuardError, MissingWeightsError, ModelLoadError

if TYPE_CHECKING:
    import torch
    from torch import nn

LICENCES = {
    "llava-hf/llava-1.5-7b-hf": "Llama 2 Community License",
    "ViT-L-14-336": "OpenAI, MIT licence",
    "timm/vit_large_patch14_clip_336.openai": "OpenAI, MIT licence",
    "RLHFlow/ArmoRM-Llama3-8B-v0.1": "Meta Llama 3 Community License",
}
"""Terms of the paper's own models, for the message that they are missing."""

_REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?")
_SAMPLES = 64


def pick_device(device: str | torch.device | None) -> torch.device:
    """The device asked for; without a wish, the first GPU, or else the CPU."""
    import torch

    if device is not None:
        return torch.device(device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def is_directory(name: str) -> bool:
    """Whether ``name`` is a local directory rather than a repository of the model hub.

    Raises:
        ModelLoadError: It is neither: a path at which there is nothing.
    """
    if Path(name).is_dir():
        return True
    if not _REPOSITORY.fullmatch(name):
        raise ModelLoadError(
            f"There is no model directory {name!r}.",
            hint="Pass a directory that exists, or a model's name on the hub.",
        )
    return False


def hub_answers() -> bool:
    """Whether the model hub can be reached within five seconds.

    Its client would go on trying for a minute, aloud, before it admitted that there is no network.
    """
    try:
        get_session().head(constants.ENDPOINT, timeout=5)
    # No route, no name, a proxy that refuses, offline mode: each its own exception of its own tree.
    except Exception:
        return False
    return True


def loading_options(name: str, revision: str | None) -> dict[str, Any]:
    """What every ``from_pretrained`` of transformers is given here.

    Never code from a repository; the network only if it is there, otherwise directory or cache.
    """
    return {
        "revision": revision or "main",
        "local_files_only": is_directory(name) or not hub_answers(),
        "trust_remote_code": False,
    }


@contextmanager
def loading(kind: str, name: str, *, repository: str | None = None) -> Iterator[None]:
    """Turns whatever goes wrong within into a ``ModelLoadError`` that says how to get the weights.

    Args:
        kind: What is loaded, for the message: "reward model".
        name: As the caller named it.
        repository: The hub repository to download by hand, where it is not ``name``.
    """
    try:
        yield
    except EtaGuardError:
        raise
    # The libraries below raise nearly anything: OSError, RuntimeError, ValueError, KeyError, the
    # HTTP client's and the file formats' own.
    except Exception as error:
        if Path(name).is_dir():
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelLoadError(
                f"The directory {name!r} does not hold a {kind} that can be loaded: {reason}",
                hint="Check that its download is complete and that it is a model of this kind.",
            ) from error
        licence = LICENCES.get(name)
        what = f"the {kind} {name!r}{f' ({licence})' if licence else ''}"
        raise MissingWeightsError({what: repository or name}) from error


def parameters(model: nn.Module) -> float:
    """The parameters of a model, in billions: what one pass through it costs, roughly."""
    return sum(parameter.numel() for parameter in model.parameters()) / 1e9


def weights_fingerprint(name: str, model: nn.Module) -> str:
    """Names a model and its weights: ``name@1a2b3c4d5e6f``.

    The hash (blake2) runs over each tensor's name, shape, dtype and up to 64 elements spread over
    it. It costs milliseconds and not a read of the whole file, holds for weights from anywhere,
    and tells trainings of one architecture apart, which headers and sizes would not; a change to
    a few single elements may escape it.
    """
    digest = hashlib.blake2b(digest_size=6)
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(f"{key}{tuple(tensor.shape)}{tensor.dtype}".encode())
        step = max(1, tensor.numel() // _SAMPLES)
        sample = tensor.detach().flatten()[::step][:_SAMPLES]
        digest.update(sample.double().cpu().numpy().tobytes())
    # A directory by its own name alone: where it lies is nobody's business.
    label = Path(name).resolve().name if Path(name).is_dir() else name
    return f"{label}@{digest.hexdigest()}"


def load_weights(model_class: Any, name: str, **options: Any) -> Any:
    """``model_class.from_pretrained``, but a tensor missing in the checkpoint is an error.

    transformers leaves such a tensor at random values and only warns: all would be noise.

    Args:
        model_class: A class of transformers.
        name: A directory or a repository.
        options: Passed on.

    Raises:
        ModelLoadError: A tensor of the model is not in the checkpoint, or of another shape.
    """
    model, report = model_class.from_pretrained(name, output_loading_info=True, **options)
    missing = sorted(map(str, [*report["missing_keys"], *report.get("mismatched_keys", ())]))
    if missing:
        raise ModelLoadError(
            f"{name!r} is no complete model of its kind: its weights lack"
            f" {', '.join(missing[:3])}.",
            hint="Pass a checkpoint that was trained as one, with its head.",
        )
    return model


@contextmanager
def under_its_own_name(package: str) -> Iterator[None]:
    """Has what a package tells the root logger of its steps logged under its own name, to debug.

    An application that shows the root logger's INFO would else be told each step of the loading.

    Args:
        package: Of which a folder of that name is part of the path.
    """
    own = logging.getLogger(package)

    def to_its_own(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING or package not in Path(record.pathname).parts:
            return True
        own.debug(record.getMessage())
        return False

    root = logging.getLogger()
    root.addFilter(to_its_own)
    try:
        yield
    finally:
        root.removeFilter(to_its_own)


def silence_libraries() -> None:
    """Keeps the libraries' bars and advice out of a display that has a progress line of its own."""
    import huggingface_hub.utils.logging
    import transformers.utils.logging

    hub: Any = huggingface_hub.utils.logging
    library: Any = transformers.utils.logging
    library.set_verbosity_error()
    library.disable_progress_bar()
    hub.set_verbosity_error()
