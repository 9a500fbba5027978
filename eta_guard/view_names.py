"""The names of a picture's views, in which it is evaluated as an attacker may have hidden it.

What each costs and finds, by ``eta-guard views`` on the embedded models: encodes of an ordinary
safe picture beside the published view's one, and of 60 hazards, hidden in the way that it is for,
how many in a hundred are flagged without it and with it.

=============  =======  ======================================
view           encodes  flagged
=============  =======  ======================================
trimmed           0.12  on a canvas of twice the side 38, 100
panels            0.10  one of four tiles 18, 83
turned            0.32  turned by 90° 33, 83; by 180° 65, 92
tilted            0.22  tilted by 30° 57, 95
mirrored          0.11  mirrored 80, 98
stretched         0.11  low contrast 78, 100
as_shown          0     (the chat model scales as CLIP does)
inverted          0.11  inverted 98, 100
tiles             0.97  on a canvas of twice the side 38, 40
small_tiles       2.69  one of four tiles 18, 33
=============  =======  ======================================

The default's views cost 1.98 encodes, and flag 95.5 in a hundred of what is hidden in ten ways,
where the published view flags 61, with false alarms of 14 in a hundred in place of 4 (a third of
the pictures are made hard to read). Looked at always they cost 8.2 encodes, and flag 97, with false
alarms of 28.
"""

from __future__ import annotations

from typing import Literal, get_args

ViewName = Literal[
    "whole",
    "trimmed",
    "panels",
    "turned",
    "tilted",
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
    "tilted",
    "mirrored",
    "stretched",
    "as_shown",
)
"""Those that are worth their cost."""
