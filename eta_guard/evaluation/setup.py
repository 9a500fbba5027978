"""What a run is made of, as plain values: the same on this machine and on a worker's."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from eta_guard import pretrained
from eta_guard.errors import InputError
from eta_guard.evaluation.case_runner import CaseRunner
from eta_guard.evaluation.judges.choose import load_judge, load_model
from eta_guard.evaluation.judges.protocol import Judge
from eta_guard.evaluation.methods.catalogue import STANDARD, method_named
from eta_guard.further_evaluators import FurtherEvaluators
from eta_guard.guard import EtaGuard
from eta_guard.policy import GuardPolicy

EMBEDDED: Mapping[str, str | None] = {"assembly": "embedded"}


@dataclass(frozen=True)
class Setup:
    """What is measured, and how: models, judge, methods and policy of a run.

    Raises:
        InputError: There is no such method, or nobody to compare two answers.
        ModelLoadError: A further evaluator's text has none of the forms.
    """

    judge: str | Judge
    """A name that ``load_judge`` knows (``"grammar"`` for the embedded suite, ``"md-judge"``,
    ``"local:NAME"``, ``"PROVIDER:MODEL"``), or a judge of your own."""
    policy: GuardPolicy = field(default_factory=GuardPolicy)
    """Thresholds, prompts and search of the guarded methods."""
    models: Mapping[str, str | None] = field(default_factory=lambda: dict(EMBEDDED))
    """``assembly``, ``chat_model``, ``clip``, ``reward``, ``dtype``: names, directories."""
    image_evaluators: tuple[str, ...] = ()
    """Further ones beside ``clip``, in the forms of ``further_evaluators.FORMS``."""
    response_evaluators: tuple[str, ...] = ()
    """Further ones beside ``reward``, likewise."""
    methods: tuple[str, ...] = STANDARD
    """Of ``METHODS`` or ``BEYOND``, or ``"full/N"``; ``plain`` is asked in any case."""
    comparisons: tuple[tuple[str, str], ...] = ()
    """Pairs of methods whose answers the judge compares."""
    before: GuardPolicy | None = None
    """A second policy, whose full guard is asked beside: what attacks come to before and after."""
    judge_template: Path | None = None
    """What MD-Judge is asked in place of our own words."""
    device: str | None = None
    """Where the models run; the first GPU, or else the CPU, without it."""
    parts: pretrained.Parts | None = field(default=None, repr=False)
    """Models that are loaded already, in place of those that ``models`` names; see ``of_guard``."""

    def __post_init__(self) -> None:
        asked = [*self.methods, *(name for pair in self.comparisons for name in pair)]
        for name in asked:
            method_named(name)
        FurtherEvaluators.read(self.image_evaluators, self.response_evaluators)
        if self.comparisons and (self.judge == "grammar" or not isinstance(self.judge, str)):
            who = "The grammar" if self.judge == "grammar" else "A judge of your own"
            raise InputError(
                f"{who} cannot compare two answers.",
                hint="Name a chat model with --judge, such as local:NAME.",
            )

    @classmethod
    def of_guard(cls, guard: EtaGuard, *, judge: str | Judge, **settings: Any) -> Setup:
        """Measures a guard's own models, under its policy unless you name another.

        Args:
            guard: Its models stay in this process, so that the run does as well.
            judge: As the field.
            settings: Other fields.
        """
        parts: pretrained.Parts = {
            "engine": guard.engine,
            "image_evaluator": guard.image_evaluator,
            "response_evaluator": guard.response_evaluator,
            "likeness": guard.likeness,
        }
        known = guard.panel.models
        names = {
            "chat_model": guard.engine.fingerprint,
            "clip": known["image_evaluator"],
            "reward": known["response_evaluator"],
        }
        given = {"policy": guard.policy} | settings
        return cls(judge=judge, parts=parts, models=names, **given)

    @property
    def only_embedded(self) -> bool:
        """Whether all models are those that ship with the package."""
        others = [self.models.get(name) for name in ("chat_model", "clip", "reward")]
        further = (*self.image_evaluators, *self.response_evaluators)
        return (self.models.get("assembly") or "embedded") == "embedded" and not any(
            [*others, *further]
        )

    @property
    def judge_name(self) -> str:
        """Names the judge, for the results."""
        return self.judge if isinstance(self.judge, str) else self.judge.name

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """Whatever the answers depend on, but for where the models run."""
        return {
            "models": dict(self.models),
            "image_evaluators": list(self.image_evaluators),
            "response_evaluators": list(self.response_evaluators),
            "judge": self.judge_name,
            "judge_template": self.judge_template and self.judge_template.read_text("utf-8"),
            "methods": list(self.methods),
            "comparisons": [":".join(pair) for pair in self.comparisons],
            "policy": _told(self.policy),
            "before": self.before and _told(self.before),
        }

    def runner(self, parts: pretrained.Parts | None = None) -> CaseRunner:
        """Loads what is not given, and puts it together."""
        judge = self.judge
        if isinstance(judge, str):
            judge = load_judge(judge, template=self.judge_template, device=self.device)
        compared = self.comparisons and isinstance(self.judge, str)
        return CaseRunner(
            parts=parts or self.parts or self._load(),
            judge=judge,
            methods=self.methods,
            policy=self.policy,
            comparisons=self.comparisons,
            before=self.before,
            arbiter=load_model(self.judge_name, device=self.device) if compared else None,
        )

    def for_workers(self) -> Setup:
        """The same, as it can be sent to another process.

        Raises:
            InputError: The models are loaded here already, or the judge cannot be pickled.
        """
        if self.parts is not None:
            raise InputError(
                "A guard's own models cannot be sent to other processes.",
                hint="Name them (Setup(models=…)), or run here.",
            )
        try:
            pickle.dumps(self.judge)
        except Exception as error:  # whatever an object's own __reduce__ raises
            raise InputError(
                f"The judge {self.judge_name} cannot be sent to other processes.",
                hint="Make it one that can be pickled, or run here.",
            ) from error
        return self

    def _load(self) -> pretrained.Parts:
        dtype = self.models.get("dtype")
        chosen = None
        if dtype:
            import torch

            chosen = getattr(torch, dtype)
        return pretrained.load_parts(
            self.models.get("assembly") or "embedded",
            chat_model=self.models.get("chat_model"),
            clip=self.models.get("clip"),
            reward=self.models.get("reward"),
            image_evaluators=self.image_evaluators,
            response_evaluators=self.response_evaluators,
            policy=self.policy,
            device=self.device,
            dtype=chosen,
        )


def _told(policy: GuardPolicy) -> dict[str, Any]:
    return {**policy.model_dump(mode="json"), "overridable": sorted(policy.overridable)}
