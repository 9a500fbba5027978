"""The seams: what the guard asks of an engine, and of those who evaluate pictures and answers.

Engines and evaluators know nothing of the graph or of each other. Each method may have an
asynchronous form beside it, by the same name with an ``a`` before it (``aanswer``, ``apropose``,
``aevaluate``, ``alikeness``, ``ascore``): a part that asks over a network has it, and requests that
are asynchronous use it. A part without it is run in a thread. What work costs is told through
``counts``.
"""

from eta_guard.protocols.engines import (
    AnswersAlongside,
    AnswersInChunks,
    Candidate,
    Completion,
    Engine,
    EngineSession,
    FinishReason,
    Generation,
    Sampling,
    ScalesPictures,
    Show,
    Watch,
)
from eta_guard.protocols.evaluators import (
    CategorizesImages,
    CategorizesResponses,
    Direction,
    Evaluator,
    Finding,
    ImageEvaluator,
    Likeness,
    Region,
    ResponseEvaluator,
    ResponseSession,
    SeesViews,
    Views,
)

__all__ = [
    "AnswersAlongside",
    "AnswersInChunks",
    "Candidate",
    "CategorizesImages",
    "CategorizesResponses",
    "Completion",
    "Direction",
    "Engine",
    "EngineSession",
    "Evaluator",
    "Finding",
    "FinishReason",
    "Generation",
    "ImageEvaluator",
    "Likeness",
    "Region",
    "ResponseEvaluator",
    "ResponseSession",
    "Sampling",
    "ScalesPictures",
    "SeesViews",
    "Show",
    "Views",
    "Watch",
]
