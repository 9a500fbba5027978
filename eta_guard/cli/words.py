"""A verdict in words: each colour has a symbol and a word beside it, and none is tied to a theme.

Green, red and magenta are the terminal's own, and all that is not bold or dim is in its default
colour, so that the same output reads on a dark and on a light background.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from eta_guard.panel.evaluation import Evaluation
    from eta_guard.panel.masking import MaskedRegion
    from eta_guard.policy import GuardPolicy
    from eta_guard.protocols import Region
    from eta_guard.state import SentenceRound, Verdict

# Not bold, which some terminals show as a brighter colour: bright green on white cannot be read.
SAFE, UNSAFE, UNKNOWN = "not bold green", "not bold red", "not bold magenta"

_OUTCOMES = {"safe": ("✓", SAFE), "unsafe": ("✗", UNSAFE), "unscored": ("?", UNKNOWN)}
_DECISIONS = {
    "passed": ("✓", SAFE),
    "aligned": ("↻", SAFE),
    "refused": ("⊘", UNKNOWN),
    "blocked": ("⊘", UNKNOWN),
    "observed": ("○", UNKNOWN),
}


def outcome(evaluation: Evaluation) -> Text:
    """``✗ unsafe``, in its colour."""
    symbol, colour = _OUTCOMES[evaluation.outcome]
    return Text(f"{symbol} {evaluation.outcome}", colour)


def decision(verdict: Verdict) -> Text:
    """``↻ aligned``, in its colour."""
    symbol, colour = _DECISIONS[verdict.decision]
    return Text(f"{symbol} {verdict.decision}", colour)


def against_threshold(evaluation: Evaluation) -> str:
    """``score 0.312 ≥ threshold 0.16``: the comparison made, true of the figures as shown."""
    score, threshold = evaluation.score, evaluation.threshold
    if score is None:
        return f"no score ({evaluation.reason})"
    signs = ("<", "≥") if evaluation.unsafe == "above" else (">", "≤")
    sign = signs[evaluation.outcome == "unsafe"]
    shown = next(filter(_compares_alike(score, threshold), range(3, 16)), 16)
    told = f"score {number(score, shown)} {sign} threshold {threshold:g}"
    return f"{told}, {evaluation.reason}" if evaluation.reason else told


def finding(evaluation: Evaluation) -> str:
    """``score 0.312 ≥ threshold 0.16 (weapon), 41 ms``: what one of several evaluators found."""
    category = f" ({evaluation.category})" if evaluation.category else ""
    took = "" if evaluation.seconds is None else f", {1000 * evaluation.seconds:.0f} ms"
    return against_threshold(evaluation) + category + seen_in(evaluation) + took


def seen_in(evaluation: Evaluation) -> str:
    """``, in the view turned_90``: how a picture was looked at that is not safe, and where.

    Nothing where that is the picture as it is. A part of it is told by how much of its width, from
    the left, and of its height, from the top, it lies in.
    """
    if evaluation.outcome != "unsafe":
        return ""
    whole = evaluation.view in (None, "whole")
    told = "" if whole else f", in the view {evaluation.view}"
    for region in evaluation.regions[:1]:
        told += f", at {place(region)}" if whole else f" (at {place(region)})"
    return told


def place(region: Region) -> str:
    """``0–50 % of the width, 25–100 % of the height``, from the left and from the top."""
    across = f"{100 * region.left:.0f}–{100 * region.right:.0f} %"
    down = f"{100 * region.top:.0f}–{100 * region.bottom:.0f} %"
    return f"{across} of the width, {down} of the height"


def covered(region: MaskedRegion) -> str:
    """What was covered of a picture, and on whose word."""
    if region.reason:
        return f"all of it, since {region.reason}"
    return f"{place(region.region)} ({region.evaluator})"


def _compares_alike(score: float, threshold: float) -> Callable[[int], bool]:
    """Whether a score with so many digits still stands on its side of the threshold."""

    def alike(digits: int) -> bool:
        rounded = round(score, digits)
        return (rounded > threshold, rounded < threshold) == (score > threshold, score < threshold)

    return alike


def number(value: float | None, digits: int = 3) -> str:
    """A score, or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def digits_of(record: SentenceRound) -> int:
    """How many digits a round's scores need for its pick to be seen as the highest utility."""
    if record.pick is None:
        return 3
    found = [c.utility for c in record.candidates if c.utility is not None]
    best = record.candidates[record.pick].utility
    others = {utility for utility in found if utility != best}
    apart = (d for d in range(3, 7) if number(best, d) not in {number(u, d) for u in others})
    return next(apart, 6)


