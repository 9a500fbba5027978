"""Charts as inline SVG, in colours that the page's style sheet sets for dark and light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from markupsafe import Markup, escape

from eta_guard.evaluation.roc import FAR

WIDTH, HEIGHT = 420, 240
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 40
BINS = 30


def histogram(groups: Mapping[str, Sequence[float]], threshold: float, label: str) -> Markup:
    """Scores of each group, with the threshold drawn in.

    Args:
        groups: ``"unsafe"`` and ``"safe"`` → scores.
        threshold: On the same scale; drawn at the edge where it lies ``FAR`` off.
        label: Of the scores.
    """
    scores = [score for some in groups.values() for score in some]
    drawn = [*scores, threshold] if abs(threshold) <= FAR else scores or [0.0]
    low, high = min(drawn), max(drawn)
    spread = (high - low) or 1.0
    edges = np.linspace(low - 0.02 * spread, high + 0.02 * spread, BINS + 1)
    counts = {name: np.histogram(some, edges)[0] for name, some in groups.items()}
    most = max((int(found.max()) for found in counts.values()), default=0) or 1
    plot = _Plot((float(edges[0]), float(edges[-1])), (0.0, float(most)))
    for name, found in counts.items():
        for count, (left, right) in zip(found, pairwise(edges), strict=True):
            if count:
                plot.box(float(left), float(right), float(count), name)
    plot.rule(min(max(threshold, low), high), f"threshold {threshold:.3g}")
    return plot.drawn(label, "cases")


def roc(
    false_alarm: Sequence[float], missed: Sequence[float], at: tuple[float, float], label: str
) -> Markup:
    """The ROC curve, with the threshold in use as a dot.

    Args:
        false_alarm: Shares, one a threshold.
        missed: Shares, one a threshold.
        at: False alarms and missed at the threshold in use.
        label: Names the curve.
    """
    plot = _Plot((0.0, 1.0), (0.0, 1.0))
    found = [1 - miss for miss in missed]
    plot.line(list(zip(false_alarm, found, strict=True)), "curve")
    plot.line([(0.0, 0.0), (1.0, 1.0)], "chance")
    plot.dot(at[0], 1 - at[1])
    return plot.drawn(f"{label}: safe cases flagged", "unsafe cases flagged")


def bars(rows: Mapping[str, float], unit: str, *, digits: int = 0) -> Markup:
    """One bar a row, with its value; not SVG, so that long labels wrap.

    Args:
        rows: Label → value; all at least 0.
        unit: Stands behind each value.
        digits: Behind the point.
    """
    most = max(rows.values(), default=0.0) or 1.0
    parts = [
        f'<dt>{escape(name)}</dt><dd><i style="width: {80 * value / most:.1f}%"></i>'
        f"{value:.{digits}f}{escape(unit)}</dd>"
        for name, value in rows.items()
    ]
    return Markup(f'<dl class="bars">{"".join(parts)}</dl>')


class _Plot:
    """Data coordinates to the picture's, and what has been drawn so far."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self._x, self._y = x, y
        self._parts: list[str] = []

    def box(self, left: float, right: float, top: float, kind: str) -> None:
        x, y = self._at(left, top)
        width, floor = self._at(right, 0.0)[0] - x, self._at(left, 0.0)[1]
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{floor - y:.1f}"'
            f' class="{escape(kind)}"/>'
        )

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        path = " ".join("{:.1f},{:.1f}".format(*self._at(*point)) for point in points)
        self._parts.append(f'<polyline points="{path}" class="{kind}"/>')

    def dot(self, x: float, y: float) -> None:
        across, down = self._at(x, y)
        self._parts.append(f'<circle cx="{across:.1f}" cy="{down:.1f}" r="5" class="dot"/>')

    def rule(self, x: float, label: str) -> None:
        across, _ = self._at(x, 0.0)
        anchor = "end" if across > WIDTH / 2 else "start"
        aside = -5 if anchor == "end" else 5
        self._parts.append(
            f'<line x1="{across:.1f}" x2="{across:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"'
            f' class="rule"/><text x="{across + aside:.1f}" y="{TOP + 10}"'
            f' text-anchor="{anchor}">{escape(label)}</text>'
        )

    def drawn(self, x_label: str, y_label: str) -> Markup:
        axes = (
            f'<path d="M{LEFT},{TOP} V{HEIGHT - BOTTOM} H{WIDTH - RIGHT}" class="axis"/>'
            f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">'
            f"{escape(x_label)}</text>"
            f'<text x="12" y="{(TOP + HEIGHT - BOTTOM) / 2}" text-anchor="middle"'
            f' transform="rotate(-90 12 {(TOP + HEIGHT - BOTTOM) / 2})">{escape(y_label)}</text>'
        )
        ticks = [
            f'<text x="{self._at(x, 0)[0]:.1f}" y="{HEIGHT - BOTTOM + 15}"'
            f' text-anchor="middle">{x:.2f}</text>'
            for x in np.linspace(*self._x, 5)
        ]
        ticks += [
            f'<text x="{LEFT - 5}" y="{self._at(0, y)[1] + 4:.1f}" text-anchor="end">{y:.3g}</text>'
            for y in (self._y[0], sum(self._y) / 2, self._y[1])
        ]
        return _svg(axes + "".join(ticks) + "".join(self._parts), HEIGHT, x_label)

    def _at(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self._x[0]) / (self._x[1] - self._x[0])
        up = (y - self._y[0]) / (self._y[1] - self._y[0])
        wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return LEFT + across * wide, TOP + (1 - up) * high


def _svg(inner: str, height: float, label: str) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{inner}</svg>'
    )
