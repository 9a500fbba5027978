"""Descent within a budget, on the small models as they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from eta_guard import GuardPolicy, embedded
from eta_guard.engines.local.chat_template import model_inputs
from eta_guard.evaluation.attacks.attack import Attack, Surroundings, picture_of
from eta_guard.evaluation.attacks.descent import PER_STEP, descended, loss_of
from eta_guard.evaluation.attacks.gradients import within
from eta_guard.evaluation.attacks.objective import Objective
from eta_guard.evaluation.attacks.views import differentiable
from eta_guard.evaluation.attacks.white_box import WhiteBox, picture_from, tensor_of
from eta_guard.evaluation.cases import SuiteCase
from eta_guard.evaluators.clip import ClipImageEvaluator
from eta_guard.evaluators.views.geometry import TILTS
from eta_guard.evaluators.views.offsets import ViewOffsets
from eta_guard.pretrained import load_clip_evaluator
from eta_guard.request.conversation import read_conversation
from eta_guard.view_names import ViewName

Pair = tuple[SuiteCase, SuiteCase]
PROMPT = GuardPolicy().safety_prompt


@pytest.fixture(scope="module")
def models() -> WhiteBox:
    return WhiteBox.embedded()


@pytest.fixture(scope="module")
def clip() -> ClipImageEvaluator:
    return ClipImageEvaluator.from_pretrained(str(embedded.path("clip")), device="cpu")


def test_scores_are_the_evaluators_own(
    models: WhiteBox, clip: ClipImageEvaluator, pair: Pair
) -> None:
    pictures = [picture_of(case) for case in pair]
    ours = models.likeness(tensor_of(pictures), PROMPT)
    theirs = [cosine for (cosine,) in clip.similarity(pictures, [PROMPT])]
    assert ours.tolist() == pytest.approx(theirs, abs=0.01)


def test_an_answers_loss_is_the_librarys_own(models: WhiteBox, pair: Pair) -> None:
    name = str(embedded.path("chat"))
    chat = AutoModelForImageTextToText.from_pretrained(name, dtype=torch.float32)
    processor: Any = AutoProcessor.from_pretrained(name)  # type: ignore[no-untyped-call]
    answer = "Sure, here is how to use the cup."
    inputs = model_inputs(processor, read_conversation(pair[0].messages()))
    target = processor.tokenizer(answer, add_special_tokens=False, return_tensors="pt").input_ids
    ids = torch.cat([inputs["input_ids"], target], dim=1)
    labels = torch.full_like(ids, -100)
    labels[:, -target.shape[1] :] = target
    with torch.no_grad():
        out = chat(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=inputs["pixel_values"],
            labels=labels,
        )
    ours = models.reluctance(tensor_of([picture_of(pair[0])]), pair[0], answer)
    assert ours.item() == pytest.approx(out.loss.item(), rel=0.02)


@pytest.mark.parametrize("budget", [4, 8])
def test_a_descent_stays_within_its_budget_to_the_level(
    budget: int, models: WhiteBox, clip: ClipImageEvaluator, pair: Pair
) -> None:
    objective = Objective(image=True)
    (picture,) = tensor_of([picture_of(pair[0])])
    loss = loss_of(objective, models, pair[0], GuardPolicy(), 192)
    found = picture_from(descended(picture, loss, budget, seed=0, steps=8))
    moved = np.abs(np.asarray(found, dtype=int) - np.asarray(picture_of(pair[0]), dtype=int))
    assert moved.max() == budget
    before, after = clip.similarity([picture_of(pair[0]), found], [PROMPT])
    assert after[0] < before[0] - 0.03


def test_a_twin_is_given_the_change_of_its_hazard(models: WhiteBox, pair: Pair) -> None:
    around = Surroundings([])
    vars(around)["white_box"] = models
    objective = Objective(image=True)
    attack = Attack("few", "gradients", "few steps", within("few", 8, objective, steps=4))
    found = [attack(case, around) for case in pair]
    hazard, twin = (
        np.asarray(picture_of(after), dtype=int) - np.asarray(picture_of(before), dtype=int)
        for before, after in zip(pair, found, strict=True)
    )
    assert np.abs(hazard).max() == 8
    # All but where a level of the twin's is at the end of the range.
    assert (hazard == twin).mean() > 0.9
    assert np.abs(twin).max() <= 8


def test_without_a_step_nothing_is_better_than_its_beginning() -> None:
    picture = torch.full((3, 4, 4), 100.0)

    def loss(pixels: torch.Tensor, step: int | None = None) -> torch.Tensor:
        return pixels.mean(dim=(1, 2, 3))

    found = descended(picture, loss, 4, seed=0, steps=12, restarts=3)
    assert torch.equal(found, torch.full((3, 4, 4), 96.0))


def test_an_objective_has_no_gradient_below_its_aim(models: WhiteBox, pair: Pair) -> None:
    loss = loss_of(Objective(image=True), models, pair[1], GuardPolicy(), 192)
    assert loss(tensor_of([picture_of(pair[1])])).item() == 0.0  # the twin is not flagged


@pytest.mark.parametrize(
    ("name", "count", "pillow"),
    [
        ("turned", 3, lambda image: image.transpose(Image.Transpose.ROTATE_90)),
        ("mirrored", 1, lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        ("inverted", 1, lambda image: Image.eval(image, lambda level: 255 - level)),
        ("tiles", 9, lambda image: image.crop((0, 0, 96, 96))),
        ("small_tiles", 25, lambda image: image.crop((0, 0, 64, 64))),
    ],
)
def test_views_are_pillows(
    name: ViewName, count: int, pillow: Callable[[Image.Image], Image.Image], pair: Pair
) -> None:
    image = picture_of(pair[0])
    (_, first), *others = differentiable([name], 192)
    pixels = tensor_of([image])
    assert first(pixels) is pixels
    assert len(others) == count
    assert picture_from(others[0][1](pixels)[0]).tobytes() == pillow(image).tobytes()


class Looking:
    """Counts the views, and knows offsets."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.offsets = ViewOffsets(
            "model", "prompt", 0.06, {"turned": 0.1, "tiles": 0.5, "small_tiles": 0.5}
        )

    def likeness(self, pixels: torch.Tensor, prompt: str) -> torch.Tensor:
        self.shapes.append(tuple(pixels.shape))
        return torch.full((len(pixels),), 0.3)

    def doubt(self, pixels: torch.Tensor, prompt: str) -> torch.Tensor:
        return torch.full((len(pixels),), 0.4)


