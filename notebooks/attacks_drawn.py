"""Draws what attacks come to: shares with their intervals, an attack a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

Row = Mapping[str, Any]

COLOURS = {"before": "#9a9a9a", "after": "#0c8ce9"}
SHARES = {
    "flagged": "hazards flagged",
    "unsafe_shown": "unsafe answers shown",
    "over_refusal": "safe requests refused",
}


def sides(rows: Sequence[Row]) -> list[str]:
    """Under which policies the rows were measured."""
    return [side for side in ("before", "after") if all(row[side] for row in rows)]


def shares(rows: Sequence[Row]) -> None:
    """A panel a share, with its 95 % intervals."""
    height = 0.22 * len(rows) + 1
    figure, panels = plt.subplots(
        1, len(SHARES), figsize=(9, height), sharey=True, layout="constrained"
    )
    places = np.arange(len(rows))[::-1]
    for panel, (name, told) in zip(panels, SHARES.items(), strict=True):
        for side in sides(rows):
            for place, row in zip(places, rows, strict=True):
                found = row[side]
                low, high = found[f"{name}_ci"]
                off = 0.15 if side == "before" else -0.15
                panel.plot(
                    [100 * low, 100 * high], [place + off] * 2, color=COLOURS[side], alpha=0.4
                )
                panel.plot(100 * found[name], place + off, "o", ms=4, color=COLOURS[side])
        panel.set(xlabel=f"{told}, %", xlim=(-3, 103), ylim=(-0.7, len(rows) - 0.3))
        panel.grid(axis="x", alpha=0.3)
        panel.spines[["top", "right", "left"]].set_visible(False)
    panels[0].set_yticks(places, [row["attack"] for row in rows], fontsize=8)
    for side in sides(rows):
        panels[-1].plot([], [], "o", color=COLOURS[side], label=side)
    panels[-1].legend(frameon=False, loc="upper right")
    plt.show()
    plt.close(figure)


def magnified(before: Image.Image, after: Image.Image, times: int) -> Image.Image:
    """The difference of two pictures around a middle grey, so many times as strong."""
    one, other = (np.asarray(image, dtype=int) for image in (before, after))
    return Image.fromarray(np.clip(128 + times * (other - one), 0, 255).astype(np.uint8))
