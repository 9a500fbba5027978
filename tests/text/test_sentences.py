"""Sentence ends: the hand-cut pieces of `data/sentences.json` are the expected sentences."""

from __future__ import annotations

import itertools
import json
import random
import re
import time
from pathlib import Path

import pytest

from eta_guard.text.sentences import boundaries, first_boundary, is_finished

DATA = Path(__file__).parents[1] / "data" / "sentences.json"
CORPUS: dict[str, list[list[str]]] = json.loads(DATA.read_text(encoding="utf-8"))
TEXTS = [
    pytest.param(pieces, id=f"{language}-{number}")
    for language, texts in CORPUS.items()
    for number, pieces in enumerate(texts)
]
# Every language beside every other one: nobody says which language comes next.
AMBIGUOUS = re.compile(r"(?i:[ap]\. ?m\.)$|\s[A-Z]\w+!$")
MIXED = [
    piece
    for texts in itertools.zip_longest(*CORPUS.values(), fillvalue=[])
    for pieces in texts
    for piece in [*pieces[:-1], *(f"{last}\n" for last in pieces[-1:])]
]


def stream(chunks: list[str]) -> list[int]:
    """Cut off sentences as a search does: ask after every chunk, go on with what is left."""
    found, base, seen = [], 0, ""
    for chunk in chunks:
        seen += chunk
        while (end := first_boundary(seen)) is not None:
            base, seen = base + end, seen[end:]
            found.append(base)
    return [*found, base + len(seen)] if seen.strip() else found


def cut(text: str, sizes: random.Random) -> list[str]:
    """Cut `text` into token-like chunks of one to seven characters."""
    chunks, at = [], 0
    while at < len(text):
        size = sizes.randint(1, 7)
        chunks.append(text[at : at + size])
        at += size
    return chunks


def ends(pieces: list[str]) -> list[int]:
    return list(itertools.accumulate(map(len, pieces)))


def test_the_corpus_is_as_large_as_it_claims() -> None:
    assert len(CORPUS) >= 10
    assert sum(len(pieces) for texts in CORPUS.values() for pieces in texts) >= 200
    assert {"English", "German", "Chinese", "Japanese", "Hindi", "Arabic"} <= set(CORPUS)


@pytest.mark.parametrize("pieces", TEXTS)
def test_whole_text(pieces: list[str]) -> None:
    text = "".join(pieces)
    found = boundaries(text)
    assert [text[a:b] for a, b in itertools.pairwise([0, *found])] == pieces


@pytest.mark.parametrize("pieces", TEXTS)
def test_every_prefix_agrees(pieces: list[str]) -> None:
    text, first = "".join(pieces), len(pieces[0])
    answers = [first_boundary(text[:k]) for k in range(len(text) + 1)]
    known = next((k for k, answer in enumerate(answers) if answer is not None), len(answers))
    assert set(answers[:known]) <= {None}
    assert set(answers[known:]) <= {first}


@pytest.mark.parametrize("pieces", TEXTS)
def test_known_at_the_first_visible_character(pieces: list[str]) -> None:
    for piece, following in itertools.pairwise(pieces):
        blank = len(following) - len(following.lstrip())
        assert first_boundary(piece + following[:blank]) is None
        # After a time of day, or a name with a mark, the word tells, and before a bracket a second.
        wait = len(following) if AMBIGUOUS.search(piece) else 1 + (following[blank] in "[\\$")
        assert first_boundary(piece + following[: blank + wait]) == len(piece)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("Come at 5 p.m. ", None),
        ("Come at 5 p.m. M", None),
        ("Come at 5 p.m. Mo", None),
        ("Come at 5 p.m. Mom", 14),
        ("Come at 5 p.m. Mon", None),
        ("Come at 5 p.m. Mon ", None),
        ("Come at 5 p.m. Monet", 14),
        ("Come at 5 p.m. He", 14),
        ("We like Yahoo! I", None),
        ("We like Yahoo! It", 14),
        ("We like Yahoo! Inc", None),
        ("We like Yahoo! Inc. is", None),
        ("It is so. [", None),
        ("It is so. [1", None),
        ("It is so. [1]", None),
        ("It is so. [1] B", 13),
        ("It is so. [n", 9),
        ("It is so. \\", None),
        ("It is so. \\(", 9),
        ("It is so. \\)", None),
        ("It is so。\\", None),
    ],
)
def test_what_one_character_cannot_tell_is_waited_for(text: str, end: int | None) -> None:
    assert first_boundary(text) == end


@pytest.mark.parametrize("pieces", TEXTS)
def test_token_by_token_at_every_split(pieces: list[str]) -> None:
    text, expected = "".join(pieces), ends(pieces)
    assert stream(list(text)) == expected
    for k in range(1, len(text)):
        assert stream([text[:k], text[k:]]) == expected
    sizes = random.Random(len(text))
    for _ in range(20):
        assert stream(cut(text, sizes)) == expected


@pytest.mark.parametrize("pieces", TEXTS)
def test_half_characters_decide_nothing(pieces: list[str]) -> None:
    text = "".join(pieces)
    raw, found, base = text.encode(), [], 0
    for k in range(1, len(raw) + 1):
        # A byte-level tokenizer shows "\ufffd" until the character is complete.
        seen = raw[:k].decode(errors="replace")
        while (end := first_boundary(seen[base:])) is not None:
            base += end
            found.append(base)
    assert [*found, len(text)] == ends(pieces)


