from __future__ import annotations

from typing import Any

from eta_guard.evaluation.judges.protocol import Judgement
from eta_guard.evaluation.records import Answer, CaseRecord
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
    told |= {name: values.pop(name) for name in ("advises", "relevant") if name in values}
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
