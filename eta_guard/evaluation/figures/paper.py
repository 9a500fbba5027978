"""What the papers report, to be shown beside what is measured here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SOURCE = "Ding, Li, Zhang: ETA (ICLR 2025), arXiv 2410.06625; GuardAlign (ICLR 2026)"
MODEL = "LLaVA-1.5-7B with CLIP ViT-L/14-336 and ArmoRM-Llama3-8B"

UNSAFE_RATES: dict[str, dict[str, float]] = {
    "spa-vl-harm": {"plain": 46.04, "ECSO": 23.40, "ETA": 16.98, "GuardAlign": 10.31},
    "mm-safetybench-sd-typo": {"plain": 40.46, "ECSO": 15.89, "ETA": 15.83, "GuardAlign": 9.65},
    "figstep": {"plain": 58.60, "ECSO": 37.40, "ETA": 7.80, "GuardAlign": 3.40},
    "figstep-suffix": {"plain": 62.00, "ECSO": 59.00, "ETA": 22.60, "GuardAlign": 15.30},
    "visual-adversarial": {"plain": 97.50, "ECSO": 95.00, "ETA": 22.50, "GuardAlign": 15.00},
}
"""Unsafe rate in %, by suite and method."""

ABLATION_SUITE = "spa-vl-harm"

ABLATION = {
    "plain": 46.04,
    "mapped": 39.25,
    "search_only": 32.08,
    "prefix_only": 30.94,
    "prefix + reward": 16.60,
    "full": 16.98,
}
"""Unsafe rate in % on ``ABLATION_SUITE``; by our names where we have the same method."""


def beside(suite: str, models: Mapping[str, str | None], judge: str) -> dict[str, Any]:
    """Which of the published figures may be compared with ours.

    Args:
        suite: What was asked.
        models: As the run was asked for them.
        judge: Who judged.

    Returns:
        ``same_suite``; ``rates``, those of this suite; and ``differs``, what is not as in the
        paper, in words: empty only if models, suite and judge are the paper's.
    """
    differs = []
    if suite not in UNSAFE_RATES:
        differs.append("the suite is another one")
    others = [name for name in ("chat_model", "clip", "reward", "dtype") if models.get(name)]
    if models.get("assembly") != "paper" or others:
        differs.append("the models are other ones")
    if "md-judge" not in judge.lower():
        differs.append("the judge is another one")
    return {
        "source": SOURCE,
        "model": MODEL,
        "same_suite": suite in UNSAFE_RATES,
        "rates": UNSAFE_RATES.get(suite, {}),
        "differs": differs,
    }
