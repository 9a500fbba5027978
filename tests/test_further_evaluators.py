"""Further evaluators: what a line of text asks for, and what is loaded for it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from eta_guard import GuardPolicy, pretrained
from eta_guard.errors import MissingWeightsError, ModelLoadError, UnsupportedModelError
from eta_guard.further_evaluators import FORMS, FurtherEvaluators, Spec, read_spec
from eta_guard.pretrained import panel_of
from tests.fakes import FakeEngine, FakeImages, FakeResponses

SERVED = "guard:org/guard-4B@http://localhost:8000/v1"


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("typographic", Spec("typographic")),
        ("regions", Spec("regions")),
        ("guard:org/guard-4B", Spec("guard", "org/guard-4B")),
        ("guard:org/guard-4B@abc123", Spec("guard", "org/guard-4B@abc123")),
        ("guard:./weights/guard", Spec("guard", "./weights/guard")),
        (SERVED, Spec("guard", "org/guard-4B", "http://localhost:8000/v1")),
        ("guard:a@https://b:1/v1", Spec("guard", "a", "https://b:1/v1")),
        ("classifier:org/c=unsafe, gore", Spec("classifier", "org/c", labels=("unsafe", "gore"))),
        ("classifier:a=b/c=x", Spec("classifier", "a=b/c", labels=("x",))),
    ],
)
def test_forms_are_read(text: str, spec: Spec) -> None:
    assert read_spec(text, "image") == spec
    if spec.sort == "guard":
        assert read_spec(text, "response") == spec


@pytest.mark.parametrize(
    "text",
    [
        "",
        "guard",
        "guard:",
        "typographic:x",
        "regions:x",
        "org/guard",
        "classifier:x",
        "classifier:x=",
        "clip:a",
    ],
)
def test_what_has_none_of_the_forms_is_told_all(text: str) -> None:
    for kind in FORMS:
        with pytest.raises(ModelLoadError) as caught:
            read_spec(text, kind)
        assert repr(text) in caught.value.message
        assert FORMS[kind] in caught.value.hint


@pytest.mark.parametrize("text", ["typographic", "regions", "classifier:x=y"])
def test_what_looks_at_pictures_evaluates_no_answers(text: str) -> None:
    with pytest.raises(ModelLoadError, match="response evaluator"):
        read_spec(text, "response")


# ── loading ──


class Guard(FakeImages, FakeResponses):
    """Serves both seams."""

    sees = reads = True


class Loads:
    """Stands in place of the three classes, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any, dict[str, Any]]] = []
        self.guard: Any = Guard
        self.missing: set[str] = set()

    def from_pretrained(self, model: str, /, **settings: Any) -> Any:
        self.asked.append(("here", model, settings))
        if model in self.missing:
            raise MissingWeightsError({f"the model {model!r}": model})
        own = "classifier" if "unsafe_labels" in settings else "guard_model"
        return self.guard(name=settings.get("name", own), threshold=0.5)

    def from_server(self, base_url: str, model: str, **settings: Any) -> Any:
        self.asked.append((base_url, model, settings))
        return self.guard(name=settings.get("name", "guard_model"), threshold=0.5)

    def __call__(self, **settings: Any) -> Any:
        self.asked.append(("typographic", None, settings))
        return FakeImages(name="typographic", threshold=settings["threshold"])


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    loads = Loads()
    for module, name in (
        ("guard_model.evaluator", "GuardModelEvaluator"),
        ("classifier", "ClassifierImageEvaluator"),
        ("typographic", "TypographicEvaluator"),
    ):
        fake = ModuleType(f"eta_guard.evaluators.{module}")
        setattr(fake, name, loads)
        monkeypatch.setitem(sys.modules, fake.__name__, fake)
    monkeypatch.setattr(pretrained, "_clip", lambda *_: FakeImages())
    monkeypatch.setattr(pretrained, "_reward", lambda *_: FakeResponses())
    monkeypatch.setattr(pretrained, "load_chat_model", lambda *_, **__: FakeEngine())
    return loads


def test_without_further_ones_there_is_one_of_a_kind(loads: Loads) -> None:
    parts = pretrained.load_parts()
    assert isinstance(parts["image_evaluator"], FakeImages)
    assert isinstance(parts["response_evaluator"], FakeResponses)
    assert not loads.asked


