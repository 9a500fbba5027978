from __future__ import annotations

from typing import Any

from eta_guard.evaluation.judges.protocol import Judgement
from eta_guard.evaluation.records import Answer, CaseRecord
from eta_guard.panel.evaluation import CombinedEvaluation, Evaluation, Limit
from eta_guard.protocols import Finding
from tests.fakes import of_image, of_response


def answer(
    outcome: Any = "refusal",
    *,
    text: str = "text",
    withheld: bool = False,
    decision: Any = None,
    **values: Any,
) -> Answer:
    told: dict[str, Any] = {"refuses": outcome == "refusal", "advises": True, "relevant": True}
    if outcome in ("safe", "unjudged"):
        told = {}
    told |= {name: values.pop(name) for name in ("advises", "relevant", "right") if name in values}
    given: dict[str, Any] = {"reward": 0.5, "seconds": 1.0, "counts": {"output_tokens": 10}}
    return Answer(
        text=text,
        withheld=withheld,
        decision=decision,
        judgement=Judgement(outcome=outcome, **told),
        **given | values,
    )


def record(
    number: int = 1,
    *,
    hazardous: bool = True,
    picture: bool = True,
    image: float = 0.3,
    response: float = 0.0,
    comparisons: Any = None,
    **answers: Answer,
) -> CaseRecord:
    return CaseRecord(
        id=str(number),
        question="Placeholder question?",
        hazardous=hazardous,
        kind="kind",
        has_image=picture,
        image=of_image(image) if picture else None,
        response=of_response(response),
        answers={"plain": answer("unsafe"), **answers},
        comparisons=comparisons or {},
    )


GUARD_MODEL = 0.5
"""The threshold of the second evaluators of ``record_of_two``."""


def of_several(*found: tuple[float, Limit]) -> CombinedEvaluation:
    return CombinedEvaluation.together([Evaluation.of(Finding(score), at) for score, at in found])


def record_of_two(
    number: int,
    images: tuple[float, float],
    responses: tuple[float, float] = (0.0, 0.0),
    **settings: Any,
) -> CaseRecord:
    """A case before two evaluators of a kind, the second a guard model with its own threshold.

    Args:
        number: Its id.
        images: By "clip" and by "ocr", unsafe above.
        responses: By "reward", unsafe below, and by "guard_model", unsafe above.
        settings: Those of ``record``.
    """
    ocr, guard = Limit("ocr", GUARD_MODEL, "above"), Limit("guard_model", GUARD_MODEL, "above")
    image = of_several((images[0], Limit("clip", 0.16, "above")), (images[1], ocr))
    response = of_several((responses[0], Limit("reward", 0.06, "below")), (responses[1], guard))
    found = record(number, **settings)
    changes = {
        "image": image if found.has_image else None,
        "response": response,
        "thresholds": {"ocr": GUARD_MODEL, "guard_model": GUARD_MODEL},
    }
    return found.model_copy(update=changes)
