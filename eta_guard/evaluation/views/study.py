"""Fits the views of a CLIP model on suites, and tells what each costs and catches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from time import perf_counter
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from eta_guard.counts import counting
from eta_guard.errors import InputError
from eta_guard.evaluation.cases import Suite
from eta_guard.evaluation.intervals import Rate
from eta_guard.evaluation.views.direction import direction
from eta_guard.evaluation.views.fit import fit
from eta_guard.evaluation.views.hidden import HIDINGS
from eta_guard.evaluation.views.rules import PictureScores, Rules
from eta_guard.evaluators.clip import ClipImageEvaluator
from eta_guard.evaluators.views.geometry import bounded_aspect, views_of
from eta_guard.evaluators.views.looking import at_once
from eta_guard.evaluators.views.offsets import ViewOffsets, digest
from eta_guard.policy import GuardPolicy
from eta_guard.request.images import decode_image
from eta_guard.view_names import VIEW_NAMES, ViewName

HIDDEN = 60
"""Hazardous pictures that are hidden in each way and looked at in all views."""

PROBED = 200
"""Of each suite, whose hidden hazards tell in which direction such pictures lie."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Study:
    """What was fitted, and what it does."""

    offsets: ViewOffsets
    figures: dict[str, Any]
    """``views``: a row each; ``together``: the policy's views, and all of them, by the names of
    ``Rules``; ``published``: beside them."""


def study(
    clip: ClipImageEvaluator,
    suites: Sequence[Suite],
    policy: GuardPolicy,
    *,
    more_alarms: float,
    encodes: float,
    say: Say = lambda what: None,
) -> Study:
    """Scores the suites' pictures in all views, fits, and counts what is found of what is hidden.

    Args:
        clip: Whose views they are.
        suites: On whose safe pictures the offsets are fitted: validation splits, or cases that
            nothing is measured on. The first is what requests are like; cost is counted on it.
        policy: Its views, threshold and safety prompt.
        more_alarms: See ``fit``.
        encodes: See ``fit``.
        say: Is told what is being done.

    Raises:
        InputError: There are no safe pictures, or no hazardous ones.
    """
    usual, *further = [_pictures(suite, hazardous=False) for suite in suites]
    every = [_pictures(suite, hazardous=True) for suite in suites]
    hazards = [one for each in every for one in each][:HIDDEN]
    if not hazards or len(usual) < 3:
        raise InputError(
            f"There are {len(hazards)} hazardous and {len(usual)} safe pictures.",
            hint="Fit views on suites that have both.",
        )
    say("Finding in which direction hidden hazards lie")
    normal = _direction(clip, policy, usual, [one for each in every for one in each[:PROBED]])
    looked = _Looked(clip, policy.safety_prompt, normal)
    say(f"Looking at {len(usual) + sum(map(len, further))} safe pictures")
    scored, others = looked(usual), [one for each in further for one in looked(each)]
    hidden: dict[str, list[PictureScores]] = {}
    for name, hide in HIDINGS.items():
        say(f"Hiding {len(hazards)} hazards: {name}")
        rng = Random(name)
        hidden[name] = looked([hide(one, rng.sample(usual, 3), rng) for one in hazards])
    rules = fit(
        scored,
        others,
        [one for each in hidden.values() for one in each],
        threshold=policy.image_threshold,
        kinds=policy.views,
        more_alarms=more_alarms,
        encodes=encodes,
    )
    figures = _figures(rules, scored, [*scored, *others], hidden)
    figures["milliseconds_per_encode"] = looked.milliseconds
    of_safe = figures["together"]["in doubt"]["encodes"]
    offsets = ViewOffsets(
        clip.fingerprint, digest(policy.safety_prompt), rules.clear, rules.offsets, of_safe, normal
    )
    return Study(offsets, figures)


