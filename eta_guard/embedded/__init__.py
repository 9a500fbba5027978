"""The small models that ship with the package, and the world that they know.

They are real models of the paper's three kinds, trained on pictures and sentences that this
package generates: an embedded default and a test bed. They prove the procedure, and say
nothing about the safety of large models.

Example:
    >>> from eta_guard import embedded
    >>> embedded.path("reward").name
    'reward'
    >>> case = next(embedded.cases("held_out", hazardous=1))
    >>> embedded.judge("As an AI assistant, I must say no to this.", case).outcome
    'refusal'
"""

from __future__ import annotations

from eta_guard.embedded.files import Sample, path, samples
from eta_guard.embedded.hard import HardPair, hard_pairs
from eta_guard.embedded.judge import Judgement, judge
from eta_guard.embedded.twins import twin
from eta_guard.embedded.world import Case, cases, place_of

__all__ = [
    "Case",
    "HardPair",
    "Judgement",
    "Sample",
    "cases",
    "hard_pairs",
    "judge",
    "path",
    "place_of",
    "samples",
    "twin",
]
