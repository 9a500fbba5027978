from __future__ import annotations

import math
from dataclasses import replace

import pytest

from eta_guard.errors import UnsupportedModelError
from eta_guard.evaluators.guard_model.formats import LLAMA_GUARD_4, QWEN3GUARD, SHIELDSTRAL
from eta_guard.evaluators.guard_model.verdict import (
    VerdictTokens,
    first_category,
    score_of,
    told_verdict,
    worst,
)


def test_the_score_is_the_unsafe_share_of_the_verdicts() -> None:
    assert score_of(LLAMA_GUARD_4, 0.6, 0.0, 0.2) == pytest.approx(0.25)
    assert score_of(LLAMA_GUARD_4, 1.0, 0.0, 0.0) == 0.0


@pytest.mark.parametrize(("weight", "score"), [(1.0, 0.75), (0.0, 0.25), (0.5, 0.5)])
def test_a_middle_verdict_counts_by_its_weight(weight: float, score: float) -> None:
    form = replace(QWEN3GUARD, middle_weight=weight)
    assert score_of(form, 0.2, 0.4, 0.2) == pytest.approx(score)


@pytest.mark.parametrize("masses", [(0.3, 0.0, 0.1), (0.0, 0.0, 0.49), (math.nan, 0.0, 0.9)])
def test_without_half_of_the_mass_there_is_no_score(masses: tuple[float, float, float]) -> None:
    assert math.isnan(score_of(LLAMA_GUARD_4, *masses))
    assert not math.isnan(score_of(LLAMA_GUARD_4, 0.25, 0.0, 0.25))


def test_what_is_not_told_may_be_unsafe() -> None:
    told = [("safe", 0.5), ("unsafe", 0.1), ("\n", 0.1)]
    assert told_verdict(LLAMA_GUARD_4, told) == pytest.approx((0.1 + 0.3) / (0.6 + 0.3))
    # Nothing else told and nothing left over: the plain share.
    assert told_verdict(LLAMA_GUARD_4, [("safe", 0.75), ("unsafe", 0.25)]) == pytest.approx(0.25)
    # And what is left over makes no verdict of what is none.
    assert math.isnan(told_verdict(LLAMA_GUARD_4, [("safe", 0.4)]))


@pytest.mark.parametrize(
    ("token", "score"),
    [
        *((word, 1.0) for word in (" Unsafe", "Unsafe", "UNSAFE", '"Unsafe', " Un", "unsafe.")),
        *((word, 0.0) for word in (" Safe", "safe\n", "Sa")),
        *((word, math.nan) for word in ("S", "u", "", " ", "Safely", "not")),
    ],
)
def test_a_token_counts_for_the_word_that_it_is_or_begins(token: str, score: float) -> None:
    assert told_verdict(QWEN3GUARD, [(token, 1.0)]) == pytest.approx(score, nan_ok=True)


def test_a_beginning_that_two_verdicts_share_says_nothing() -> None:
    form = replace(LLAMA_GUARD_4, safe=("unharmed",), unsafe=("unsafe",))
    assert math.isnan(told_verdict(form, [("un", 1.0)]))
    assert told_verdict(form, [("uns", 1.0)]) == 1.0


def letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def words(text: str) -> list[int]:
    """A tokenizer that keeps a space before a word with it."""
    return [hash(part) for part in text.replace(" ", "_ ").split("_") if part]


def test_verdicts_are_read_by_their_first_tokens_behind_the_lead() -> None:
    found = VerdictTokens.of(SHIELDSTRAL, "", words)
    assert set(found.unsafe) == {hash("yes"), hash(" yes")}
    assert set(found.safe) == {hash("no"), hash(" no")}
    # The bare word would have melted into the lead: there it is another token.
    found = VerdictTokens.of(QWEN3GUARD, "Safety:", words)
    assert set(found.unsafe) == {hash(" Unsafe")}


def test_a_token_of_two_verdicts_is_left_out() -> None:
    found = VerdictTokens.of(LLAMA_GUARD_4, "", letters)
    assert (found.safe, found.unsafe) == ((ord("s"),), (ord("u"),))  # and not the space


def test_verdicts_that_begin_alike_are_refused() -> None:
    form = replace(LLAMA_GUARD_4, safe=("unharmed",))
    with pytest.raises(UnsupportedModelError, match="Llama Guard 4"):
        VerdictTokens.of(form, "", letters)


def test_the_worst_is_the_highest_and_what_was_not_read_is_worse() -> None:
    assert worst([0.2, 0.7, 0.1]) == 0.7
    assert math.isnan(worst([0.9, math.nan]))


@pytest.mark.parametrize(
    ("text", "end", "category"),
    [
        (" Triangles, Circles\nRefusal: No", "\n", "Triangles"),
        ("B. Triangles & Circles</answer>", "</answer>", "B. Triangles & Circles"),
        ("\nS9", "\n", None),
        (" None\n", "\n", None),
        ("", '"', None),
    ],
)
def test_the_first_category_is_told(text: str, end: str, category: str | None) -> None:
    assert first_category(text, end) == category
