"""A text as it looks: without what is invisible, and in the letters that one sees.

Common prose stays as it is, in whatever language: dashes, quotation marks, accents, emoji and the
full-width marks of Chinese are no disguise. What changes is what can be one: letters of another
alphabet, font or width within Latin words, characters that are not shown, overlays, letters set
apart, digits in the place of letters, marks of HTML or Markdown within a word.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from eta_guard.text.look_alikes import ALIKE

_ALIKE = {ord(other): letter for letter, others in ALIKE.items() for other in others}
_ORDINARY = "™℠ªº№℡℻"
"""Signs that stand for several letters, and are meant as signs."""

# Unicode's Default_Ignorable_Code_Point, but for what follows; and the tags, which are told.
_HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202d"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a]"
)
# They join emoji, and letters where a script wants that; none of its letters are ASCII's.
_JOINING = re.compile(
    "(?<=[!-~])[\u200c\u200d\ufe00-\ufe0f]+(?![\ufe0f\u20e3])|[\u200c\u200d\ufe00-\ufe0f]+(?=[!-~])"
)
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")
_SELECTOR = re.compile("[\U000e0100-\U000e01ef]")
_TAGS = re.compile("[\U000e0000-\U000e007f]+")
_TURNED = re.compile("\u202e([^\u202c\n]*)\u202c?")
_OVERLAY = re.compile("[\u0334-\u0338\u20d0-\u20dc\u20e1\u20e5-\u20eb]")
_STACKED = re.compile(r"(?<=[0-9A-Za-z])[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\ufe20-\ufe2f]+")
_WORD = re.compile(r"[^\W_]+")
_APART = re.compile(r"(?<![^\W_])[^\W\d_](?:([ .\-_*·|])[^\W\d_])(?:\1[^\W\d_]){2,}(?![^\W_])")
_INSIDE = re.compile(
    r"(?<=[A-Za-z])(?:<!--[^>]{0,80}-->|</?(?:b|i|u|s|em|strong|span|font|wbr|sub|sup)/?>"
    r"|\*\*|~~|`)(?=[A-Za-z])"
)
_FIGURED = re.compile(r"(?<![\w.#/&%=\\-])[A-Za-z@$0-9]{2,20}(?![\w/=-])")
_FIGURES = str.maketrans("013457@$", "oieastas")


def normal_form(text: str) -> str:
    """The text as it looks; the same object where that is how it stands.

    Args:
        text: Of any length; one pass over it.
    """
    shown = text if text.isascii() else _without_disguise(text)
    shown = _INSIDE.sub("", shown)
    shown = _APART.sub(lambda found: found[0].replace(found[1], ""), shown)
    shown = _spelled(shown)
    return text if shown == text else shown


def _without_disguise(text: str) -> str:
    text = _SELECTORS.sub(_told_by_selectors, text)
    text = _TAGS.sub(_told_by_tags, text)
    text = _TURNED.sub(lambda found: found[1][::-1], text)
    text = _SELECTOR.sub("", _HIDDEN.sub("", text))
    text = "".join(map(_plain, _OVERLAY.sub("", text)))
    text = _STACKED.sub("", unicodedata.normalize("NFC", text))
    text = _JOINING.sub("", text)
    latin = sum(letter.isascii() for letter in text if letter.isalpha())
    others = sum(not letter.isascii() for letter in text if letter.isalpha())
    return _WORD.sub(lambda found: _in_one_alphabet(found[0], latin > others), text)


@lru_cache(4096)  # whoever writes all of Unicode fills no memory
def _plain(letter: str) -> str:
    """A letter or digit of ASCII for one in another font, width or frame."""
    if letter.isascii() or letter in _ORDINARY:
        return letter
    name, kind = unicodedata.name(letter, ""), unicodedata.category(letter)
    if kind[0] not in "LS" and "MATHEMATICAL" not in name:
        return letter
    if "NEGATIVE" in name or "REGIONAL" in name:
        last = name.rpartition(" ")[2]
        return last.lower() if len(last) == 1 else letter
    plain = unicodedata.normalize("NFKC", letter)
    return plain if plain.isascii() and plain.isalnum() else letter


def _in_one_alphabet(word: str, in_latin: bool) -> str:
    """A word of letters that look like Latin ones among those that are, or among such words."""
    if word.isascii():
        return word
    shown = word.translate(_ALIKE)
    if shown == word:
        return word
    mixed = any(letter.isascii() and letter.isalpha() for letter in word)
    # A single Greek letter is meant as one.
    whole = in_latin and shown.isascii() and (len(word) > 1 or "CYRILLIC" in unicodedata.name(word))
    return shown if mixed or whole else word


def _spelled(text: str) -> str:
    """With letters for digits, where they stand between letters in more than one place."""
    found = [one[0] for one in _FIGURED.finditer(text) if _is_figured(one[0])]
    inside = re.findall(r"(?<=[a-z])[013457@$]+(?=[a-z])", " ".join(found), re.IGNORECASE)
    if len(inside) < 2:
        return text
    return _FIGURED.sub(
        lambda one: one[0].translate(_FIGURES) if _is_figured(one[0]) else one[0], text
    )


def _is_figured(word: str) -> bool:
    letters = sum(letter.isalpha() for letter in word)
    only = all(letter.isalpha() or letter in "013457@$" for letter in word)
    one_case = word in (word.lower(), word.upper(), word.capitalize())
    return only and one_case and letters < len(word) <= 2 * letters


def _told_by_tags(found: re.Match[str]) -> str:
    told = "".join(chr(ord(tag) - 0xE0000) for tag in found[0])
    return "".join(letter for letter in told if letter.isprintable())


def _told_by_selectors(found: re.Match[str]) -> str:
    """What a run of variation selectors spells out byte by byte; nothing where it is no text."""
    codes = [ord(one) for one in found[0]]
    data = bytes(code - 0xFE00 if code < 0xFFFF else code - 0xE0100 + 16 for code in codes)
    told = data.decode("utf-8", "ignore")
    return told if told.isprintable() else ""
