"""What the evaluators ask of whatever asks a guard model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from eta_guard.evaluators.guard_model.asking import Asked, Category


class Reader(Protocol):
    """Asks a guard model, here or over a server."""

    @property
    def control_tokens(self) -> Sequence[str]:
        """Texts that users' texts are kept from spelling out, as far as the reader knows them."""
        ...

    def plain(self, text: str) -> str:
        """A user's text, as a question is to have it so that it is read to the letter."""
        ...

    def holds(self, asked: Asked) -> bool:
        """Whether a question fits the model's context; True where that is not known."""
        ...

    def begin(self, stem: Asked) -> Any:
        """What it keeps of questions that begin alike; None if it keeps nothing."""
        ...

    def scores(self, asked: Sequence[Asked], chain: Any = None) -> list[float]:
        """The score of each question, NaN where there is none."""
        ...

    def category(self, question: Category) -> str | None:
        """The category that the model names."""
        ...
