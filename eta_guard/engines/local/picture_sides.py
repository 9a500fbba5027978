"""To which size a processor scales pictures, where that is one size."""

from __future__ import annotations

from typing import Any


def picture_sides(processor: Any) -> tuple[int, ...] | None:
    """The shorter side in pixels, as the configuration of the image processor tells it.

    Args:
        processor: Of an image-text-to-text model of transformers.

    Returns:
        One side; none where pictures are not scaled, and None where their own sizes decide: there
        the configuration tells a range, or a number of pixels.
    """
    images = getattr(processor, "image_processor", None)
    if images is None:
        return None
    if not getattr(images, "do_resize", True):
        return ()
    size = getattr(images, "size", None) or {}
    if size.get("longest_edge") or size.get("max_pixels"):
        return None
    found = size.get("shortest_edge") or min(size.get("height") or 0, size.get("width") or 0)
    return (int(found),) if found else None
