"""What a picture is kept under: a hash of its pixels."""

from __future__ import annotations

import hashlib

from PIL.Image import Image


def pixel_hash(image: Image) -> bytes:
    """16 bytes (blake2) that tell pictures apart by their pixels, their shape and their mode."""
    # The size goes in: a strip and a square may hold the same bytes.
    shape = f"{image.mode}{image.size}".encode()
    return hashlib.blake2b(shape + image.tobytes(), digest_size=16).digest()
