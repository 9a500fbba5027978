from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from eta_guard.cli.options import Dtype, ModelChoice
from eta_guard.cli.play import _models
from eta_guard.errors import InputError
from eta_guard.play.scores import of_calibration
from tests.cli.conftest import Result, Run
from tests.evaluation.conftest import record


def test_without_the_extra_it_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "eta_guard.play.serve.find_spec", lambda name: None if name == "gradio" else find(name)
    )
    result: Result = run("play")
    assert result.code == 2
    assert "eta_guard[play]" in result.err


def test_the_models_of_the_options_are_named_for_python() -> None:
    assert _models(ModelChoice()) == {}
    choice = ModelChoice("paper", "NAME@http://127.0.0.1:8000/v1", dtype=Dtype.float16)
    assert _models(choice) == {
        "assembly": "paper",
        "chat_model": "NAME@http://127.0.0.1:8000/v1",
        "dtype": "float16",
    }


def test_the_scores_are_those_that_a_calibration_has_kept(tmp_path: Path) -> None:
    records = [record(1, image=0.3), record(2, hazardous=False, image=0.1)]
    lines = [one.model_dump_json() for one in records]
    (tmp_path / "cases.jsonl").write_text("\n".join(lines), "utf-8")
    known = of_calibration(tmp_path)
    assert known.complete
    assert sorted(known.of("image", "clip")) == [(0.1, False), (0.3, True)]
    assert len(known.of("response", "reward")) == 2


@pytest.mark.parametrize("content", [None, "no JSON", json.dumps({"id": "1"})])
def test_what_is_no_calibration_is_refused(content: Any, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "cases.jsonl").write_text(content, "utf-8")
    with pytest.raises(InputError, match="no results"):
        of_calibration(tmp_path)
