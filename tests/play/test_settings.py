"""The settings amount to a policy; what is taken along is exactly that policy."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eta_guard import pretrained
from eta_guard.errors import PolicyError
from eta_guard.play.copies import as_policy_file, as_python
from eta_guard.play.histogram import histogram
from eta_guard.policy import GuardPolicy
from tests.fakes import FakeEngine, FakeImages, FakeResponses
from tests.play.rig import GuardModel, chosen, playground, scores

CHANGES: list[dict[str, Any]] = [
    {},
    {"image:clip": 0.3, "response:reward": -0.1},
    {"image:guard_model": 0.7},
    {"candidates": 3, "search_temperature": 0.7, "prefix": 'He said: "no"\nand left'},
    {"search": False, "views": ["whole", "turned"]},
]


def test_untouched_controls_are_the_policy_they_started_from(tmp_path: Path) -> None:
    policies: list[dict[str, Any]] = [
        {},
        {"image_threshold": 0.123456789, "thresholds": {"guard_model": 0.4999}},
    ]
    for policy in policies:
        place = playground(tmp_path, **policy)
        assert chosen(place).policy == place.guard.policy
        assert chosen(place).policy.label == place.guard.policy.label


def test_each_threshold_goes_where_the_guard_looks_for_it(tmp_path: Path) -> None:
    place = playground(tmp_path)
    moved = {"image:clip": 0.3, "image:guard_model": 0.7, "response:reward": -0.1}
    policy = chosen(place, **moved).policy
    assert (policy.image_threshold, policy.response_threshold) == (0.3, -0.1)
    assert policy.thresholds == {"guard_model": 0.7}
    # Whoever is off is not spoken of: the guard would not know the name.
    without = chosen(place, "image:guard_model", **moved)
    assert without.policy.thresholds == {}
    assert [one.name for one in without.guard(place.guard).panel.images] == ["clip"]
    # Of a kind somebody has to evaluate.
    assert chosen(place, "response:reward").responses == ("reward",)


def test_the_likeness_stays_when_its_evaluator_is_off(tmp_path: Path) -> None:
    place = playground(tmp_path)
    panel = chosen(place, "image:clip").guard(place.guard).panel
    assert [one.name for one in panel.images] == ["guard_model"]
    assert panel.likeness is place.guard.panel.likeness is not None


def test_what_only_decides_is_told_from_what_counts_next_time(tmp_path: Path) -> None:
    place = playground(tmp_path)
    before = chosen(place)
    assert chosen(place, **{"image:clip": 0.3}).counts_next_time(before) == []
    changed = chosen(place, "image:guard_model", candidates=3, prefix="No,")
    assert set(changed.counts_next_time(before)) == {"candidates", "prefix", "evaluators"}


def test_a_value_that_is_not_valid_is_the_policys_error(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="whole"):
        chosen(playground(tmp_path), views=["turned"])


@pytest.mark.parametrize("values", CHANGES)
@pytest.mark.parametrize("off", [[], ["image:clip"], ["image:guard_model"]])
def test_copies_give_exactly_the_settings(
    values: dict[str, Any], off: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = playground(tmp_path)
    found = chosen(place, *off, **values)
    (tmp_path / "policy.yaml").write_text(as_policy_file(found), "utf-8")
    assert GuardPolicy.from_file(tmp_path / "policy.yaml") == found.policy
    loaded: list[dict[str, Any]] = []

    def load_parts(**asked: Any) -> dict[str, Any]:
        loaded.append(asked)
        return {
            "engine": FakeEngine(),
            "image_evaluator": [FakeImages(), GuardModel()],
            "response_evaluator": FakeResponses(),
        }

    monkeypatch.setattr(pretrained, "load_parts", load_parts)
    models = {"image_evaluators": ["guard:NAME"], "device": "cpu"}
    names: dict[str, Any] = {}
    exec(as_python(found, models, all_on=not off), names)
    assert names["policy"] == names["guard"].policy == found.policy
    assert names["policy"].label == found.policy.label
    assert loaded == [models]
    panel, shown = names["guard"].panel, found.guard(place.guard).panel
    for kind in ("images", "responses"):
        assert [e.name for e in getattr(panel, kind)] == [e.name for e in getattr(shown, kind)]


def test_a_dtype_is_torchs_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = SimpleNamespace(float16="half")
    monkeypatch.setitem(sys.modules, "torch", torch)
    asked: dict[str, Any] = {}
    parts = {"engine": FakeEngine(), "image_evaluator": FakeImages()}
    parts["response_evaluator"] = FakeResponses()
    monkeypatch.setattr(pretrained, "load_parts", lambda **given: asked.update(given) or parts)
    exec(as_python(chosen(playground(tmp_path)), {"dtype": "float16"}, all_on=True), {})
    assert asked == {"dtype": torch.float16}


def test_a_histogram_counts_what_the_threshold_flags(tmp_path: Path) -> None:
    (dial, *_) = playground(tmp_path).dials()
    values = scores().of("image", "clip")
    for threshold, flagged in ((0.25, (2, 0)), (0.2, (2, 1)), (0.9, (0, 0))):
        drawn = histogram(dial, threshold, values, complete=True)
        assert drawn.flagged == flagged
        assert drawn.there == (2, 2)
        assert 0 <= drawn.limit <= 100
    assert all(dial.low <= score.value <= dial.high for score in values)
    assert dial.low <= dial.value <= dial.high
