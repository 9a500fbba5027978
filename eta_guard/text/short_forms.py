"""Full stops that only shorten a word, and words after which one may do either."""

from __future__ import annotations

import re
from functools import lru_cache

from sentencex import segment

_EAST = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_TOKEN = re.compile(  # the word before a full stop, with its spaced parts: "z. B", "J. K"
    r"(?<![\w=&?#@%/\\])(?:(?<!\w)[^\W\d_]\.\s?)*[\w.'’\u0900-\u0983\u093a-\u094f-]+$"
)
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_GERMAN_DAY = re.compile(
    r"(?<!I )\b(?i:am|im|vom|zum|der|den|dem|des|die|das|bis|seit|ab|beim) \d{1,2}$"
)

_LANGUAGES = ("en", "de", "fr", "es", "pt", "ru", "uk")
# Not in the library's lists, and found before a capital or a number.
_OURS = re.compile(
    r"abb|amb|approx|atty|bd|bijv|dhr|dott|dott\.ssa|hrsg|inkl|insp|kap|mevr|mgr|np|pag|př|např|prof\.ssa"
    r"|resp|sig\.ra|sog|[^\W\d_]*str|tel|ul|zzgl|им|др|рис|стр|тыс|млн|млрд|ул|डॉ|प्रो|श्री"
)
_TITLES = frozenset(["Det", "Ms", "Rep", "Sec"])  # words or units when they are written small
# Short forms that close a sentence as often as not: a capital after them opens the next.
_CLOSING = re.compile(r"etc|usw|ecc|enz|itd|itp|[ap]\.m|т\.[дп]")
# In the library's lists, but words or units as well: short only before a number ("No. 5").
_ORDINARY = re.compile(
    "no|may|re|id|ok|me|la|le|art|cal|ken|miss|mar|ore|arc|det|fed|ill|ass|mag|min|sec|fig|in|com"
    "|an|extra|de|en|super|auto|post|let|da|pen|sub|dis|un|pro|vice|contra|inter|bi|im|tri|pos"
    "|tex|sup|ord|mo|pa|bart|max|[ckm]m|[km]g|ms|dir|ext|jan|feb|apr|jun|jul|aug|sept?|oct|nov"
    "|eqs?|eqn|figs|tab|sect|ch|vol|refs?|dec|bien|va|vie|ver|vi|di|cap|ex|doc|macro|micro|semi|mono|rep|del|ct|ga|год|под"
)
_ADDRESS = re.compile(  # "https://nasa.gov", "me@mail.com", "Node.js", "x.io"
    r"(?:[@/]|\bwww\.)\S*$|(?<![^\s(\"'])(?!(?i:prof|dott|sig)\.)[\w-]{3,}(?:\.[\w-]{2,})+$"
    r"|\w\.(?:com|org|net|edu|gov|io|ai|dev|de|fr|uk|eu|ru)$"
)


def is_short(before: str, before_number: bool) -> bool:
    """Tell whether the full stop after `before` only shortens a word.

    Args:
        before: The end of a sentence, without its full stop.
        before_number: What follows is a number.
    """
    if _GERMAN_DAY.search(before):
        return not before_number
    return not _ADDRESS.search(before) and _is_abbreviation(_last_word(before), before_number)


def closes(before: str) -> str | None:
    """Return the short form at the end of `before` that may close a sentence, small, or None."""
    word = _last_word(before).strip("'’-.").lower()
    return word if _CLOSING.fullmatch(word) else None


def _last_word(before: str) -> str:
    token = _TOKEN.search(before)
    return "".join(token[0].split()) if token else ""


@lru_cache(maxsize=4096)
def _is_abbreviation(token: str, before_number: bool) -> bool:
    """Look one word up: in our lists first, then in the library's of each language."""
    word = token.strip("'’-.").lower()
    if token in _TITLES or not word:
        return bool(word)
    if _ORDINARY.fullmatch(word):
        return before_number
    if _CLOSING.fullmatch(word) or any(map(str.isdigit, word)):
        return False
    if len(word) == 1:  # an initial, unless it is a word: "il y en a. Puis", "é. Depois", "x"
        return word.isalpha() and not _EAST.match(word) and token not in list("ayxéàèя")
    if _DOTTED.fullmatch(word) or _OURS.fullmatch(word):
        return True
    if len(word) > 12 or token.isupper():  # "in the USA. Then"
        return False
    return any(len(segment(lang, f"We saw {word}. Xyz came.")) == 1 for lang in _LANGUAGES)