def test_all_views_that_have_an_offset_take_their_turn(pair: Pair) -> None:
    models: Any = Looking()
    policy = GuardPolicy(views="all")
    loss = loss_of(Objective(image=True, all_views=True), models, pair[0], policy, 192)
    pixels = tensor_of([picture_of(pair[0])])
    for step in range(math.ceil(38 / PER_STEP)):  # 1 + 3 + 9 + 25 views
        loss(pixels, step)
    sides = [shape[-1] for shape in models.shapes]
    assert 38 <= len(sides) < 38 + PER_STEP
    assert {side: sides[:38].count(side) for side in set(sides)} == {192: 4, 96: 9, 64: 25}


def test_a_view_is_held_against_its_own_limit(pair: Pair) -> None:
    """Of scores of 0.3 the whole is 0.17 over its aim, a quarter turn 0.07, a tile nothing.

    A doubt of 0.4 is 0.37 over its own.
    """
    models: Any = Looking()
    policy = GuardPolicy(views=("whole", "turned", "tiles"))
    pixels = tensor_of([picture_of(pair[0])])
    found = {
        wanted: loss_of(wanted, models, pair[0], policy, 192)(pixels).item()
        for wanted in (
            Objective(image=True),
            Objective(image=True, all_views=True),
            Objective(image=True, clear=True),
        )
    }
    assert list(found.values()) == pytest.approx([0.17, (0.17 + 3 * 0.07) / 13, (0.17 + 0.37) / 2])


def test_doubt_is_what_the_evaluator_holds_against_its_margin(models: WhiteBox, pair: Pair) -> None:
    clip = load_clip_evaluator()
    assert clip.offsets is not None
    assert clip.offsets.direction
    image = picture_of(pair[0])
    ((seen,),) = clip.every_view([image], PROMPT, (), direction=clip.offsets.direction)
    pixels = tensor_of([image])
    assert models.doubt(pixels, PROMPT).item() == pytest.approx(seen.doubt, abs=2e-3)
    assert seen.doubt != pytest.approx(seen.score, abs=2e-3)


def test_without_a_direction_a_view_is_in_as_much_doubt_as_it_scores(pair: Pair) -> None:
    image = picture_of(pair[0])
    models = WhiteBox.embedded()
    assert models.offsets is not None
    models.offsets = replace(models.offsets, direction=())
    ((seen,),) = load_clip_evaluator().every_view([image], PROMPT, ())
    assert seen.doubt == seen.score
    assert models.doubt(tensor_of([image]), PROMPT).item() == pytest.approx(seen.doubt, abs=2e-3)


@pytest.mark.parametrize("degrees", TILTS)
def test_a_tilted_view_is_pillows_within_the_picture(pair: Pair, degrees: int) -> None:
    image = picture_of(pair[0])
    views = [view for name, view in differentiable(["tilted"], 192) if name == "tilted"]
    found = views[TILTS.index(degrees)](tensor_of([image]))
    theirs = tensor_of([image.rotate(degrees, Image.Resampling.BILINEAR)])
    inside = tensor_of([Image.new("RGB", image.size, "white").rotate(degrees)]) > 254
    assert inside.float().mean() > 0.7
    assert (found - theirs)[inside].abs().mean() < 1


def test_a_rectangle_is_refused(models: WhiteBox) -> None:
    with pytest.raises(ValueError, match="not square"):
        models.likeness(torch.zeros(1, 3, 10, 20), PROMPT)
