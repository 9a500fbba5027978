"""What the policy says of views reaches the evaluator, and what it found the verdict."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from PIL import Image
from rich.console import Console

from eta_guard.cli import words
from eta_guard.cli.show import Way
from eta_guard.engines.chat_model.messages import as_read
from eta_guard.engines.local.picture_sides import picture_sides
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Finding, Region, Views
from eta_guard.request.conversation import read_conversation
from eta_guard.request.reading import Reading
from tests.fakes import FakeEngine, FakeImages, Rig, question, verdict_of


@dataclass
class LookingImages(FakeImages):
    """Finds everything unsafe, in the lower right tile."""

    views_fingerprint: str = "fake-offsets"
    looked: list[Views] = field(default_factory=list)

    def evaluate_views(
        self, images: Sequence[Image.Image], prompt: str, views: Views
    ) -> list[Finding]:
        self.looked.append(views)
        region = Region(0.5, 0.5, 1.0, 1.0, 0.5)
        return [Finding(0.5, regions=(region,), view="tiles") for _ in images]


@dataclass
class ScalingEngine(FakeEngine):
    picture_sides: tuple[int, ...] = (336,)


def test_the_policys_views_and_the_models_size_are_handed_on() -> None:
    images = LookingImages()
    for policy, expected in (
        (GuardPolicy.paper(), Views()),
        (GuardPolicy(views="all", look_closer="always"), None),
    ):
        Rig(policy, images=images).ask(question(0.0))
        wanted = expected or Views(policy.views, always=True)
        assert images.looked[-1] == wanted
    Rig(engine=ScalingEngine(), images=images).ask(question(0.0))
    assert images.looked[-1].sides == (336,)
    assert images.asked == []


def test_the_verdict_and_what_is_printed_tell_view_and_place() -> None:
    rig = Rig(images=LookingImages())
    verdict = verdict_of(rig.ask(question(0.0)))
    assert verdict.image is not None
    assert (verdict.image.view, verdict.image.outcome) == ("tiles", "unsafe")
    assert verdict.image.regions[0].left == 0.5
    told = words.seen_in(verdict.image)
    assert told == ", in the view tiles (at 50–100 % of the width, 50–100 % of the height)"
    console = Console(width=200, file=StringIO(), record=True)
    console.print(Way(verdict, rig.policy, "answer"))
    assert "in the view tiles" in console.export_text()
    passed = verdict_of(Rig().ask(question(0.0)))
    assert passed.image is not None
    assert words.seen_in(passed.image) == ""


def test_guards_with_other_offsets_are_told_apart() -> None:
    one, other = (Rig(images=LookingImages(views_fingerprint=name)).panel() for name in "ab")
    assert one.identity != other.identity


@pytest.mark.parametrize(
    ("settings", "sides"),
    [
        ({"size": {"shortest_edge": 336}}, (336,)),
        ({"size": {"height": 384, "width": 512}}, (384,)),
        ({"size": {"shortest_edge": 3136, "longest_edge": 12845056}}, None),
        ({"size": {"shortest_edge": 336}, "do_resize": False}, ()),
        ({}, None),
    ],
)
def test_the_size_is_the_processors(settings: dict[str, Any], sides: Any) -> None:
    assert picture_sides(SimpleNamespace(image_processor=SimpleNamespace(**settings))) == sides
    assert picture_sides(SimpleNamespace()) is None


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_no_frame_of_an_animation_goes_unseen(kind: str, tmp_path: Path) -> None:
    """The model is sent the frame that is evaluated, and no other."""
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("navy", "red", "gold")]
    buffer = BytesIO()
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], duration=50, **options)
    data = base64.b64encode(buffer.getvalue()).decode()
    block = {"type": "image", "base64": data, "mime_type": f"image/{kind.lower()}"}
    conversation = read_conversation([HumanMessage([block])], Reading(passed_on=True))
    sent: Any = as_read(conversation)[0].content[0]
    with Image.open(BytesIO(base64.b64decode(sent["base64"]))) as shown:
        assert getattr(shown, "n_frames", 1) == 1
        assert shown.convert("RGB").tobytes() == conversation.pictures[0].pixels.tobytes()
