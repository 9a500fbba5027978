"""What a text is read as beside itself, and what is left as it stands."""

from __future__ import annotations

import base64
import json
import unicodedata
from pathlib import Path

import pytest

from eta_guard.errors import EvaluationError
from eta_guard.text.look_alikes import ALIKE
from eta_guard.text.readings import MOST, readings

TEXT = "how to make a kite out of the paper and put it on the wall"
CORPUS = json.loads((Path(__file__).parents[1] / "data" / "sentences.json").read_text("utf-8"))


def names(text: str) -> list[str]:
    return [reading.name for reading in readings(text)]


ORDINARY = [
    "\u201cIt\u2019s fine\u201d \u2014 he said\u2026 25 \u00b0C, \u00bd cup, x\u00b2 + y\u00b2",
    "na\u00efve Stra\u00dfe \u2122",
    "\u2764\ufe0f \U0001f468\u200d\U0001f469\u200d\U0001f467 1\ufe0f\u20e3",
    "\u03b1, \u03b2 and 5 \u00b5m",
    "Это обычный русский текст о чашке, а не о чём-то другом.",
    "これは普通の文章です。１，２！",
    "你好，世界！这是一个句子。",
    "می\u200cخواهم کتاب بخوانم",
    "Le café était très bon, mais où est-il ? Ça va !",
    "See https://example.com/a%20b/c?x=1%2B2&y=%C3%A9 and 9f86d081884c7d659a2feaa0c55ad015",
    "def f(x):\n    return x**2 + a[i] * b_c_d  # e.g. U.S.A. 3.14, 0x1f4a9",
    "A, B, C, D; mp3 h2o utf8 1st 2nd i18n k8s MP4 3D R2D2",
    "123e4567-e89b-12d3-a456-426614174000 at 12:30:45 from user@example.com",
    "internationalization, responsibilities and counterrevolutionaries",
    'print("a" + b) and **bold**, *it*, <b>tags</b>, `code`',
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
    "",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_common_text_has_one_reading(text: str) -> None:
    assert names(text) == [""]


def test_so_has_the_corpus_of_sentences() -> None:
    texts = _texts(CORPUS)
    assert len(texts) > 400
    assert [text for text in texts if len(names(text)) > 1] == []


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in _texts(one)]


@pytest.mark.parametrize(
    ("text", "told", "name"),
    [
        ("a k\u200bi\u200bt\u200be", "a kite", "as it looks"),
        ("a \u043aite", "a \u043aite", None),
        ("the r\u0435d k\u0456t\u0435", "the red kite", "as it looks"),
        ("with \u0430 ros\u0435", "with a rose", "as it looks"),
        ("k\u0336i\u0336t\u0336e\u0336", "kite", "as it looks"),
        ("\uff4b\uff49\uff54\uff45", "kite", "as it looks"),
        ("\U0001f17a\U0001f178\U0001f183\U0001f174", "kite", "as it looks"),
        ("k i t e s", "kites", "as it looks"),
        ("k.i.t.e", "kite", "as it looks"),
        ("h0w t0 m4k3 a k1t3", "how to make a kite", "as it looks"),
        ("ki**te", "kite", "as it looks"),
        ("ki<!-- -->te", "kite", "as it looks"),
        ("\u202eetik\u202c!", "kite!", "as it looks"),
        ('"ki" + "te"', '"kite"', "strings"),
        (r"\x6b\x69\x74\x65 it", "kite it", "escapes"),
        (r"\u006b\u0069\u0074\u0065", "kite", "escapes"),
        ("&#107;&#x69;&#116;&#101;", "kite", "entities"),
        ("%6b%69%74%65", "kite", "percent"),
        ("Ok: a2l0ZXM= is it", "Ok: kites is it", "base64"),
        ("Ok: a2l0ZXMgb24gdGhlIHdhbGw", "Ok: kites on the wall", "base64"),
        ("6b69746573", "kites", "hex"),
        ("Ubj gb znxr n xvgr.\nFine.", "How to make a kite.\nFine.", "rot13"),
    ],
)
def test_what_is_hidden_is_read(text: str, told: str, name: str | None) -> None:
    last = readings(text)[-1]
    assert last.text == told
    assert name is None or last.name == name


def test_readings_go_on_from_each_other() -> None:
    hidden = base64.b64encode(TEXT.encode().hex().encode()).decode()
    found = readings("\u200b".join(hidden))
    assert [one.name for one in found] == [
        "",
        "as it looks",
        "as it looks, base64",
        "as it looks, base64, hex",
    ]
    assert found[-1].text == TEXT


def test_what_is_wrapped_too_often_is_no_guess() -> None:
    text = TEXT
    for _ in range(MOST - 1):
        text = base64.b64encode(text.encode()).decode()
    assert readings(text)[-1].text == TEXT
    with pytest.raises(EvaluationError, match="more than 6 ways"):
        readings(base64.b64encode(text.encode()).decode())


UNITS = ["a", "A1", "aa ", "%61", "\\x61", "&#97;", "a2l0", '"+"', "01000001 ", "=", "<b>", "k."]
UNITS += [
    "k i ",
    "abcdefgh\n",
    "the ",
    "h0w ",
    "\u200b",
    "\u202e",
    "\U000e0061",
    "\ufe01",
    "e\u0336",
]


@pytest.mark.parametrize("unit", UNITS)
def test_no_text_makes_more_of_itself(unit: str) -> None:
    text = unit * 20_000
    try:
        found = readings(text)
    except EvaluationError:
        return
    assert len(found) <= MOST
    assert all(len(one.text) <= len(text) for one in found)


def test_look_alikes_are_letters_of_other_alphabets() -> None:
    others = "".join(ALIKE.values())
    assert len(others) == len(set(others)) > 300
    assert all(map(str.isalnum, others))
    assert not any(unicodedata.normalize("NFKC", other).isascii() for other in others)
    assert {"\u0430", "\u0435", "\u043e", "\u0440", "\u0441"} <= set(others)
