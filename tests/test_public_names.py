from __future__ import annotations

import ast
import copy
import inspect
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

import eta_guard
from eta_guard import errors
from eta_guard.context_length import ContextLengthError
from eta_guard.errors import EtaGuardError, MissingWeightsError

SOURCE = Path(eta_guard.__file__).read_text("utf-8")

NAMES = [
    "ArmoRM",
    "ChatLocalVLM",
    "ChatModelEngine",
    "ClassifierImageEvaluator",
    "ClipImageEvaluator",
    "ContextLengthError",
    "Counterfactual",
    "DeadlineExceededError",
    "DecisionEvaluator",
    "Engine",
    "EngineError",
    "EtaGuard",
    "EtaGuardError",
    "EtaGuardMiddleware",
    "Evaluation",
    "EvaluationError",
    "Finding",
    "GuardFormat",
    "GuardModelEvaluator",
    "GuardPolicy",
    "GuardQuestion",
    "GuardState",
    "ImageEvaluator",
    "ImageInputError",
    "InputError",
    "Likeness",
    "LocalEngine",
    "MissingWeightsError",
    "ModelLoadError",
    "NoRoomError",
    "OverloadedError",
    "PolicyError",
    "Presentation",
    "Region",
    "RegionImageEvaluator",
    "RegionSettings",
    "ResponseEvaluator",
    "RewardResponseEvaluator",
    "SentenceRound",
    "Tiling",
    "TypographicEvaluator",
    "UnsupportedModelError",
    "Verdict",
    "VllmEngine",
    "VllmResponseEvaluator",
    "build_graph",
]


def test_the_public_names_are_these_and_sorted() -> None:
    assert eta_guard.__all__ == NAMES
    assert sorted(eta_guard.__all__) == eta_guard.__all__


def test_type_checkers_see_what_is_there_at_run_time() -> None:
    declared: dict[str, str] = {}
    for node in ast.walk(ast.parse(SOURCE)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("eta_guard."):
            declared.update({alias.name: node.module or "" for alias in node.names})
    homes = {name: f"eta_guard.{home}" for name, home in eta_guard._HOMES.items()}
    assert declared == homes
    assert sorted(homes) == eta_guard.__all__


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_importable_from_its_home_and_documented(name: str) -> None:
    found = getattr(eta_guard, name)
    assert found.__module__ == f"eta_guard.{eta_guard._HOMES[name]}"
    assert found.__name__ == name
    assert inspect.getdoc(found)
    assert not name.startswith("_")


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = eta_guard.nothing
    with pytest.raises(ImportError):
        exec("from eta_guard import nothing")


# ── errors ──


def tree() -> list[type[EtaGuardError]]:
    found = [*vars(errors).values(), ContextLengthError]
    return [one for one in found if isinstance(one, type) and issubclass(one, EtaGuardError)]


def test_every_error_is_public_and_drawn() -> None:
    drawn = re.findall(r"[─ ]([A-Za-z]+Error)\b", (errors.__doc__ or "").split("::")[1])
    names = [error.__name__ for error in tree()]
    assert sorted(drawn) == sorted(names)
    assert set(names) <= set(eta_guard.__all__)


def made(error: type[EtaGuardError]) -> EtaGuardError:
    if issubclass(error, MissingWeightsError):
        return error({"LLaVA (its licence)": "llava-hf/llava-1.5-7b-hf"})
    return error("It is wrong.", hint="Mend it.")


@pytest.mark.parametrize("error", tree(), ids=lambda error: error.__name__)
def test_every_error_says_what_to_do_and_can_be_pickled(error: type[EtaGuardError]) -> None:
    first = made(error)
    assert first.message
    assert first.hint
    for twin in (first, pickle.loads(pickle.dumps(first)), copy.copy(first)):
        assert type(twin) is error
        assert (twin.message, twin.hint) == (first.message, first.hint)
        assert str(twin) == f"{first.message} {first.hint}"


def test_an_error_without_a_hint_cannot_be_made() -> None:
    loose: Any = EtaGuardError
    with pytest.raises(TypeError, match="hint"):
        loose("It is wrong.")