def _direction(
    clip: ClipImageEvaluator, policy: GuardPolicy, usual: Sequence[Image], hazards: Sequence[Image]
) -> tuple[float, ...]:
    """Where hazards lie that neither the published view nor a layout gives away; () of none."""
    layout, missed = at_once(VIEW_NAMES, None), []
    for name, hide in HIDINGS.items():
        rng = Random(name)
        hidden = [hide(one, rng.sample(usual, 3), rng) for one in hazards]
        for picture in hidden:
            (found,) = clip.evaluate([picture], policy.safety_prompt)
            if found.score < policy.image_threshold and not views_of(picture, layout):
                missed.append(_embedding(clip, picture))
    if not missed:
        return ()
    return direction(torch.cat(missed), torch.cat([_embedding(clip, one) for one in usual]))


def _embedding(clip: ClipImageEvaluator, picture: Image) -> Tensor:
    return clip.embeddings.of_pictures([partial(bounded_aspect, picture)])


class _Looked:
    """Scores pictures in all views, and keeps the time."""

    def __init__(self, clip: ClipImageEvaluator, prompt: str, direction: tuple[float, ...]) -> None:
        self._clip, self._prompt, self._direction = clip, prompt, direction
        self._seconds, self._encodes = 0.0, 0.0

    def __call__(self, pictures: Sequence[Image]) -> list[PictureScores]:
        found = []
        for picture in pictures:
            begun = perf_counter()
            with counting() as tally:
                # A size of its own for each: no suite's pictures need be larger than a model's.
                sides = (max(1, min(picture.size) // 2),)
                (seen,) = self._clip.every_view(
                    [picture], self._prompt, VIEW_NAMES, sides, self._direction
                )
            self._seconds += perf_counter() - begun
            self._encodes += tally.get("clip_image_encodes", 0)
            found.append(PictureScores.of(seen))
        return found

    @property
    def milliseconds(self) -> float:
        """Of one view, made and encoded in a batch with the picture's others."""
        return 1000 * self._seconds / max(self._encodes, 1)


def _pictures(suite: Suite, *, hazardous: bool) -> list[Image]:
    wanted = (case.image_bytes() for case in suite.cases if case.hazardous == hazardous)
    return [decode_image(data) for data in wanted if data is not None]


def _figures(
    rules: Rules,
    usual: Sequence[PictureScores],
    safe: Sequence[PictureScores],
    hidden: Mapping[str, Sequence[PictureScores]],
) -> dict[str, Any]:
    published = replace(rules, kinds=())
    all_kinds: tuple[ViewName, ...] = tuple(rules.offsets)
    together = {
        "published": published,
        "in doubt": rules,
        "always": replace(rules, always=True),
        "all views, always": replace(rules, kinds=all_kinds, always=True),
    }
    before = _found(published, hidden)
    rows = []
    for kind, offset in rules.offsets.items():
        alone = replace(rules, kinds=(kind,))
        after = _found(alone, hidden)
        rows.append(
            {
                "view": kind,
                "default": kind in rules.kinds,
                "offset": offset,
                "encodes": _mean_encodes(alone, usual) - _mean_encodes(published, usual),
                "catches": {
                    name: [before[name], share]
                    for name, share in after.items()
                    if share > before[name]
                },
            }
        )
    return {
        "safe_n": len(safe),
        "hazards_n": len(next(iter(hidden.values()))),
        "clear": rules.clear,
        "views": rows,
        "together": {name: _told(each, usual, safe, hidden) for name, each in together.items()},
    }


def _told(
    rules: Rules,
    usual: Sequence[PictureScores],
    safe: Sequence[PictureScores],
    hidden: Mapping[str, Sequence[PictureScores]],
) -> dict[str, Any]:
    alarms = Rate(sum(map(rules.flags, safe)), len(safe))
    every = [one for each in hidden.values() for one in each]
    flagged = Rate(sum(map(rules.flags, every)), len(every))
    return {
        "encodes": _mean_encodes(rules, usual),
        "false_alarms": alarms.value,
        "false_alarms_ci": alarms.interval,
        "flagged": flagged.value,
        "flagged_ci": flagged.interval,
        "flagged_by_hiding": _found(rules, hidden),
    }


def _found(rules: Rules, hidden: Mapping[str, Sequence[PictureScores]]) -> dict[str, float]:
    return {name: sum(map(rules.flags, each)) / len(each) for name, each in hidden.items()}


def _mean_encodes(rules: Rules, pictures: Sequence[PictureScores]) -> float:
    return sum(map(rules.encodes, pictures)) / len(pictures)
