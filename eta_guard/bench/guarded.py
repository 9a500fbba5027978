"""The guard over random models: flagged requests, safe ones, and the model without a guard."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage

from eta_guard.bench.engine import BenchEngine
from eta_guard.bench.models import Models
from eta_guard.bench.published import Answer
from eta_guard.counts import Counts
from eta_guard.evaluators.regions.evaluator import RegionImageEvaluator
from eta_guard.guard import OTHER_STEPS, EtaGuard
from eta_guard.local_vlm import ChatLocalVLM
from eta_guard.policy import CONFIG_KEY, GuardPolicy
from eta_guard.state import Verdict

FLAGS_ALL = GuardPolicy.paper().updated(
    # A cosine that is cut off at 0 is never below it, and no random score reaches a million.
    {"image_threshold": 0.0, "response_threshold": 1e6, "overridable": ["seed"]}
)
"""The paper's policy, with thresholds at which every picture and every answer is unsafe."""

BY_REGION = "regions"
"""The name of evidence by region, for which a policy may have a threshold."""


@dataclass(frozen=True)
class Guarded:
    """A guard that flags everything, one that flags nothing, and the bare model."""

    flagging: EtaGuard
    passing: EtaGuard
    bare: ChatLocalVLM

    @classmethod
    def over(cls, models: Models, engine: BenchEngine, policy: GuardPolicy) -> Guarded:
        """Puts them around one engine.

        Args:
            models: Evaluators are taken from them.
            engine: Runs the chat model.
            policy: One that flags everything.
        """
        parts: dict[str, Any] = {
            "engine": engine,
            "image_evaluator": models.clip.evaluator,
            "response_evaluator": models.reward.evaluator,
        }
        return cls(
            EtaGuard(**parts, policy=policy),
            # No picture is as unlike the prompt as to fall out, or as like as to be flagged.
            EtaGuard(**parts, policy=policy.updated({"image_threshold": 1.0})),
            ChatLocalVLM(engine=engine, max_tokens=policy.max_tokens),
        )

    def changed(self, settings: dict[str, Any]) -> Guarded:
        """With other settings where everything is flagged."""
        policy = self.flagging.policy.updated(settings)
        return replace(self, flagging=self.flagging.model_copy(update={"policy": policy}))

    def by_region(self, models: Models) -> Guarded:
        """With evidence by region as the one evaluator of pictures where everything is flagged."""
        parts = {
            "image_evaluator": RegionImageEvaluator(models.clip.evaluator),
            "likeness": models.clip.evaluator,
        }
        return replace(self, flagging=self.flagging.model_copy(update=parts))

    def repair(self, message: HumanMessage, seed: int) -> tuple[Answer, Counts]:
        """A flagged request through the graph, from message to reply."""
        begun = perf_counter()
        drafted, reply = begun, None
        steps = self.flagging.graph.stream(
            {"messages": [message]},
            {
                "configurable": {CONFIG_KEY: {"seed": seed}},
                "recursion_limit": self.flagging.policy.max_tokens + OTHER_STEPS,
            },
            stream_mode="updates",
        )
        for step in steps:
            if "generate" in step:
                drafted = perf_counter()
            if "respond" in step:
                (reply,) = step["respond"]["messages"]
        ended = perf_counter()
        assert isinstance(reply, AIMessage)
        answer = Answer(str(reply.content), ended - begun, ended - drafted)
        return answer, _verdict(reply, "aligned").counts

    def let_pass(self, message: HumanMessage, seed: int) -> tuple[str, float, Counts]:
        """A safe request through the guard: the answer, its seconds, its counts."""
        begun = perf_counter()
        config: Any = {"configurable": {CONFIG_KEY: {"seed": seed}}}
        reply = self.passing.invoke([message], config)
        seconds = perf_counter() - begun
        return str(reply.content), seconds, _verdict(reply, "passed").counts

    def unguarded(self, message: HumanMessage, seed: int) -> tuple[str, float]:
        """The same request without a guard: the answer and its seconds."""
        begun = perf_counter()
        reply = self.bare.invoke([message], seed=seed)
        return str(reply.content), perf_counter() - begun


def _verdict(reply: AIMessage, expected: str) -> Verdict:
    verdict = Verdict.model_validate(reply.response_metadata["eta_guard"])
    assert verdict.decision == expected, verdict.decision
    return verdict
