"""Sentence ends in growing text: found in the characters, in any language, never taken back.

`sentencex` (Wikimedia) knows the abbreviations of many languages, but wants to be told the one,
and moves its ends while a text grows; the segmenter that streams (sentencesplit) needs the language
too, and misses "।" and "؟" without it. So what ends is decided here, what is short is asked there.

An end depends on what stands before it and on the first visible character after it, on nothing
else: that is why an end once found stays, and is found as early as it can be.
"""

from __future__ import annotations

import re
from functools import lru_cache

from sentencex import segment

# Unicode's Sentence_Terminal characters beyond ASCII (Basic Multilingual Plane).
_STRONG = (
    "\u0589\u061d-\u061f\u06d4\u0700-\u0702\u07f9\u0837\u0839\u083d\u083e\u0964\u0965\u104a\u104b"
    "\u1362\u1367\u1368\u166e\u1735\u1736\u17d4\u17d5\u1803\u1809\u1944\u1945\u1aa8-\u1aab\u1b4e"
    "\u1b4f\u1b5a\u1b5b\u1b5e\u1b5f\u1b7d-\u1b7f\u1c3b\u1c3c\u1c7e\u1c7f\u203c\u203d\u2047-\u2049"
    "\u2cf9-\u2cfb\u2e2e\u2e3c\u2e53\u2e54\u2e60\u2e61\u3002\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876"
    "\ua877\ua8ce\ua8cf\ua92f\ua9c8\ua9c9\uaa5d-\uaa5f\uaaf0\uaaf1\uabeb\ufe12\ufe15\ufe16\ufe52"
    "\ufe56\ufe57\uff01\uff0e\uff1f\uff61"
)
_WEAK = ".!?…;\u037e"  # followed by a space, or no end: 3.14, a.b; ";" asks in Greek
_END = f"[{_WEAK}{_STRONG}]"
_CLOSER = r"[\"'*_`~“«‘’”»)\]}）］｝」』】〉》〕〗\u200b-\u200f\ufeff]"
_CITE = (  # "[1]", "[2,3]", "[^4]", "¹", "【4†source】"
    r"(?:\[\^?\d{1,3}(?:[,–-] ?\d{1,3})*\]|[\u00b9\u00b2\u00b3\u2070-\u2079]|【[^【】\n]{1,40}】)*"
)
_FACE = "[\U0001f1e6-\U0001f1ff\U0001f300-\U0001faff\u263a\u2764\u200d\ufe0f]"
_STOP = re.compile(  # French sets a space before », and "Great! 😀" keeps its face
    rf"\n|(?P<core>{_END}+)(?P<cite>{_CITE})(?P<tail>(?:{_CLOSER}+{_END}*|[^\S\n]?»)*)(?:[^\S\n]*{_FACE}+)*"
)
_SPACE, _WORD = re.compile(r"\s*"), re.compile(r"[^\W_]")
_MARKER = re.compile(  # "1.", "a)", "- **2.1.**", "IV."
    r"[\W_]*(?:\d{1,3}|[A-Za-z]|[ivxIVX]{2,4})(?:\.\d{1,3})*[.)][\W_]*"
)
_GOES_ON = re.compile(rf"{_END}|[,:|)\]}}%/=&”’」』）、，；：،؛]")
_EAST, _HIRAGANA = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"), re.compile("[ぁ-ゟ]")
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
    r"abb|approx|bd|hrsg|inkl|kap|resp|sog|[^\W\d_]*str|tel|zzgl|им|др|рис|стр|тыс|млн|млрд|ул|डॉ|प्रो|श्री"
)
# Short forms that close a sentence as often as not: a capital after them opens the next.
_CLOSING = re.compile(r"etc|usw|[ap]\.m|т\.[дп]")
# In the library's lists, but words or units as well: short only before a number ("No. 5").
_ORDINARY = re.compile(
    "no|may|re|id|ok|me|la|le|art|cal|ken|miss|mar|ore|arc|det|fed|ill|ass|mag|min|sec|fig|in|com"
    "|an|extra|de|en|super|auto|post|let|da|pen|sub|dis|un|pro|vice|contra|inter|bi|im|tri|pos"
    "|tex|sup|ord|mo|pa|bart|max|[ckm]m|[km]g|ms|dir|ext|jan|feb|apr|jun|jul|aug|sept?|oct|nov"
    "|eqs?|eqn|figs|tab|sect|ch|vol|refs?|dec|bien|va|vie|ver|vi|di|cap|ex|doc|macro|micro|semi|mono|rep|del|ct|ga|год|под"
)


def first_boundary(text: str) -> int | None:
    """Return the offset just after the first sentence of `text`, or None while it is undecided.

    Whatever is appended to `text`, an offset once returned stays the same. It is known at the
    first visible character after the sentence. Closing quotes, brackets, markdown and a face
    belong to the sentence, and so do the newlines that end it; spaces belong to the next one.

    Args:
        text: A candidate so far, from the start of its sentence. Replacement characters at its
            end, which tokenizers write for half a character, are not looked at.

    Returns:
        An offset in characters, at least 1 and less than `len(text)`, or None.
    """
    return _first(text.rstrip("\ufffd"), 0)


