"""The model answers anew, and does not see what is unsafe in the picture."""

from __future__ import annotations

from eta_guard.errors import InputError
from eta_guard.evaluation.methods.trial import Drawn, Trial

BY_REGIONS = "regions"
"""The evaluator of pictures by which ``guardalign`` goes."""


def mask(trial: Trial) -> Drawn:
    """The guard with ``aligner="mask"``: no prefix, no search."""
    return trial.guarded({"aligner": "mask", "draft_with_candidates": False})


def mask_then_search(trial: Trial) -> Drawn:
    """The guard with ``aligner="mask+eta"``: prefix and search where the first answer is unsafe."""
    return trial.guarded({"aligner": "mask+eta", "draft_with_candidates": False})


def guardalign(trial: Trial) -> Drawn:
    """``mask`` where the evidence by region decides alone (after GuardAlign, ICLR 2026).

    Its attention calibration is not part of it.

    Raises:
        InputError: No evaluator of pictures has evidence by region.
    """
    alone = trial.seen_by(BY_REGIONS)
    if alone is None:
        raise InputError(
            f"The method guardalign goes by an evaluator of pictures named {BY_REGIONS}; there is"
            " none.",
            hint=f"Add --image-evaluator {BY_REGIONS}.",
        )
    return mask(alone)
