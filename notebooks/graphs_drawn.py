"""Draws a graph's nodes and edges, with the way that a request took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
from langgraph.graph import END, START
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.text import Text

TAKEN, OTHER = "#0c8ce9", "#c4c4c4"

Places = Mapping[str, tuple[float, float]]

GUARD: Places = {
    START: (-1.2, 0.0),
    "pre_evaluate": (0.0, 0.0),
    "generate": (1.5, 0.0),
    "post_evaluate": (3.0, 0.0),
    "prefix_align": (4.5, 0.0),
    "best_of_n": (4.5, -1.6),
    "respond": (1.5, -1.6),
    END: (0.3, -1.6),
}
"""Where the nodes of ``EtaGuard.graph`` stand."""


def draw(graph: Any, route: Sequence[str] = (), places: Places = GUARD) -> None:
    """Draws a compiled graph.

    Args:
        graph: Compiled.
        route: Names of the nodes that ran, in their order.
        places: Where each node stands.
    """
    taken = Counter(pairwise([START, *route, END])) if route else Counter()
    shown = graph.get_graph()
    figure = plt.figure(figsize=(9, 3.2))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(
        xlim=(min(x for x, _ in places.values()) - 0.6, max(x for x, _ in places.values()) + 1.2),
        ylim=(min(y for _, y in places.values()) - 0.4, max(y for _, y in places.values()) + 0.5),
    )
    axes.axis("off")
    boxes = {
        name: _box(axes, name, places[name], on=not route or name in (START, END, *route))
        for name in shown.nodes
    }
    figure.canvas.draw()  # arrows end where boxes begin, whose size is known only now
    edges = sorted({(edge.source, edge.target) for edge in shown.edges})
    for source, target in edges:
        times = taken[source, target]
        if source == target:
            _loop(axes, places[source], times)
        else:
            ends = _outline(axes, boxes[source]), _outline(axes, boxes[target])
            _arrow(axes, *ends, times, both=(target, source) in edges)
    plt.show()
    plt.close(figure)


def _box(axes: Axes, name: str, place: tuple[float, float], *, on: bool) -> Text:
    return axes.text(
        *place,
        name.strip("_").replace(".", "\n"),
        ha="center",
        va="center",
        color="white" if on else "#8a8a8a",
        fontweight="bold" if on else "normal",
        bbox={"boxstyle": "round,pad=0.5", "fc": TAKEN if on else "#f0f0f0", "ec": "none"},
        zorder=3,
    )


def _outline(axes: Axes, box: Text) -> Rectangle:
    patch = box.get_bbox_patch()
    assert patch is not None
    extent = patch.get_window_extent().transformed(axes.transData.inverted())
    found = Rectangle((extent.x0, extent.y0), extent.width, extent.height)
    found.set_transform(axes.transData)
    return found


def _middle(box: Rectangle) -> tuple[float, float]:
    x, y = box.get_center()
    return float(x), float(y)


def _arrow(axes: Axes, source: Rectangle, target: Rectangle, times: int, *, both: bool) -> None:
    axes.add_patch(
        FancyArrowPatch(
            _middle(source),
            _middle(target),
            arrowstyle="-|>",
            mutation_scale=16,
            connectionstyle=f"arc3,rad={-0.35 if both else 0.0}",
            patchA=source,
            patchB=target,
            shrinkA=3,
            shrinkB=4,
            color=TAKEN if times else OTHER,
            linewidth=2.6 if times else 1.0,
            linestyle="-" if times else "--",
            zorder=2 if times else 1,
        )
    )


def _loop(axes: Axes, place: tuple[float, float], times: int) -> None:
    x, y = place
    axes.add_patch(
        FancyArrowPatch(
            (x + 0.45, y + 0.15),
            (x + 0.45, y - 0.15),
            arrowstyle="-|>",
            mutation_scale=16,
            connectionstyle="arc3,rad=-2.2",
            color=TAKEN if times else OTHER,
            linewidth=2.6 if times else 1.0,
            linestyle="-" if times else "--",
        )
    )
    if times:
        axes.text(x + 0.95, y, f"×{times}", color=TAKEN, fontweight="bold", va="center")
