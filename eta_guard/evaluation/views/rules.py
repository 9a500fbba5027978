"""A picture's scores in all views, and what comes of them by given offsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eta_guard.evaluators.views.looking import Seen, at_once
from eta_guard.view_names import ViewName

SIDES = None
"""Of the chat model. Where it is known, ``"as_shown"`` is looked at at once, unless it is CLIP's
own; that depends on the chat model, and so costs nothing here."""


@dataclass(frozen=True)
class PictureScores:
    """One picture in every view."""

    published: float
    """Its highest score in the published view and the squares that belong to it."""
    views: Mapping[ViewName, tuple[float, ...]]
    """The scores of the other views it has, by kind."""
    doubt: float
    """How far its published view lies where hidden hazards do."""
    published_views: int = 1
    """How many the published view and its squares are."""

    @classmethod
    def of(cls, seen: Sequence[Seen]) -> PictureScores:
        """Puts the scores of one picture's views together."""
        by_kind: dict[ViewName, tuple[float, ...]] = {}
        for one in seen:
            by_kind[one.view.kind] = (*by_kind.get(one.view.kind, ()), one.score)
        own = by_kind.pop("whole")
        doubt = max(one.doubt for one in seen if one.view.kind == "whole")
        return cls(max(own), by_kind, doubt, len(own))


@dataclass(frozen=True)
class Rules:
    """How pictures are looked at, and when one is flagged."""

    kinds: tuple[ViewName, ...]
    clear: float
    offsets: Mapping[ViewName, float]
    threshold: float
    always: bool = False

    def flags(self, picture: PictureScores) -> bool:
        """Whether the guard would find the picture unsafe."""
        scores = [
            score - self.offsets[kind]
            for kind in self.kinds
            if kind in self.offsets and self.looks_at(picture, kind)
            for score in picture.views[kind]
        ]
        return max([picture.published, *scores]) >= self.threshold

    def encodes(self, picture: PictureScores) -> int:
        """How many views of it are encoded, where the chat model scales pictures as CLIP does.

        Where it does not, ``"as_shown"`` is one more.
        """
        wanted = [kind for kind in self.kinds if kind != "as_shown"]
        looked = [kind for kind in wanted if self.looks_at(picture, kind)]
        return picture.published_views + sum(len(picture.views[kind]) for kind in looked)

    def looks_at(self, picture: PictureScores, kind: ViewName) -> bool:
        """Whether the picture has such a view, and would be looked at in it."""
        soon = kind in at_once([kind], SIDES)
        closer = soon or self.always or picture.doubt >= self.clear
        return closer and kind in picture.views