def what_happened(verdict: Verdict, policy: GuardPolicy) -> str:
    """One sentence on what ETA did, for somebody who has not read the paper."""
    if verdict.decision in ("refused", "blocked"):
        return f"A refusal goes out: {verdict.reason or 'no reason was given'}."
    early = f" It ends early: {verdict.reason}." if verdict.reason else ""
    if verdict.decision == "observed":
        done = "Observe mode: evaluated and reported, and the plain answer goes out unchanged."
    elif verdict.decision == "passed":
        done = _why_passed(verdict)
    else:
        done = _why_aligned(verdict) + _how_aligned(verdict, policy) + _with_what_result(verdict)
    return done + early


def _why_aligned(verdict: Verdict) -> str:
    grounds = [evaluation for evaluation in (verdict.image, verdict.response) if evaluation]
    known = all(evaluation.outcome == "unsafe" for evaluation in grounds)
    what = "Image and plain answer are" if verdict.image else "The plain answer is"
    return f"{what} {'unsafe' if known else 'not known to be safe'}: "


def _how_aligned(verdict: Verdict, policy: GuardPolicy) -> str:
    begun = (
        f"a new answer begins with “{policy.prefix}”" if policy.prefix else "a new answer begins"
    )
    if "mask_align" in verdict.route:
        begun = f"the answer to the covered picture is not safe either, and {begun}"
    if "prefix_align" not in verdict.route:
        return "the model answers anew, and does not see what is unsafe in the picture."
    if not verdict.rounds:
        return f"{begun}, and the model continues it."
    sentences = counted(verdict.sentences, "sentence")
    if policy.accept_above is not None:
        most = counted(policy.candidates, "candidate")
        return f"{begun} and grows by {sentences}, each the first of {most} that is good enough."
    candidates = counted(len(verdict.rounds[0].candidates), "candidate")
    return f"{begun} and grows by {sentences}, each the best of {candidates}."


def _with_what_result(verdict: Verdict) -> str:
    if verdict.final is None or verdict.final.outcome == "safe":
        return ""
    return " It is still not safe, and goes out because the policy says so."


def _why_passed(verdict: Verdict) -> str:
    if verdict.response is not None:
        flagged = "The image is flagged, but the" if verdict.image else "The"
        return f"{flagged} plain answer is safe: it goes out unchanged."
    if verdict.image is None:
        return "There is no image, and the policy lets the plain answer out."
    return "The image is safe: the plain answer goes out unchanged, and is not scored."


def counted(count: int, noun: str) -> str:
    """``1 sentence``, ``3 sentences``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def route(verdict: Verdict) -> str:
    """The nodes in order, a repeated one with how often it ran."""
    return " → ".join(
        name if times == 1 else f"{name} ×{times}" for name, times in stretches(verdict)
    )


def stretches(verdict: Verdict) -> list[tuple[str, int]]:
    """The nodes in order, and how often each ran in a row."""
    found: list[tuple[str, int]] = []
    for name in verdict.route:
        if found and found[-1][0] == name:
            found[-1] = (name, found[-1][1] + 1)
        else:
            found.append((name, 1))
    return found


def cost(counts: Mapping[str, float]) -> str:
    """What the request took, in work rather than in seconds; what was not done is left out."""
    parts = (
        ("output_tokens", "token drawn", "tokens drawn"),
        ("vlm_forwards", "pass of the chat model", "passes of the chat model"),
        ("reward_forwards", "of the reward model", "of the reward model"),
        ("clip_image_encodes", "image", "images"),
        ("clip_text_encodes", "text encoded by CLIP", "texts encoded by CLIP"),
    )
    told = [
        f"{counts[name]} {one if counts[name] == 1 else many}"
        for name, one, many in parts
        if counts.get(name)
    ]
    return ", ".join(told)
