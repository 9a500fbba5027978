"""What a text holds in another writing: encodings that anybody can undo, undone where they stand.

None of them makes a text longer, so that no answer can grow by being read; each pattern goes once
over the text, whatever that is.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
from collections.abc import Callable
from functools import partial
from urllib.parse import unquote

Undo = Callable[[re.Match[str]], str | None]

_COMMON = frozenset(
    re.findall(
        r"\w+",
        "the and you your this that with for are not have from they will can is to of in it on be"
        " as or if by an at we do how what when then first into use make take put out over all",
    )
)
"""Words that English prose has in nearly every line."""


_OF_ADDRESSES = str.maketrans("-_", "+/")


def decoded(text: str) -> tuple[str, list[str]]:
    """The text with all that it holds undone, and what that was; the same text where it is nothing.

    Args:
        text: Of any length.

    Returns:
        No longer than the text was; names such as ``"base64"``.
    """
    names = []
    for name, pattern, undo in _WAYS:
        shown = pattern.sub(partial(_undone, undo), text)
        if shown != text:
            text = shown
            names.append(name)
    for name, turn in (("rot13", _rot13), ("backwards", _backwards)):
        lines = [_turned(line, turn) for line in text.split("\n")]
        if (shown := "\n".join(lines)) != text:
            text = shown
            names.append(name)
    return text, names


def _undone(undo: Undo, found: re.Match[str]) -> str:
    told = undo(found)
    return found[0] if told is None or len(told) > len(found[0]) else told


def _as_text(data: bytes) -> str | None:
    """Bytes as the text they are; None of what is none: a picture, a key, a word by chance."""
    try:
        told = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    shown = all(letter.isprintable() or letter in "\n\r\t" for letter in told)
    words = sum(letter.isalpha() or letter == " " for letter in told) >= 0.7 * len(told)
    codes = told.isascii() and len(told) >= 12
    return told if shown and len(told) > 3 and (words or codes) else None


def _base64(found: re.Match[str]) -> str | None:
    joined = re.sub(r"\s+", "", found[0]).rstrip("=")
    try:
        padded = joined.translate(_OF_ADDRESSES) + "=" * (-len(joined) % 4)
        return _as_text(base64.b64decode(padded))
    except binascii.Error:
        return None


def _base32(found: re.Match[str]) -> str | None:
    joined = found[0].rstrip("=")
    try:
        return _as_text(base64.b32decode(joined + "=" * (-len(joined) % 8)))
    except binascii.Error:
        return None


def _hex(found: re.Match[str]) -> str | None:
    return _as_text(bytes.fromhex(re.sub(r"0x|[\s,:;]", "", found[0])))


def _bits(found: re.Match[str]) -> str | None:
    return _as_text(bytes(int(bits, 2) for bits in re.findall("[01]{8}", found[0])))


def _percent(found: re.Match[str]) -> str | None:
    # An address escapes what it must; who escapes letters hides them.
    hidden = re.findall(r"%(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa])", found[0])
    return unquote(found[0]) if len(hidden) >= 3 else None


def _entities(found: re.Match[str]) -> str | None:
    return html.unescape(found[0])


def _escapes(found: re.Match[str]) -> str | None:
    return re.sub(
        r"\\(?:u\{?([0-9A-Fa-f]{2,6})\}?|x([0-9A-Fa-f]{2})|([0-7]{3}))",
        lambda one: chr(int(one[1] or one[2] or one[3], 8 if one[3] else 16) % 0x110000),
        found[0],
    )


def _joined(found: re.Match[str]) -> str | None:
    return ""


_CODES = r"[A-Za-z0-9+/_-]"
_WAYS: list[tuple[str, re.Pattern[str], Undo]] = [
    ("strings", re.compile(r"(?<=\w)([\"'])\s*\+\s*\1(?=\w)"), _joined),
    (
        "escapes",
        re.compile(r"(?:\\u\{?[0-9A-Fa-f]{2,6}\}?|\\x[0-9A-Fa-f]{2}|\\[0-7]{3}){3,}"),
        _escapes,
    ),
    ("entities", re.compile(r"(?:&#[xX]?[0-9A-Fa-f]{2,6};){3,}"), _entities),
    ("percent", re.compile(r"(?<!\S)[^\s%]*(?:%[0-9A-Fa-f]{2}[^\s%]*){3,}"), _percent),
    ("bits", re.compile(r"(?<!\d)(?:[01]{8}[\s,]*){4,}"), _bits),
    ("hex", re.compile(r"(?<!\w)(?:(?:0x)?[0-9A-Fa-f]{2}[\s,:;]*){5,}"), _hex),
    ("base32", re.compile(r"(?<![A-Za-z0-9])[A-Z2-7]{16,}={0,6}(?![A-Za-z0-9=])"), _base32),
    (
        "base64",
        re.compile(
            rf"(?<!{_CODES})(?:{_CODES}{{16,}}\r?\n)*"
            rf"(?:{_CODES}{{16,}}={{0,2}}|{_CODES}{{6,}}={{1,2}})(?![\w=])"
        ),
        _base64,
    ),
]


def _rot13(line: str) -> str:
    return codecs.encode(line, "rot13")


def _backwards(line: str) -> str:
    return line[::-1]


def _turned(line: str, turn: Callable[[str], str]) -> str:
    """The line turned, where that makes English of it."""
    before, after = _common(line), _common(shown := turn(line))
    words = len(re.findall(r"[A-Za-z]+", line))
    return shown if after >= 2 and after > 2 * before and 6 * after >= words else line


def _common(line: str) -> int:
    return len({word for word in re.findall(r"[a-z]+", line.lower()) if word in _COMMON})
