"""The names of a picture's views, in which it is evaluated as an attacker may have hidden it.

What each costs and finds, by ``eta-guard views --limit 150`` on the embedded models: encodes of an
ordinary safe picture beside the published view's one, and of 60 hazards, hidden in the way that the
view is for, how many in a hundred are flagged without it and with it.

=============  =======  =====================================
view           encodes  flagged
=============  =======  =====================================
trimmed           0.12  on a canvas of twice the side 50, 100
panels            0.09  one of four tiles 20, 92
turned            0.16  turned by 90° 35, 67; by 180° 65, 80
mirrored          0.05  mirrored 80, 97
stretched         0.05  low contrast 78, 98
as_shown          0     (the chat model scales as CLIP does)
inverted          0.05  inverted: nothing was missed
tiles             0.48  one of four tiles 20, 42
small_tiles       1.33  on a canvas of thrice the side 55, 55
=============  =======  =====================================

Each alone leaves fewer pictures in doubt than all together: the default's views cost 1.98 encodes,
and flag 93 in a hundred of what is hidden in nine ways, where the published view flags 65, with
false alarms of 14 in a hundred in place of 4 (a third of the pictures are made hard to read).
Looked at always they cost 6.2 encodes, and flag 98, with false alarms of 28.
"""

from __future__ import annotations

from typing import Literal, get_args

ViewName = Literal[
    "whole",
    "trimmed",
    "panels",
    "turned",
    "mirrored",
    "inverted",
    "stretched",
    "as_shown",
    "tiles",
    "small_tiles",
]

VIEW_NAMES: tuple[ViewName, ...] = get_args(ViewName)
"""All of them, in the order in which they are looked at."""

DEFAULT_VIEWS: tuple[ViewName, ...] = (
    "whole",
    "trimmed",
    "panels",
    "turned",
    "mirrored",
    "stretched",
    "as_shown",
)
"""Those that are worth their cost."""
