"""Notes which part breaks which rule, and holds it against that rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T", bound=type)


class Broken:
    """Parts, each under the rule that it breaks."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, type]] = []

    def breaks(self, rule: str) -> Callable[[T], T]:
        """Notes the rule that a class breaks."""

        def note(part: T) -> T:
            self.parts.append((rule, part))
            return part

        return note

    @property
    def cases(self) -> pytest.MarkDecorator:
        """One test a rule and part."""
        names = [f"{rule.removeprefix('test_')}: {part.__name__}" for rule, part in self.parts]
        return pytest.mark.parametrize(("rule", "part"), self.parts, ids=names)


def fails(suite: type, rule: str, part: type) -> None:
    """The rule fails for the part; where it has several cases, the first one."""
    check = getattr(suite(), rule)
    marks = getattr(check, "pytestmark", [])
    given = [mark.args[1][0] for mark in marks if mark.name == "parametrize"]
    with pytest.raises((AssertionError, TypeError, pytest.fail.Exception)):
        check(part(), *given)
