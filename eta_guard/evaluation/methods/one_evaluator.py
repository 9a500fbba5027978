"""One evaluator alone decides, and what it flags is refused."""

from __future__ import annotations

from eta_guard.evaluation.methods.trial import Drawn, Scored, Trial


def pre_only(trial: Trial) -> Drawn:
    """The image's evaluation decides alone; a flagged request is refused without an answer."""
    if trial.image is None:
        return trial.plain
    if _flagged(trial.image):
        # The text that the plain model would have given is what the refusal stands in front of.
        return Drawn(trial.plain.text, trial.image.cost, withheld=True, decision="refused")
    return Drawn(trial.plain.text, trial.plain.cost + trial.image.cost, decision="passed")


def post_only(trial: Trial) -> Drawn:
    """The answer's evaluation decides alone; a flagged answer is refused."""
    flagged = _flagged(trial.response)
    return Drawn(
        trial.plain.text,
        trial.plain.cost + trial.response.cost,
        withheld=flagged,
        decision="refused" if flagged else "passed",
    )


def _flagged(scored: Scored) -> bool:
    return scored.evaluation.outcome != "safe"
