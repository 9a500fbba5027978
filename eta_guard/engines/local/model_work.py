"""Counts what a model does, by hooks, so that no forward goes uncounted."""

from __future__ import annotations

from typing import Any

from eta_guard import counts


def count_work(model: Any) -> None:
    """Counts forwards, positions and runs of the vision part; once a model is enough."""
    model.register_forward_pre_hook(_count_forward, with_kwargs=True)
    pictures = model.get_encoder(modality="image")
    if pictures is not model:  # what the lookup returns where it finds none
        pictures.register_forward_pre_hook(lambda *_: counts.add("vlm_image_encodes"))


def _count_forward(model: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    new = kwargs.get("inputs_embeds")
    if new is None:
        new = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
    counts.add("vlm_forwards")
    counts.add("vlm_positions", new.shape[0] * new.shape[1])
