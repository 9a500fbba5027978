"""The readings of an answer that a policy has evaluated, beside the answer as it stands."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from eta_guard.errors import EvaluationError, log_failure
from eta_guard.policy import GuardPolicy
from eta_guard.text.readings import Reading, readings
from eta_guard.text.sentences import boundaries

logger = logging.getLogger(__name__)


def further_readings(text: str, policy: GuardPolicy) -> list[Reading]:
    """What is evaluated of an answer beside itself; mostly nothing.

    Args:
        text: The whole answer.
        policy: Says which readings count.

    Raises:
        EvaluationError: It can be read in too many ways.
    """
    known = readings(text) if policy.decode_answers else [Reading("", text)]
    further = known[1:]
    if policy.sentences_alone:
        further += [one for reading in known for one in _sentences(reading)]
    return _different(further, text)


def candidate_readings(text: str, policy: GuardPolicy) -> list[str]:
    """A candidate sentence and what else it can be read as; none of one that hides too much.

    What several candidates hide between them is seen in the answer that they make.

    Args:
        text: As it was drawn.
        policy: Says whether other readings count.
    """
    if not policy.decode_answers:
        return [text]
    try:
        return [one.text for one in readings(text)]
    except EvaluationError as error:  # without a score, it is never kept
        log_failure(logger, "Reading a candidate sentence", error)
        return []


def _sentences(reading: Reading) -> list[Reading]:
    """Each by itself, under its number; none of a text that is only one."""
    ends = boundaries(reading.text)
    parts = [reading.text[a:b].strip() for a, b in zip([0, *ends], ends, strict=False)]
    names = [f"{reading.name}, sentence {n}".lstrip(", ") for n, _ in enumerate(parts, 1)]
    return [Reading(*one) for one in zip(names, parts, strict=True) if one[1]]


def _different(found: Sequence[Reading], text: str) -> list[Reading]:
    """The first of those that read alike, and none that reads like the answer."""
    first = {one.text: one for one in reversed(found) if one.text != text.strip()}
    return [one for one in found if first.get(one.text) is one]
