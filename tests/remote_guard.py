"""Guards all of whose parts are elsewhere, asked in a process of their own (see test_imports)."""

from __future__ import annotations

import asyncio
from typing import Any

from eta_guard import (
    DecisionEvaluator,
    EtaGuard,
    GuardModelEvaluator,
    GuardPolicy,
    VllmResponseEvaluator,
    embedded,
)
from eta_guard.engines.chat_model.engine import ChatModelEngine
from eta_guard.evaluators.guard_model.formats import SHIELDSTRAL
from tests.chat_fakes import FakeChat
from tests.engines.vllm.server import PlayedServer as PlayedEngine
from tests.evaluators.guard_model.test_remote import by_colour
from tests.evaluators.played_server import BASE_URL, PlayedServer
from tests.evaluators.test_decision import FakeDecisions
from tests.fakes import question, verdict_of

REWARD = {"tokenizer": str(embedded.path("reward")), "threshold": 0.5}


def rewards() -> PlayedServer:
    """Shorter chats are the worse ones, so that a draft is unsafe and what repairs it is not."""

    def play(path: str, body: dict[str, Any]) -> dict[str, Any]:
        scores = [1.0 if len(ids) > 110 else 0.0 for ids in body["input"]]
        return {"data": [{"index": i, "data": [score]} for i, score in enumerate(scores)]}

    return PlayedServer(play)


def guards() -> list[EtaGuard]:
    reward = VllmResponseEvaluator(BASE_URL, "reward", **REWARD, **rewards().clients)  # type: ignore[arg-type]
    pictures = PlayedServer(by_colour)
    model = GuardModelEvaluator.from_server(BASE_URL, "guard", SHIELDSTRAL, **pictures.clients)
    policy = GuardPolicy(candidates=2, alpha=0, on_unrepaired="return", short_circuit=False)
    parts: dict[str, Any] = {
        "image_evaluator": [model, DecisionEvaluator(FakeDecisions())],
        "response_evaluator": [reward, DecisionEvaluator(FakeDecisions(), name="other")],
        "policy": policy,
    }
    engines = (PlayedEngine().engine(), ChatModelEngine(FakeChat()))
    return [EtaGuard(engine=engine, **parts) for engine in engines]


def ask() -> None:
    """Asks each guard in every way; all parts have to have their say."""
    given = [question(1.0)]
    for guard in guards():
        replies = [guard.invoke(given), asyncio.run(guard.ainvoke(given))]
        for verdict in map(verdict_of, replies):
            assert verdict.decision == "aligned", verdict
            assert verdict.image is not None
            assert [one.outcome for one in verdict.image.findings] == ["unsafe", "unsafe"]
            assert verdict.final is not None
            assert {one.evaluator for one in verdict.final.findings} == {"reward", "other"}
            assert {one.outcome for one in verdict.final.findings} == {"safe"}
        assert list(guard.stream(given))[-1].response_metadata["eta_guard"]
        assert guard.evaluate(given).flagged
