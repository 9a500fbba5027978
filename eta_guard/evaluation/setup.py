"""What a run is made of, as plain values: the same on this machine and on a worker's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from eta_guard import pretrained
from eta_guard.errors import InputError
from eta_guard.evaluation.case_runner import Runner
from eta_guard.evaluation.judges.choose import load_judge, load_model
from eta_guard.evaluation.methods.catalogue import STANDARD, method_named
from eta_guard.policy import GuardPolicy


@dataclass(frozen=True)
class Setup:
    """Models, judge, methods and policy of a run."""

    judge: str
    """A name that ``load_judge`` knows."""
    policy: GuardPolicy
    models: Mapping[str, str | None]
    """``assembly``, ``chat_model``, ``clip``, ``reward``, ``dtype``: names, directories."""
    methods: tuple[str, ...] = STANDARD
    comparisons: tuple[tuple[str, str], ...] = ()
    judge_template: Path | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        asked = [*self.methods, *(name for pair in self.comparisons for name in pair)]
        for name in asked:
            method_named(name)
        if self.comparisons and self.judge == "grammar":
            raise InputError(
                "The grammar cannot compare two answers.",
                hint="Name a chat model with --judge, such as local:NAME.",
            )

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """Whatever the answers depend on, but for where the models run."""
        return {
            "models": dict(self.models),
            "judge": self.judge,
            "judge_template": self.judge_template and self.judge_template.read_text("utf-8"),
            "methods": list(self.methods),
            "comparisons": [":".join(pair) for pair in self.comparisons],
            "policy": {
                **self.policy.model_dump(mode="json"),
                "overridable": sorted(self.policy.overridable),
            },
        }

    def runner(self, parts: pretrained.Parts | None = None) -> Runner:
        """Loads what is not given, and puts it together."""
        return Runner(
            parts=parts or self._load(),
            judge=load_judge(self.judge, template=self.judge_template, device=self.device),
            methods=self.methods,
            policy=self.policy,
            comparisons=self.comparisons,
            arbiter=load_model(self.judge, device=self.device) if self.comparisons else None,
        )

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
            device=self.device,
            dtype=chosen,
        )
