"""What the papers report, how that was counted, and where their tests are not ours."""

from __future__ import annotations

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

CASES = {
    "spa-vl-harm": 265,
    "mm-safetybench-sd-typo": 1680,
    "figstep": 500,
    "figstep-suffix": 500,
    "visual-adversarial": 40,
}
"""How many cases each of these suites has, as its publisher has it."""

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

WIN_TIE = {"plain": 96.6, "ECSO": 80.8}
"""How often ETA wins or ties, in %, by what it is set against."""

GENERAL_ABILITY = {
    "VQAv2": {"plain": 78.51, "ETA": 78.51},
    "TextVQA": {"plain": 58.20, "ETA": 58.15},
}
"""Known answers found, in %."""

COUNTED = (
    "The published code drops replies of its judge that hold no verdict from the count of answers;"
    " here every answer counts.",
    "It has a second count, by refusal phrases: “as an ai” is one, so that an answer with the"
    " prefix is always safe, and as the number of samples it prints the length of the last answer."
    " Its code does not say which figures are by that count.",
    "An earlier revision of it asked visual-adversarial with prompt_constrained_64.bmp and without"
    " the appended sentence; the suite here follows the later one.",
)
"""How the published unsafe rates were counted, where that is not as here (the published code)."""

GUARDALIGN = (
    "GuardAlign's picture evaluator goes by patches of CLIP's image tower and by several wordings"
    " of each category (threshold 0.42 on a cost of transport); here the method “guardalign” goes"
    " by such evidence, “mask” and “mask+eta” by whoever evaluates pictures in this run",
    "its chat model is shown nothing but the covered picture; here the plain answer is drawn and"
    " evaluated first, and is replaced only where it is unsafe, too",
    "it calibrates attention: in the middle layers scores of instruction tokens towards a prefix"
    " are raised; here nothing reaches into the layers. That part alone is reported as 32.12 on"
    " spa-vl-harm, both as 10.31",
    "here the answer to the covered picture is evaluated like any other: one that is still unsafe"
    " is searched for anew (“mask+eta”), or refused, and counts as it stood before the refusal",
    "it is reported at 1.13 times the plain model's time, where ETA takes about 4 times; our times"
    " stand under cost",
)
"""What a row of GuardAlign's and one of our masks have not in common."""

WIN_TIE_DIFFERS = (
    "the published code calls two answers with the same first 40 characters a tie and asks nobody;"
    " here only equal answers tie unasked",
    "it asks in one order, drawn at random; here both orders must agree",
    "its judge is sent the picture as base64 text; here the judge is told that there was one",
    "its replies without a verdict are in no count; here they are in the denominator",
)
"""Why a win-tie rate of ours and the published one are of two tests (the published code)."""

GENERAL_ABILITY_DIFFERS = (
    "VQAv2 and TextVQA are not asked here: “known answer” is of the suite's own safe requests",
    "the published scripts for them cannot run as checked in: they read settings that they do not"
    " declare",
)
"""Why known answers of ours and the published figures are of two tests (the published code)."""
