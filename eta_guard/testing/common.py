"""What the suites have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from PIL import Image, ImageDraw

S = TypeVar("S")
T = TypeVar("T")

THREADS = 4


class ConformanceTests:
    """Base of the suites: what a subclass may not do to them."""

    def test_no_rule_is_left_out(self) -> None:
        """A subclass overrides a test only as an expected failure that says why.

        If it fails: mark what you override ``@pytest.mark.xfail(reason="…")``.
        """
        rules = {name for name in dir(self._suite()) if name.startswith("test_")}
        changed = [
            name
            for name in sorted(rules)
            if getattr(type(self), name, None) is not getattr(self._suite(), name)
            and not _fails_for_a_reason(getattr(type(self), name, None))
        ]
        assert not changed, f"overridden without a reason: {changed}"

    @classmethod
    def _suite(cls) -> type:
        """The suite that a class is made from, which is the first of ours among its bases."""
        return next(base for base in cls.__mro__ if base.__module__.startswith(__package__))


def _fails_for_a_reason(test: Any) -> bool:
    marks = getattr(test, "pytestmark", ())
    return any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks)


def in_threads(work: Callable[[S], T], items: Iterable[S]) -> list[T]:
    """What ``work`` makes of each item, several at a time."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, items))


def awaited(work: Coroutine[Any, Any, T]) -> T:
    """What comes of a coroutine, run in a loop of its own."""
    return asyncio.run(work)


def drawn(colour: str, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """A shape on grey ground, different for each colour."""
    picture = Image.new("RGB", size, "lightgrey")
    place = (size[0] // 4, size[1] // 4, 3 * size[0] // 4, 3 * size[1] // 4)
    draw = ImageDraw.Draw(picture)
    (draw.ellipse if len(colour) % 2 else draw.rectangle)(place, fill=colour)
    return picture