def test_mixed_languages() -> None:
    text = "".join(MIXED)
    assert boundaries(text) == ends(MIXED)
    assert stream(cut(text, random.Random(0))) == ends(MIXED)


def test_random_text_is_never_taken_back() -> None:
    alphabet = ["Dr", "etc", "no", "a", "X", "3", "é", "я", "好", "と", "है", "نعم", "네", "😀"]
    alphabet += [
        "p.m",
        "Mon",
        "Yahoo",
        "I",
        "Inc",
        "[2]",
        "[1,",
        "\\",
        "$",
        "x.io",
        ": 1",
        "; 2",
        "Rep",
    ]
    alphabet += ["z. B", "\r\n", *"..!?…;:,。！？．।؟   \n\n\"'“”«»()[]（）「」*-—_/¿"]
    draw = random.Random(7)
    for _ in range(4000):
        chunks = draw.choices(alphabet, k=draw.randint(1, 25))
        text = "".join(chunks)
        whole = boundaries(text)
        assert stream(list(text)) == stream(chunks) == whole, repr(text)
        assert whole == sorted(set(whole))
        answers = [first_boundary(text[:k]) for k in range(len(text) + 1)]
        decided = [answer for answer in answers if answer is not None]
        assert answers[len(answers) - len(decided) :] == decided, repr(text)
        assert len(set(decided)) <= 1, repr(text)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("", None),
        ("no stop at all, however long it may be", None),
        ("Dr.", None),
        ("Dr. Smith", None),
        ("It costs 3.", None),
        ("It costs 3. ", None),
        ("It costs 3.1", None),
        ("It costs 3. T", 11),
        ("3. Then", None),  # at the start of a sentence it numbers a list item
        ("Who?", None),
        ("Who?!", None),
        ("Who?! Y", 5),
        ("Yes. ", None),
        ("Yes. T", 4),
        ("Yes. and", None),
        ("Yes! and", None),
        ("Yes.\n", None),
        ("Yes.\n\n", None),
        ("Yes.\n\nN", 6),
        ("Yes.\r\n\r\n  N", 8),
        ("\n\nYes. T", 6),
        ("好。", None),
        ("「好。", None),
        ("「好。」", None),
        ("「好。」我", 4),
        ("「好。」と", None),
        ("好。“我", 2),
        ("我“好。“", 4),
        ("and so on, etc. Then", 15),
        ("She is an MD. He", 13),  # in capitals it is a name, not a shortened word
        ("See &e=f. Then", 9),  # the tail of an address is no initial
        ("ქართული. ენა", 8),  # letters that are lower case, without capitals
        ("1.\nText", None),
        ("---\nText", None),
        ("a.b", None),
        ("Fine. \ufffd", None),
        ("Fine. \ufffdx", 5),
    ],
)
def test_decisions(text: str, end: int | None) -> None:
    assert first_boundary(text) == end


@pytest.mark.parametrize("text", ["", " ", "\n\n \t"])
def test_blank_text_has_no_sentence(text: str) -> None:
    assert boundaries(text) == []


def test_every_sentence_terminal_of_unicode_ends_a_sentence() -> None:
    regex = pytest.importorskip("regex")
    odd = "\u2024"  # ONE DOT LEADER: a dot of a row of dots
    for mark in filter(regex.compile(r"\p{Sentence_Terminal}").match, map(chr, range(0x10000))):
        assert (first_boundary(f"so es{mark} Xo") == 6) is (mark not in odd), hex(ord(mark))


def test_quick_enough_to_ask_after_every_token() -> None:
    text = "The room holds a table of 2.5 m, a chair (old), etc. and a lamp; " * 5
    for tail in ("so", "so Dr. Smith", "so. The"):
        first_boundary(text + tail)
        start = time.perf_counter()
        for _ in range(200):
            first_boundary(text + tail)
        # About 40 µs on one core; the margin is for a busy machine.
        assert (time.perf_counter() - start) / 200 < 1e-3


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "mark",
    [
        "_",
        "*",
        ")",
        "»",
        "`",
        '"',
        " ",
        "\n",
        ".",
        "😀",
        "_.",
        "* ",
        "[1]",
        " [1]",
        "$",
        ". $",
        "\\)",
        "1,",
    ],
)
def test_a_form_to_be_filled_in_takes_no_time(mark: str) -> None:
    """What a model writes may be steered from outside: no pattern may try all ways to read it."""
    for text in (f"Fill in here.{mark * 5000} date", f"Fill in here.{mark * 5000}"):
        is_finished(text)
        first_boundary(text)


@pytest.mark.parametrize(
    ("text", "finished"),
    [
        ("Stay safe.", True),
        ("Stay safe. ", True),
        ("Stay safe", False),
        ("Really?!", True),
        ('He said "No."', True),
        ("(It is.)", True),
        ("你好。", True),
        ("Great! 😀", True),
        ("A line\n", True),
        ("in the U.S.", True),
        ("and so on etc.", True),
        ("Hello;", False),
        ("Τι είναι αυτό;", True),
        ("2.", False),
        ("- **a)**", False),
        ("…", False),
        ("\n", False),
        ("", False),
        ("One: ", False),
    ],
)
def test_what_ends_as_a_sentence_does(text: str, finished: bool) -> None:
    assert is_finished(text) is finished
