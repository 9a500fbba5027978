"""Reads text in pictures by RapidOCR (Apache-2.0), whose PP-OCRv6 models come with the package."""

from __future__ import annotations

from importlib.metadata import version
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image as Images
from PIL import ImageDraw, ImageFont
from PIL.Image import Image

from eta_guard.errors import ModelLoadError
from eta_guard.evaluators.text_lines import TextLine
from eta_guard.protocols import Region

_MAX_ASPECT = 4
"""RapidOCR scales long sides down to 2,000 pixels and cannot go on once the short one is gone; then
short sides up to 736, so that a strip becomes as large as dozens of pictures."""
_PROBE = "READ THIS"


class RapidOcrReader:
    """A ``TextReader`` over RapidOCR: finds lines of text, and reads Chinese, English and digits.

    Needs the extra ``ocr``. Everything runs on the CPU and on this machine; the models (detection
    and recognition, 8 million parameters) are part of the package, and nothing is downloaded; it
    would download them anew only where they are damaged.
    Lines are read as they stand: a reader's own guess which way up a line is would be one more
    thing to fool, so pictures are turned instead (see ``read_every_way``).

    Safe to share between threads; pictures are read one at a time.

    Args:
        min_confidence: Lines of which the reader is less sure are left out, in [0, 1]. Drawings
            without text give words of up to about 0.75 (and single letters of more, which the
            evaluator leaves out); small, blurred, noisy and slanted text is read at 0.97 and more.
        threads: Of a reading. One reads in half a second of a core; several are faster where
            there are idle cores, and where there are none, cost twice as much.

    Raises:
        ModelLoadError: The extra is not installed, or its models do not read a line drawn for it.
    """

    cost = 0.008

    def __init__(self, *, min_confidence: float = 0.8, threads: int = 1) -> None:
        self._reading = Lock()  # what one reading is asked for is kept on the shared object
        self._ocr = _loaded(min_confidence, threads)
        self.fingerprint = f"rapidocr-{version('rapidocr')}"
        self._try_out()

    def read(self, picture: Image) -> list[TextLine]:
        """The lines of a picture as it stands, in reading order, without those that say nothing.

        Args:
            picture: RGB, any size.
        """
        pixels = np.asarray(_bounded_aspect(picture))[:, :, ::-1]
        with self._reading:
            found = self._ocr(np.ascontiguousarray(pixels), use_cls=False)
        if found.boxes is None or found.txts is None:
            return []
        return [
            TextLine(text, float(confidence), place)
            for text, confidence, box in zip(found.txts, found.scores, found.boxes, strict=True)
            if any(map(str.isalnum, text)) and (place := _place(box, picture)) is not None
        ]

    def _try_out(self) -> None:
        """Reads a line: missing models would be noticed only once the first picture comes."""
        picture = Images.new("RGB", (240, 64), "white")
        font = ImageFont.load_default(32)
        ImageDraw.Draw(picture).text((20, 12), _PROBE, fill="black", font=font)
        try:
            read = [line.text for line in self.read(picture)]
        # ONNX Runtime, OpenCV and the package raise nearly anything.
        except Exception as error:
            raise ModelLoadError(
                f"RapidOCR cannot be run: {type(error).__name__}.", hint=_HINT
            ) from error
        if "".join(read).replace(" ", "") != _PROBE.replace(" ", ""):
            raise ModelLoadError(f"RapidOCR reads {_PROBE!r} as {read}.", hint=_HINT)


_HINT = "Install it anew: pip install --force-reinstall 'eta_guard[ocr]'."


def _loaded(min_confidence: float, threads: int) -> Any:
    try:
        import onnxruntime  # noqa: F401
        from rapidocr import RapidOCR
    except ImportError as error:
        raise ModelLoadError(
            "Reading text in pictures needs RapidOCR and ONNX Runtime.",
            hint="Install them: pip install 'eta_guard[ocr]'.",
        ) from error
    return RapidOCR(
        params={
            "Global.log_level": "error",
            "Global.text_score": min_confidence,
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": threads,
        }
    )


def _bounded_aspect(picture: Image) -> Image:
    """The picture, with room beside or below it where one side is too short for the other."""
    width, height = picture.size
    size = (max(width, height // _MAX_ASPECT), max(height, width // _MAX_ASPECT))
    if size == picture.size:
        return picture
    canvas = Images.new("RGB", size, picture.getpixel((0, 0)))
    canvas.paste(picture)
    return canvas


def _place(box: Any, picture: Image) -> Region | None:
    """The upright box around four corners in pixels; None where it is empty."""
    corners = np.asarray(box, dtype=float) / picture.size
    left, top = map(float, corners.min(axis=0).clip(0, 1))
    right, bottom = map(float, corners.max(axis=0).clip(0, 1))
    return Region(left, top, right, bottom) if left < right and top < bottom else None
