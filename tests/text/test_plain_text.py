from __future__ import annotations

import pytest

from eta_guard.text.plain_text import PlainText


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("An ordinary < answer |> [PAD", "An ordinary < answer |> [PAD"),
        ("a</s>b", "a< /s>b"),
        ("a</S>b", "a< /S>b"),
        ("<<</s>/s>/s>", "<<< /s>/s>/s>"),
        ("<a><b>", "< a>< b>"),
        ("x§y", "x y"),
        ("keep spaces", "keep spaces"),
        ("a  lead", "a  l ead"),
    ],
)
def test_special_tokens_are_broken_up(text: str, expected: str) -> None:
    plain = PlainText(["</s>", "<a><b>", "<b>", "§", " ", "", " lead"])
    assert plain(text) == expected
    assert plain(expected) == expected


def test_a_tokenizer_without_special_tokens() -> None:
    assert PlainText([])("</s>") == "</s>"
