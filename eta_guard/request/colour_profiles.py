"""Colour profiles: whether applying one would change what is seen."""

from __future__ import annotations

import struct
from io import BytesIO
from itertools import product

import numpy as np
from PIL import Image

_TOLERANCE = 4
"""Levels of 255. Profiles that call themselves sRGB differ by as much."""
_STEPS = (0, 16, 48, 96, 128, 160, 208, 240, 255)

# A table of curves or colours could say something else for each intent; matrix and curves cannot.
_TAGS = (
    {"desc", "cprt", "dmnd", "dmdd", "dscm", "vued", "view", "lumi", "meas", "tech", "chad"}
    | {"mmod", "wtpt", "bkpt", "rXYZ", "gXYZ", "bXYZ", "rTRC", "gTRC", "bTRC", "kTRC"}
    | {"chrm", "calt", "targ", "ncol", "psid"}
)


def keeps_colours(profile: bytes | None, mode: str) -> bool:
    """Whether an image looks the same to those who apply its profile and those who do not.

    Args:
        profile: An ICC profile; none, or an empty one, moves nothing.
        mode: Of the pixels, ``"RGB"`` or ``"L"``.
    """
    if not profile:
        return True
    try:
        from PIL import ImageCms

        if not _tags(profile) <= _TAGS:
            return False
        given = ImageCms.ImageCmsProfile(BytesIO(profile))
        to_srgb = ImageCms.buildTransform(given, ImageCms.createProfile("sRGB"), mode, "RGB")
        probe = _probe(mode)
        moved = np.asarray(ImageCms.applyTransform(probe, to_srgb), np.int16)
    except Exception:  # whatever is wrong with the profile, it is none to rely on
        return False
    return bool(np.abs(moved - np.asarray(probe.convert("RGB"), np.int16)).max() <= _TOLERANCE)


def _tags(profile: bytes) -> set[str]:
    (count,) = struct.unpack_from(">I", profile, 128)
    starts = range(132, 132 + 12 * min(count, 100), 12)
    return {profile[start : start + 4].decode("latin-1") for start in starts}


def _probe(mode: str) -> Image.Image:
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    return Image.fromarray(np.array(list(product(_STEPS, repeat=3)), np.uint8)[None])
