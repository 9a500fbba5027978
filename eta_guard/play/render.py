"""What the page shows of a conversation, as HTML; every text is escaped by the templates."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from eta_guard.cli import words
from eta_guard.play.asking import Turn
from eta_guard.play.histogram import Histogram
from eta_guard.play.pictures import SIDE, SMALL, show
from eta_guard.play.rounds import rounds_of
from eta_guard.play.settings import Chosen, Dial
from eta_guard.play.steps import steps_of
from eta_guard.policy import GuardPolicy
from eta_guard.state import Verdict

_TEMPLATES = Environment(
    loader=PackageLoader("eta_guard.play"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _page(name: str, **values: Any) -> str:
    return _TEMPLATES.get_template(f"{name}.html.j2").render(**values)


def earlier(turns: Sequence[Turn]) -> str:
    """The turns before the last, each in a few lines, the newest first."""
    told = [
        {
            "pictures": [show(image, found, SMALL) for image, found in _evaluated(turn)],
            "question": turn.question.text,
            "answer": turn.reply.text if turn.reply else turn.error,
            "decision": turn.verdict.decision if turn.verdict else "",
        }
        for turn in reversed(turns)
    ]
    return _page("earlier", turns=told) if told else ""


def pictures(turn: Turn) -> str:
    """The question, and its pictures with what was found on them."""
    shown = [show(image, found, SIDE) for image, found in _evaluated(turn)]
    return _page("question", pictures=shown, question=turn.question.text, before=_before(turn))


def way(turn: Turn, dials: Sequence[Dial]) -> str:
    """The nodes that were gone through."""
    return _page("way", steps=steps_of(turn, dials))


def rounds(turn: Turn) -> str:
    """The candidates of the search; nothing where none was needed."""
    found = rounds_of(turn)
    return _page("rounds", rounds=found) if found else ""


def answers(turn: Turn, policy: GuardPolicy) -> str:
    """The answer beside the unguarded one, what both cost, and the verdict to be saved."""
    verdict = turn.verdict
    if turn.error is not None:
        return problem(turn.error, turn.hint)
    if turn.reply is None or verdict is None:
        return _page("foot", seconds=turn.seconds, tokens=None, cost="", save="")
    told = verdict.model_dump_json(indent=2)
    values: dict[str, Any] = {
        "answer": turn.reply.text,
        "decision": verdict.decision,
        "happened": words.what_happened(verdict, policy),
        "draft": verdict.draft,
        "same": verdict.draft is not None and verdict.draft.strip() == turn.reply.text.strip(),
        "outcome": verdict.response.outcome if verdict.response else "",
        "seconds": turn.seconds,
        "tokens": turn.reply.usage_metadata,
        "cost": words.cost(verdict.counts),
        "save": base64.b64encode(told.encode()).decode(),
    }
    return _page("answers", **values)


def problem(message: str, hint: str | None) -> str:
    """What is wrong, and what to do."""
    return _page("problem", message=message, hint=hint)


def whatif(verdict: Verdict, before: Chosen, now: Chosen) -> str:
    """What the settings of now would have decided on the scores of a verdict."""
    found = verdict.under(now.policy)
    return _page(
        "whatif",
        was=verdict.decision,
        found=found,
        reason=found.reason,
        next_time=[_said(name) for name in now.counts_next_time(before)],
        changed=now != before,
    )


def histogram(drawn: Histogram) -> str:
    """Scores of known cases, and where the threshold stands among them."""
    return _page("histogram", drawn=drawn)


def _said(field: str) -> str:
    return {"candidates": "N", "search_temperature": "temperature"}.get(field, field)


def _evaluated(turn: Turn) -> list[tuple[Any, Mapping[str, Any] | None]]:
    """The pictures of a turn, each with its evaluation where it has one."""
    event = next((one for one in turn.found if one.get("images")), None)
    found = [one for one in event["images"] if one["message"] == turn.place] if event else []
    known = [*found, *[None] * (len(turn.pictures) - len(found))]
    return list(zip(turn.pictures, known, strict=False))


def _before(turn: Turn) -> str:
    """Where the picture that counts stands, if it is one of an earlier turn."""
    image = next((one["image"] for one in turn.found if one.get("image")), None)
    if image is None or image["message"] == turn.place or image["outcome"] == "safe":
        return ""
    return f"A picture of an earlier turn is {image['outcome']}, and counts."
