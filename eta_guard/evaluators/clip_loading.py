"""Loads open_clip's models: by name, from a directory, or from the hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from torch import nn

from eta_guard.errors import ModelLoadError
from eta_guard.loading import (
    hub_answers,
    is_directory,
    loading,
    pick_device,
    under_its_own_name,
    weights_fingerprint,
)


@dataclass(frozen=True)
class Loaded:
    """A model of open_clip, and what belongs to it."""

    model: nn.Module
    preprocess: Any
    """Its inference transform: RGB image → float tensor [3, H, W]."""
    tokenizer: Any
    fingerprint: str
    """Names the model and its weights."""
    directory: Path | None
    """Where it came from, if that is a directory."""


def load_clip(
    name: str, pretrained: str, device: str | torch.device | None, precision: str
) -> Loaded:
    """Loads a model; arguments and errors are those of ``ClipImageEvaluator.from_pretrained``."""
    import open_clip

    source, repository = _source(name, pretrained)
    whole = loading("CLIP model", name.removeprefix("local-dir:"), repository=repository)
    with whole, under_its_own_name("open_clip"):
        _require_files(source, repository)
        model, preprocess = open_clip.create_model_from_pretrained(
            source,
            pretrained=None if ":" in source else pretrained,
            device=pick_device(device),
            precision=precision,
            force_quick_gelu=_quick_gelu(source, pretrained),
        )
        tokenizer = open_clip.get_tokenizer(source)
    kind, _, place = source.partition(":")
    label = place or f"{source}/{Path(pretrained).name}"
    return Loaded(
        model,
        preprocess,
        tokenizer,
        weights_fingerprint(label, model),
        Path(place) if kind == "local-dir" else None,
    )


def _source(name: str, pretrained: str) -> tuple[str, str | None]:
    """open_clip's way of naming the model, and the hub repository to download it from by hand."""
    import open_clip

    if name.startswith("local-dir:"):
        return name, None
    if name.startswith("hf-hub:"):
        return name, name.removeprefix("hf-hub:")
    if name in open_clip.list_models():
        tag = open_clip.get_pretrained_cfg(name, pretrained)
        return name, (tag.get("hf_hub") or "").rstrip("/") or None
    if is_directory(name):
        return f"local-dir:{name}", None
    raise ModelLoadError(
        f"{name!r} is neither an architecture of open_clip nor a directory.",
        hint="Pass a name of open_clip.list_models(), a directory, or hf-hub:ORGANISATION/NAME.",
    )


def _quick_gelu(source: str, pretrained: str) -> bool:
    """Whether the weights were trained with QuickGELU, x · sigmoid(1.702 x).

    OpenAI's were, but open_clip's plain configurations ("ViT-L-14-336") compute the exact GELU
    and only warn of the mismatch; the cosines would be off. The weights' tag knows.
    """
    import open_clip

    return bool(open_clip.get_pretrained_cfg(source, pretrained).get("quick_gelu", False))


def _require_files(source: str, repository: str | None) -> None:
    """Fails early and quietly where open_clip would fail late and aloud."""
    if source.startswith("local-dir:"):
        directory = Path(source.removeprefix("local-dir:"))
        if not (directory / "open_clip_config.json").is_file():
            raise ModelLoadError(
                f"The directory {str(directory)!r} holds no open_clip_config.json.",
                hint="Download the weights in open_clip's layout, for the paper's CLIP with `hf"
                " download timm/vit_large_patch14_clip_336.openai --local-dir DIR`.",
            )
    elif repository and not hub_answers():
        file = (
            "open_clip_config.json"
            if source.startswith("hf-hub:")
            else "open_clip_model.safetensors"
        )
        if not isinstance(try_to_load_from_cache(repository, file), str):
            raise ConnectionError("the model hub does not answer")
