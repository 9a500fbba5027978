"""Sentence ends in growing text: found in the characters, in any language, never taken back.

`sentencex` (Wikimedia) knows the abbreviations of many languages, but wants to be told the one,
and moves its ends while a text grows; the segmenter that streams (sentencesplit) needs the language
too, and misses "।" and "؟" without it. So what ends is decided here, what is short is asked there.

An end depends on what stands before it and on the first visible character after it, on nothing
else: that is why an end once found stays, and is found as early as it can be. Only where one
character cannot tell ("5 p.m. M", "so. [") it is waited for until the word or mark does. Where two
readings are left, the sentence goes on: half a sentence is judged wrongly, two are judged as one.
"""

from __future__ import annotations

import re

from eta_guard.text.short_forms import closes, is_short

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
_MARK = r"\[\^?\d{1,3}(?:[,–-] ?\d{1,3})*\]"
_CITE = rf"(?:{_MARK}|[\u00b9\u00b2\u00b3\u2070-\u2079]|【[^【】\n]{{1,40}}】)*"  # "[2,3]", "¹"
_TEX_CLOSER = r"\$|\\[)\]]"
_FACE = "[\U0001f1e6-\U0001f1ff\U0001f300-\U0001faff\u263a\u2764\u200d\ufe0f]"
_STOP = re.compile(  # French sets a space before », and "Great! 😀" keeps its face
    rf"\n|(?P<core>{_END}+)(?P<cite>{_CITE})(?P<tail>(?:(?:{_CLOSER}|{_TEX_CLOSER}){_END}*|[^\S\n]?»)*)"
    rf"(?:[^\S\n]?{_MARK})*(?:[^\S\n]*{_FACE}+)*"
)
_MARK_BEGUN = re.compile(r"\[\^?(?:\d{1,3}[,–-] ?)*\d{0,3}")  # may become one yet
_SPACE, _WORD, _LETTERS = re.compile(r"\s*"), re.compile(r"[^\W_]"), re.compile(r"[^\W\d_]*")
_MARKER = re.compile(  # "1.", "a)", "- **2.1.**", "IV."
    r"[\W_]*(?:\d{1,3}|[A-Za-z]|[ivxIVX]{2,4})(?:\.\d{1,3})*[.)][\W_]*"
)
_GOES_ON = re.compile(rf"{_END}|[,:|)\]}}%/=&”’」』）、，；：،؛]")
_EAST, _HIRAGANA = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"), re.compile("[ぁ-ゟ]")
_IN_LINE = re.compile(r"[:：][\W_]*1$|;\s+\d{1,2}$")  # "as follows: 1. Mix; 2. Bake"
_NAMED = re.compile(r"\b(?:Yahoo|Yum|Jeopardy)$|\w\W*\s[A-Z]\w+$")  # a name with its mark: "Yahoo!"
_MADE_BY = frozenset(
    ["Inc", "Ltd", "LLC", "Corp", "GmbH", "plc", "Brands", "Finance", "Mail", "News"]
)
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September"]
_MONTHS += ["October", "November", "December"]
_ZONES = ["GMT", "UTC", "BST", "IST", "CET", "CEST", "Eastern", "Central", "Mountain", "Pacific"]
_ZONES += [f"{zone}{time}" for zone in "ECMP" for time in ("ST", "DT", "T")]
_AFTER_TIME = frozenset(
    [*_DAYS, *_MONTHS, *_ZONES, *(f"{day}s" for day in _DAYS)]
    + [name[:3] for name in _DAYS + _MONTHS]
)


def first_boundary(text: str) -> int | None:
    """Return the offset just after the first sentence of `text`, or None while it is undecided.

    Whatever is appended to `text`, an offset once returned stays the same. It is known at the
    first visible character after the sentence, or at the end of the word that begins there. Closing
    quotes, brackets, markdown, reference marks and a face belong to the sentence, and so do the
    newlines that end it; spaces belong to the next one.

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
        decided = _ends(text, start, stop, end, space.end())
        if decided is not False:
            return end if decided else None
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


def _ends(text: str, start: int, stop: re.Match[str], end: int, after: int) -> bool | None:
    """Decide a stop by what is before it and by the first visible character, at `after`.

    None where that character cannot tell, and what follows it must.
    """
    core, last, following = stop["core"], text[stop.start() - 1], text[after]
    closed = min(end, stop.end("tail"))
    quoted = closed > stop.end("cite")
    if _GOES_ON.match(following) or (quoted and _inside_brackets(text, start, closed)):
        return False
    if following == "[" and after - end < 2 and _MARK_BEGUN.fullmatch(text, after):
        return None
    if following in "\\$":
        closing = _closes_formula(text, max(start, end - 500), end, after)
        if closing is not False:
            return None if closing is None else False
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
        return False
    if text[closed - 1] == "$" or text[closed - 2] == "\\":
        return True
    before = text[max(start, stop.start() - 100) : stop.start()]
    if core != ".":
        named = core in ("!", "?") and _NAMED.search(before)
        return _not_any(_MADE_BY, text, after) if named else True
    if form := closes(before):
        if following in "([-–—" or following.isdigit():
            return False
        return not form.endswith("m") or _not_any(_AFTER_TIME, text, after)
    return not (_IN_LINE.search(before) or is_short(before, following.isdigit()))


def _not_any(words: frozenset[str], text: str, at: int) -> bool | None:
    """Tell whether the word at `at` is none of `words`; None while it may become one."""
    found = _LETTERS.match(text, at)
    word = found[0] if found else ""
    if at + len(word) < len(text):
        return word not in words
    return None if any(one.startswith(word) for one in words) else True


def _closes_formula(text: str, start: int, end: int, at: int) -> bool | None:
    """Tell whether the mark at `at` closes a TeX formula; None while that is open."""
    if at + 1 == len(text):
        return None
    following = text[at + 1]
    if text[at] == "\\":
        return following in ")]"
    return not following.isdigit() and len(re.findall(r"\$+", text[start:end])) % 2 == 1


def _inside_brackets(text: str, start: int, end: int) -> bool:
    """Tell whether the stop closes with a bracket that opened in mid-sentence."""
    opener = {")": "(", "）": "（", "]": "["}.get(text[end - 1])
    if text[end - 2] == "\\":
        return False
    opened = start if opener is None else text.rfind(opener, start, end)
    return opened > start and _WORD.search(text, start, opened) is not None