def boundaries(text: str) -> list[int]:
    """Return the offset just after every sentence of a whole text, whose end is an end too.

    Cutting off the sentence that `first_boundary` finds, again and again, gives the same.

    Args:
        text: A finished text, several paragraphs and languages if need be.

    Returns:
        Rising offsets in characters, the last one `len(text)`; empty for blank text.
    """
    found: list[int] = []
    end = _first(text, 0)
    while end is not None:
        found.append(end)
        end = _first(text, end)
    return [*found, len(text)] if text.strip() else found


def is_finished(text: str) -> bool:
    """Tell whether a text that goes on no further ends as a sentence does.

    An abbreviation at the very end closes the sentence too: its full stop is all there is.

    Args:
        text: A sentence, from its start. White space after it counts for nothing, but a newline
            ends a sentence as it does elsewhere.
    """
    *_, stop = [None, *_STOP.finditer(text)]
    if stop is None or text[stop.end() :].strip():
        return False
    if not _WORD.search(text, 0, stop.start()) or _MARKER.fullmatch(text.strip()):
        return False
    core = stop["core"]
    return core is None or ";" not in core or "\u0370" <= text[stop.start() - 1] <= "\u1fff"


def _first(text: str, start: int) -> int | None:
    """Return the first decided end after `start`."""
    for stop in _STOP.finditer(text, start):
        end = _closed(text, start, stop)
        space = _SPACE.match(text, end)
        if space is None or space.end() == len(text):
            return None
        # A row of stops without a word is no sentence, and neither is the number of a list item.
        if not _WORD.search(text, start, end) or _MARKER.fullmatch(text, start, end):
            continue
        if "\n" in space[0]:
            return end + space[0].rindex("\n") + 1
        if _ends(text, start, stop, end, space.end()):
            return end
    return None


def _closed(text: str, start: int, stop: re.Match[str]) -> int:
    """Return where the stop, and what closes with it, is over."""
    if stop["core"] is None:
        return stop.start()
    for at in range(stop.end("cite"), stop.end("tail")):
        mark, before = text[at], text[at - 1]
        if before.isspace() and "«" not in text[start:at]:
            return at - 1  # German sets its quotes the other way round: »Komm.«
        if mark == before or not stop["core"].strip(_WEAK):
            continue
        # No space follows 。 so a mark that opens and closes alike closes only what is open.
        runs = len(re.findall(rf"{re.escape(mark)}+", text[start:at]))
        if mark in "“«‘" or (mark in "\"'*_`~" and runs % 2 == 0):
            return at
    return stop.end()


def _ends(text: str, start: int, stop: re.Match[str], end: int, after: int) -> bool:
    """Decide a stop by what is before it and by the first visible character, at `after`."""
    core, last, following = stop["core"], text[stop.start() - 1], text[after]
    closed = min(end, stop.end("tail"))
    quoted = closed > stop.end("cite")
    if _GOES_ON.match(following) or (quoted and _inside_brackets(text, start, closed)):
        return False
    if core.strip(_WEAK):
        decimal = core == "．" and last.isdigit() and following.isdigit()
        # 「そうです。」と言った: a particle carries the quotation on.
        return after > end or not (
            decimal or (text[closed - 1] in "」』”" and _HIRAGANA.match(following))
        )
    if ";" in core and not "\u0370" <= last <= "\u1fff":
        return False
    if after == end:  # 你好!再见
        return not quoted and core in list(".!?") and all(map(_EAST.match, (last, following)))
    if following in "—–" and (quoted or core.strip(".")):
        return False  # — Стой! — сказал он.
    # Georgian letters are lower case by name, but have no capitals in prose.
    if following.islower() and following != following.title():
        return not (quoted or core.strip("!?"))
    before = text[max(start, stop.start() - 24) : stop.start()]
    return core != "." or not _is_short(before, following.isdigit())


def _inside_brackets(text: str, start: int, end: int) -> bool:
    """Tell whether the stop closes with a bracket that opened in mid-sentence."""
    opener = {")": "(", "）": "（", "]": "["}.get(text[end - 1])
    opened = start if opener is None else text.rfind(opener, start, end)
    return opened > start and _WORD.search(text, start, opened) is not None


def _is_short(before: str, before_number: bool) -> bool:
    """Tell whether the full stop after `before` only shortens a word."""
    if _GERMAN_DAY.search(before):
        return not before_number
    token = _TOKEN.search(before)
    return token is not None and _is_abbreviation("".join(token[0].split()), before_number)


@lru_cache(maxsize=4096)
def _is_abbreviation(token: str, before_number: bool) -> bool:
    """Look one word up: in our lists first, then in the library's of each language."""
    word = token.strip("'’-.").lower()
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
