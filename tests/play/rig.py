"""A playground over fakes."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

from eta_guard.cancellation import Cancelled, checkpoint
from eta_guard.guard import EtaGuard
from eta_guard.play.asking import Turn
from eta_guard.play.playground import Playground
from eta_guard.play.scores import KnownScores, Score
from eta_guard.play.sessions import Session
from eta_guard.play.settings import Chosen, controlled
from eta_guard.protocols import Completion, Watch
from tests.fakes import FakeEngine, FakeImages, FakeResponses, FakeSession, Rig, scoring


class GuardModel(FakeImages):
    """A further evaluator of pictures, with a threshold of its own."""

    def __init__(self) -> None:
        super().__init__(name="guard_model", threshold=0.5, cost=1.0)


class SlowSession(FakeSession):
    def answer(self, watch: Watch | None = None) -> Completion:
        assert isinstance(self.engine, SlowEngine)
        self.engine.drawing.set()
        try:
            while True:
                checkpoint()
                time.sleep(0.01)
        except Cancelled:
            self.engine.cancelled.set()
            raise


class SlowEngine(FakeEngine):
    """Draws without an end, and notices when nobody wants it any more."""

    def __init__(self) -> None:
        super().__init__()
        self.drawing, self.cancelled = threading.Event(), threading.Event()

    def open(self, conversation: Any, generation: Any) -> SlowSession:
        return SlowSession(self, generation)


def scores() -> KnownScores:
    known = KnownScores("four cases")
    for value, hazardous in ((0.1, False), (0.2, False), (0.3, True), (0.8, True)):
        known.add("image", "clip", Score(value, hazardous))
    known.complete = True
    return known


def playground(folder: Path, engine: FakeEngine | None = None, **policy: Any) -> Playground:
    rig = Rig()
    guard = EtaGuard(
        engine=engine or rig.engine,
        image_evaluator=[FakeImages(), GuardModel()],
        response_evaluator=FakeResponses(scoring()),
        policy=rig.policy.updated(policy),
    )
    return Playground(guard, scores(), folder)


def standing(place: Playground) -> dict[str, Any]:
    """What the controls say as they stand."""
    policy = place.guard.policy
    fields = {name: getattr(policy, name) for name in controlled()}
    if "views" in fields:
        fields["views"] = list(fields["views"])
    return {**{dial.key: dial.value for dial in place.dials()}, **fields}


def chosen(place: Playground, *off: str, **values: Any) -> Chosen:
    on = [dial.key for dial in place.dials() if dial.key not in off]
    return place.chosen(standing(place) | values, on)


def answered(place: Playground, session: Session, *files: Path, text: str = "What?") -> Turn:
    """The last state of a turn."""

    async def ask() -> Turn:
        turns = place.ask(session, [str(file) for file in files], text, chosen(place))
        return [turn async for turn in turns][-1]

    return asyncio.run(ask())
