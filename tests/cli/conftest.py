from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eta_guard import pretrained
from eta_guard.cli import main
from tests.fakes import SAFE, UNSAFE, FakeImages, FakeResponses, Rig


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def words(self) -> str:
        """The output without its line breaks."""
        return " ".join(self.out.split())


Run = Callable[..., Result]


class Models(Rig):
    """The fakes that the command line loads in place of real models."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[dict[str, Any]] = []

    def load(self, assembly: str, **asked: Any) -> pretrained.Parts:
        asked.pop("progress")("Loading the fakes")
        self.loaded.append({"assembly": assembly, **asked})
        images = [self.images, *(self.image_named(spec) for spec in asked["image_evaluators"])]
        responses = [
            self.responses,
            *(self.response_named(spec) for spec in asked["response_evaluators"]),
        ]
        return {
            "engine": self.engine,
            "image_evaluator": images if len(images) > 1 else self.images,
            "response_evaluator": responses if len(responses) > 1 else self.responses,
        }

    def image_named(self, spec: str) -> FakeImages:
        """As ``load_parts`` loads a further one."""
        return FakeImages(name=spec.partition(":")[0], threshold=0.5, cost=1.0)

    def response_named(self, spec: str) -> FakeResponses:
        """Likewise; it flags what holds a placeholder step."""
        return FakeResponses(
            lambda prompt, text: 0.9 if "step" in text else 0.2,
            name="guard_model",
            threshold=0.5,
            unsafe="above",
            cost=1.0,
        )


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "ETA_GUARD_DEBUG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Models:
    models = Models()
    monkeypatch.setattr(pretrained, "load_parts", models.load)
    return models


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str | Path) -> Result:
        code = main([str(argument) for argument in arguments])
        return Result(code, *capsys.readouterr())

    return run


def picture(folder: Path, score: float) -> Path:
    """A file whose image ``FakeImages`` scores so."""
    path = folder / f"red_{round(score * 255)}.png"
    Image.new("RGB", (8, 8), (round(score * 255), 0, 0)).save(path)
    return path


@pytest.fixture
def unsafe(tmp_path: Path) -> Path:
    return picture(tmp_path, UNSAFE)


@pytest.fixture
def safe(tmp_path: Path) -> Path:
    return picture(tmp_path, SAFE)