def test_further_ones_stand_behind_the_assemblys_own(loads: Loads) -> None:
    said: list[str] = []
    parts = pretrained.load_parts(
        image_evaluators=["typographic", "classifier:org/c@v1=gore"],
        response_evaluators=["guard:org/guard"],
        device="cpu",
        progress=said.append,
    )
    panel = panel_of(parts, GuardPolicy())
    assert [one.name for one in panel.images] == ["clip", "typographic", "classifier"]
    assert [one.name for one in panel.responses] == ["reward", "guard_model"]
    assert id(panel.likeness) == id(panel.images[0])
    guard, typographic, classifier = loads.asked
    assert typographic[2] == {"judge": panel.responses[1], "threshold": 0.5}
    shared = {"device": "cpu", "dtype": None}
    assert classifier[1:] == ("org/c", {"unsafe_labels": ["gore"], "revision": "v1", **shared})
    assert guard[1:] == ("org/guard", {"revision": None, **shared})
    assert said[3:] == [
        "Loading the guard evaluator org/guard",
        "Loading the typographic evaluator",
        "Loading the classifier evaluator org/c@v1",
    ]


def test_text_in_pictures_is_held_against_the_policys_threshold_of_answers(loads: Loads) -> None:
    policy = GuardPolicy(response_threshold=-1.5)
    pretrained.load_parts(image_evaluators=["typographic"], policy=policy)
    assert loads.asked[0][2]["threshold"] == -1.5


def test_a_judge_with_a_threshold_of_its_own_keeps_it(loads: Loads) -> None:
    judge = FakeResponses(threshold=0.7)
    FurtherEvaluators.read(["typographic"], []).load(judge, -1.5)
    assert loads.asked[0][2]["threshold"] == 0.7


def test_a_guard_model_for_both_kinds_is_loaded_once(loads: Loads) -> None:
    parts = pretrained.load_parts(image_evaluators=[SERVED], response_evaluators=[SERVED])
    panel = panel_of(parts, GuardPolicy())
    assert id(panel.images[1]) == id(panel.responses[1])
    assert loads.asked == [("http://localhost:8000/v1", "org/guard-4B", {})]


def test_several_of_a_sort_have_names_of_their_own(loads: Loads) -> None:
    specs = ["guard:org/one@v1", "guard:org/two", "guard:other/two", "classifier:org/c=gore"]
    FurtherEvaluators.read(specs, ["guard:org/one@v1"]).load(FakeResponses(), 0.0)
    names = [settings.get("name") for _, _, settings in loads.asked]
    assert names == ["guard:one", "guard:two#2", "guard:two#3", None]


@pytest.mark.parametrize(("ability", "what"), [("sees", "pictures"), ("reads", "answers")])
def test_a_guard_model_that_cannot_is_told(ability: str, what: str, loads: Loads) -> None:
    loads.guard = type("Half", (Guard,), {ability: False})
    further = FurtherEvaluators.read(["guard:org/guard"], ["guard:org/guard"])
    with pytest.raises(UnsupportedModelError, match=f"org/guard evaluates no {what}"):
        further.load(FakeResponses(), 0.0)


def test_all_that_is_missing_is_told_at_once(loads: Loads) -> None:
    loads.missing = {"org/one", "org/c"}
    with pytest.raises(MissingWeightsError) as caught:
        pretrained.load_parts(image_evaluators=["guard:org/one", "classifier:org/c=x", SERVED])
    assert [*caught.value.wanted.values()] == ["org/one", "org/c"]


def test_a_mistake_is_told_before_anything_is_loaded(
    loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "_clip", lambda *_: pytest.fail("loaded"))
    with pytest.raises(ModelLoadError, match="'gaurd:org/one'"):
        pretrained.load_parts(image_evaluators=["gaurd:org/one"])


def test_a_directory_with_an_at_sign_is_a_directory(tmp_path: Path, loads: Loads) -> None:
    folder = tmp_path / "guard@home"
    folder.mkdir()
    pretrained.load_parts(response_evaluators=[f"guard:{folder}"])
    assert loads.asked[0][1:] == (str(folder), {"revision": None, "device": None, "dtype": None})


@pytest.mark.slow
def test_a_guard_model_that_reads_answers_judges_the_text_in_pictures() -> None:
    parts = pretrained.load_parts(
        image_evaluators=["typographic"], response_evaluators=["guard:embedded"], device="cpu"
    )
    panel = panel_of(parts, GuardPolicy())
    assert panel.images[1].fingerprint.endswith(panel.responses[1].fingerprint)
    assert (panel.images[1].unsafe, panel.images[1].threshold) == ("above", 0.5)
