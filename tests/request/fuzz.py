"""Mutated image files: each is decoded, or refused by a clear error; soon, and in bounded memory.

    python -m tests.request.fuzz --files 20000 [--seed 0] [--keep DIR]

Prints what came of them, and exits with 1 where one was a fault; those are kept in DIR, from where
they go into ``tests/data/fuzz`` once they are mended.
"""

from __future__ import annotations

import argparse
import base64
import resource
import signal
import struct
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

from langchain_core.messages import HumanMessage
from PIL import Image, PngImagePlugin, features

from eta_guard.errors import ImageInputError
from eta_guard.request.conversation import read_conversation
from eta_guard.request.images import MAX_PIXELS
from eta_guard.request.reading import Reading

SECONDS = 20
"""For one file; a slow machine included."""
MEMORY = 12 * 4 * MAX_PIXELS
"""Bytes that the process may ever hold, 3.2 GB: twelve copies of the largest picture that is
accepted. One with transparency takes eight while it is laid over white."""
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, MAX_PIXELS)


class HangError(BaseException):
    """A file took too long."""


# ── files to begin with ──


def picture(mode: str = "RGB", size: tuple[int, int] = (37, 23)) -> Image.Image:
    values = bytes((7 * i + i // 11) % 256 for i in range(size[0] * size[1] * 3))
    return Image.frombytes("RGB", size, values).convert(mode)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def seeds() -> dict[str, bytes]:
    """Whole files of every accepted format, with what files of it may carry."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "words " * 40, zip=True)
    text.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>", zip=True)
    frames = [picture("P"), picture("P").transpose(Image.Transpose.ROTATE_180)]
    found = {
        f"png-{mode}": saved(picture(mode), "PNG") for mode in ("RGB", "RGBA", "L", "LA", "P", "1")
    }
    found["png-16"] = saved(picture("L").convert("I").convert("I;16"), "PNG")
    found["png-metadata"] = saved(
        picture(), "PNG", exif=exif, pnginfo=text, icc_profile=b"icc" * 50
    )
    found["png-animated"] = saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    for mode in ("RGB", "L", "CMYK"):
        found[f"jpeg-{mode}"] = saved(picture(mode), "JPEG", exif=exif, progressive=mode == "RGB")
    found["mpo"] = saved(picture(), "MPO", save_all=True, append_images=[picture()])
    found["gif"] = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=9)
    found["webp"] = saved(picture("RGBA"), "WEBP", lossless=True, exif=exif)
    found["webp-lossy"] = saved(picture(), "WEBP", save_all=True, append_images=[picture()])
    for mode in ("RGB", "L", "P", "1"):
        found[f"bmp-{mode}"] = saved(picture(mode), "BMP")
    for method in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4"):
        mode = "1" if method == "group4" else "RGB"
        found[f"tiff-{method}"] = saved(picture(mode), "TIFF", compression=method)
    found["tiff-pages"] = saved(picture(), "TIFF", save_all=True, append_images=[picture("L")])
    if features.check("avif"):
        found["avif"] = saved(picture("RGBA"), "AVIF", exif=exif)
    return found


# ── mutations ──


def flip(data: bytearray, draw: Random, _: bytes) -> None:
    for _bit in range(draw.choice((1, 2, 8, 64))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def number(data: bytearray, draw: Random, _: bytes) -> None:
    """A length, an offset or a count of another size."""
    form = draw.choice(("<H", ">H", "<I", ">I"))
    size = struct.calcsize(form)
    value = draw.choice(NUMBERS) & (1 << 8 * size) - 1
    at = draw.randrange(max(len(data) - size, 1))
    data[at : at + size] = struct.pack(form, value)


def cut(data: bytearray, draw: Random, _: bytes) -> None:
    del data[draw.randrange(len(data)) :]


def drop(data: bytearray, draw: Random, _: bytes) -> None:
    at = draw.randrange(len(data))
    del data[at : at + draw.randrange(1, 64)]


def repeat(data: bytearray, draw: Random, _: bytes) -> None:
    at = draw.randrange(len(data))
    piece = data[at : at + draw.randrange(1, 256)]
    data[at:at] = piece * draw.choice((1, 3, 100))


def splice(data: bytearray, draw: Random, other: bytes) -> None:
    at = draw.randrange(len(data))
    data[at:] = other[draw.randrange(len(other)) :]


def header(data: bytearray, draw: Random, _: bytes) -> None:
    """Where formats keep sizes and kinds."""
    data[draw.randrange(min(len(data), 64))] = draw.randrange(256)


MUTATIONS: tuple[Callable[[bytearray, Random, bytes], None], ...] = (
    flip, number, number, header, header, cut, drop, repeat, splice,
)  # fmt: skip


def with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks have the checksums that a decoder looks at before all else."""
    out, at = bytearray(data[:8]), 8
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        body = data[at + 4 : at + 8 + length]
        out += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return bytes(out)


def mutated(seed: int, known: dict[str, bytes]) -> tuple[str, bytes]:
    """A file that is the same for the same seed, and the name of what it was made of."""
    draw = Random(seed)
    names = sorted(known)
    name = draw.choice(names)
    data = bytearray(known[name])
    for _ in range(draw.choice((1, 1, 2, 4))):
        if data:
            draw.choice(MUTATIONS)(data, draw, known[draw.choice(names)])
    found = bytes(data)
    if found[:4] == b"\x89PNG" and draw.random() < 0.7:
        found = with_checksums(found)
    return name, found


# ── what has to hold ──


def look(data: bytes) -> str:
    """Reads a file as the guard does, as a model here and as a provider is shown it.

    Raises:
        Exception: Any but the one that says what is wrong with it.
    """
    block = {"type": "image", "base64": base64.b64encode(data).decode(), "mime_type": "image/png"}
    message = HumanMessage([block, {"type": "text", "text": "What is this?"}])
    outcomes = []
    for reading in (Reading(), Reading(passed_on=True)):
        try:
            (shown,) = read_conversation([message], reading).pictures
        except ImageInputError:
            outcomes.append("refused")
            continue
        assert shown.pixels.mode == "RGB"
        assert 0 < shown.pixels.width * shown.pixels.height <= MAX_PIXELS
        outcomes.append("decoded")
        if reading.passed_on and shown.pixels.width * shown.pixels.height <= 10**6:
            assert shown.sent is None or shown.sent.content
    assert len(set(outcomes)) == 1, outcomes
    return outcomes[0]


def within_limits(work: Callable[[], str]) -> str:
    """Raises ``HangError`` where it takes too long."""

    def over(*_: object) -> None:
        raise HangError

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        return work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def files(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    known = seeds()
    for index in range(count):
        yield mutated(seed * 10**9 + index, known)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="where to put files that are faults")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    outcomes: Counter[str] = Counter()
    for index, (name, data) in enumerate(files(asked.files, asked.seed)):
        try:
            outcomes[within_limits(partial(look, data))] += 1
        except (Exception, HangError) as error:
            outcomes["fault"] += 1
            tell(f"{index} ({name}): {type(error).__name__}: {str(error)[:200]}")
            if asked.keep:
                asked.keep.mkdir(parents=True, exist_ok=True)
                (asked.keep / f"{name}-{asked.seed}-{index}").write_bytes(data)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    tell(f"{sum(outcomes.values())} files: {dict(outcomes)}, at most {peak / 2**20:.0f} MB")
    return int(bool(outcomes["fault"]) or peak > MEMORY)


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
