from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from eta_guard import prompts
from eta_guard.errors import PolicyError
from eta_guard.policy import CONFIG_KEY, GuardPolicy
from eta_guard.view_names import DEFAULT_VIEWS, VIEW_NAMES

NAN, INF = math.nan, math.inf

BAD: dict[str, list[Any]] = {
    "name": [None, 3],
    "mode": ["off", "", None, True],
    "thresholds": [{"ocr": NAN}, {"ocr": "high"}, {"ocr": None}, {3: 0.5}, None, [0.5]],
    "short_circuit": ["maybe", None, 2],
    "decode_answers": ["maybe", None, 2],
    "sentences_alone": ["maybe", None, 2],
    "on_unsafe_image": ["refuse", "", None],
    "image_threshold": [16.0, 1.0001, -0.01, NAN, INF, -INF, "high", None],
    "response_threshold": [NAN, INF, -INF, "low", None],
    "safety_prompt": ["", None, 3],
    "post_prompt": ["", None],
    "search_prompt": ["", None],
    "draft_stop_margin": [-0.1, NAN, INF, "low"],
    "draft_with_candidates": ["maybe", None, 2],
    "image_scope": ["first", None],
    "on_no_image": ["raise", None],
    "views": [["whole", "sideways"], ["turned"], [], "whole", None, [3]],
    "look_closer": ["never", "", None],
    "prefix": [None, 3],
    "aligner": ["none", "eta+mask", "", None, ["mask"]],
    "search": ["maybe", None, 2],
    "candidates": [0, -1, 65, 1.5, NAN, "many", None],
    "search_top_k": [0, -5, 0.5, None],
    "search_temperature": [0.0, -1.0, 10.1, NAN, INF, None],
    "alpha": [-0.1, NAN, INF, None],
    "accept_above": [[0.2, 0.1], [0.1], [0.1, 0.2, 0.3], [NAN, 0.1], [0.1, INF], 0.1, ["low", 1]],
    "clip_from_sentence": [0, -1, 1.5, None],
    "max_sentence_tokens": [0, -70, None],
    "max_tokens": [0, -1, 0.5, None],
    "seed": [-1, 2**32, 0.5, None],
    "on_unscored": ["safe", "pass", None, {"clip": "safe"}, {3: "refuse"}, ["refuse"]],
    "timeout": [0, -1, NAN, INF, "soon"],
    "on_unrepaired": ["raise", None],
    "on_unreadable": ["ignore", None],
    "image_hosts": [["*"], ["*.org"], ["https://example.org"], ["a b"], [""], "example.org", [3]],
    "max_image_side": [63, 0, -1, 1.5, "small"],
    "on_error": ["ignore", None],
    "refusal_message": ["", None],
    "record_rejected": ["perhaps", None],
    "overridable": [{"treshold"}, {"overridable"}, "mode", [1], None],
}

GOOD: dict[str, list[Any]] = {
    "image_threshold": [0.0, 1.0, 0.16],
    "thresholds": [{}, {"ocr": 0.5, "guard_model": -3.0}],
    "response_threshold": [-1e6, 0.0, 1e6],
    "draft_stop_margin": [None, 0.0, 1e6],
    "prefix": ["", "As an AI assistant,", "作为一个人工智能助手"],
    "candidates": [1, 64],
    "search_top_k": [1, 100_000],
    "search_temperature": [1e-6, 10.0],
    "alpha": [0.0, 100.0],
    "accept_above": [None, (0.1, 0.1), (-1e6, 1e6)],
    "clip_from_sentence": [1, 2, 1000],
    "max_sentence_tokens": [1, 10_000],
    "max_tokens": [1, 100_000],
    "seed": [0, 2**32 - 1],
    "on_unscored": ["unsafe", "refuse", "raise", {}, {"clip": "refuse", "ocr": "raise"}],
    "timeout": [None, 1e-3, 3600],
    "overridable": [set(), {"max_tokens", "seed"}, ["mode"]],
}


# ── fields ──


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD.items() for value in values]
)
def test_a_value_out_of_range_is_refused_by_name_with_a_hint(name: str, value: Any) -> None:
    with pytest.raises(PolicyError) as caught:
        GuardPolicy(**{name: value})
    error = caught.value
    assert error.message.startswith(name)
    assert "not valid" in error.message
    assert error.hint
    assert GuardPolicy.model_fields[name].description is not None
    first_words = " ".join((GuardPolicy.model_fields[name].description or "").split())[:20]
    assert error.hint.startswith(first_words)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in GOOD.items() for value in values]
)
def test_the_ends_of_the_ranges_are_accepted(name: str, value: Any) -> None:
    kept = getattr(GuardPolicy(**{name: value}), name)
    assert kept == (frozenset(value) if name == "overridable" else value)


def test_every_field_has_its_bad_values_here() -> None:
    assert set(BAD) == set(GuardPolicy.model_fields)


def test_every_field_is_described() -> None:
    for name, field in GuardPolicy.model_fields.items():
        assert field.description, name
        assert field.description.strip().endswith((".", ")")), name


def test_unknown_fields_are_refused_with_the_known_ones() -> None:
    with pytest.raises(PolicyError, match="no policy field 'treshold'") as caught:
        GuardPolicy(treshold=0.1)
    for name in GuardPolicy.model_fields:
        assert name in caught.value.hint


def test_views_are_named_in_one_order_or_all() -> None:
    assert GuardPolicy(views=["turned", "whole"]).views == ("whole", "turned")
    assert GuardPolicy(views="all").views == VIEW_NAMES
    assert GuardPolicy().views == DEFAULT_VIEWS


def test_it_is_frozen() -> None:
    policy = GuardPolicy()
    with pytest.raises(ValidationError):
        policy.mode = "observe"
    assert hash(policy) == hash(GuardPolicy())
    assert policy == GuardPolicy()
    assert policy != GuardPolicy(seed=1)


def test_it_survives_pickling_and_json() -> None:
    policy = GuardPolicy(seed=3, overridable=frozenset({"seed"}), prefix="As an AI assistant,")
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert GuardPolicy(**json.loads(policy.model_dump_json())) == policy


def test_wrong_values_in_a_larger_model_are_its_own_error() -> None:
    with pytest.raises(ValidationError, match="image_threshold"):
        GuardPolicy.model_validate({"image_threshold": 16.0})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("As an AI assistant ", "As an AI assistant"),
        ("As an AI assistant, \n\t", "As an AI assistant,"),
        ("  As", "  As"),
        (" ", ""),
    ],
)
def test_white_space_at_the_end_of_the_prefix_is_dropped(given: str, kept: str) -> None:
    assert GuardPolicy(prefix=given).prefix == kept


# ── the paper ──

PAPER = {
    "image_threshold": 0.16,
    "response_threshold": 0.06,
    "prefix": "As an AI assistant",
    "candidates": 5,
    "search_top_k": 5,
    "search_temperature": 1.5,
    "alpha": 1.0,
    "clip_from_sentence": 2,
    "max_sentence_tokens": 70,
    "max_tokens": 1024,
    "search": True,
    "on_unrepaired": "return",
    "mode": "enforce",
    "draft_stop_margin": None,
    "draft_with_candidates": False,
    "safety_prompt": (
        "The image contains unsafe/porn/violent/politic/physical harmful/illegal/privacy contents."
    ),
    "post_prompt": (
        "Please give me a response without any safety issues, one word or phrase or number is "
        "good. If the response contains instructions of harmful/porn/sexual/unsafe/violence/"
        "illegal/pricacy activities, the score will be low. If the response directly reject to "
        "the question, and give some helpful advices, the score should be high. If the response "
        "only contains a single word or number or phrase, the score will be extremely high."
    ),
    "search_prompt": (
        "Please give me a response without any safety issues. If the response contains "
        "instructions of harmful/porn/sexual/unsafe/violence/illegal/pricacy activities, the "
        "score will be low. If the response directly reject the question, and give some helpful "
        "advices, the score should be high."
    ),
}


def test_paper_is_the_published_procedure() -> None:
    policy = GuardPolicy.paper()
    assert {name: getattr(policy, name) for name in PAPER} == PAPER


def test_the_defaults_are_the_papers_but_for_three() -> None:
    default, paper = GuardPolicy().model_dump(), GuardPolicy.paper().model_dump()
    differing = {name for name in default if default[name] != paper[name]}
    assert differing == {"on_unrepaired", "views", "decode_answers"}
    assert paper["views"] == ("whole",)
    assert default["on_unrepaired"] == "refuse"
    assert default["decode_answers"]


def test_the_presets_are_ordered_by_strictness() -> None:
    strict, balanced, lenient = map(GuardPolicy.preset, ("strict", "balanced", "lenient"))
    assert balanced == GuardPolicy()
    assert strict.image_threshold < balanced.image_threshold < lenient.image_threshold
    assert strict.response_threshold > balanced.response_threshold > lenient.response_threshold
    assert strict.on_unscored == "refuse"
    with pytest.raises(PolicyError, match=r"'paranoid'.*strict"):
        GuardPolicy.preset("paranoid")


def test_prompts_are_the_policys_defaults() -> None:
    policy = GuardPolicy()
    assert policy.safety_prompt == prompts.SAFETY_PROMPT
    assert policy.refusal_message == prompts.REFUSAL


# ── files ──


def test_reads_yaml_and_json(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(
        "image_threshold: 0.2  # ours\noverridable: [seed]\nprefix: 'As an AI assistant, '\n"
    )
    (tmp_path / "policy.json").write_text(
        '{"image_threshold": 0.2, "overridable": ["seed"], "prefix": "As an AI assistant,"}'
    )
    expected = GuardPolicy(
        image_threshold=0.2, overridable=frozenset({"seed"}), prefix="As an AI assistant,"
    )
    assert GuardPolicy.from_file(tmp_path / "policy.yaml") == expected
    assert GuardPolicy.from_file(str(tmp_path / "policy.json")) == expected


def test_a_whole_policy_survives_a_file(tmp_path: Path) -> None:
    policy = GuardPolicy.preset("strict").updated({"seed": 7, "overridable": ["seed"]})
    (tmp_path / "policy.json").write_text(policy.model_dump_json())
    assert GuardPolicy.from_file(tmp_path / "policy.json") == policy


FILES: dict[str, tuple[bytes, str]] = {
    "no mapping": (b"- mode\n", "holds no mapping"),
    "text": (b"observe", "holds no mapping"),
    "empty": (b"", "holds no mapping"),
    "names that are no text": (b"1: 2\n", "holds no mapping"),
    "unknown field": (b"threshold: 1\n", "no policy field 'threshold'"),
    "bad value": (b"image_threshold: 16\n", "image_threshold = 16 is not valid"),
    "not YAML": (b"mode: [observe\n", "cannot be read"),
    "not text": (b"\xff\xfe\x00", "cannot be read"),
    "code": (b"!!python/object/apply:os.getcwd []\n", "cannot be read"),
}


@pytest.mark.parametrize(("content", "message"), FILES.values(), ids=FILES)
def test_a_wrong_file_is_a_policy_error(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "policy.yaml").write_bytes(content)
    with pytest.raises(PolicyError) as caught:
        GuardPolicy.from_file(tmp_path / "policy.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_or_a_folder_is_a_policy_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(PolicyError, match="cannot be read"):
            GuardPolicy.from_file(path)


# ── overrides ──


def test_for_run_takes_what_is_overridable() -> None:
    policy = GuardPolicy(overridable=frozenset({"max_tokens", "seed"}), image_threshold=0.3)
    mine = policy.for_run({"configurable": {CONFIG_KEY: {"max_tokens": 9}}})
    assert mine == policy.updated({"max_tokens": 9})
    assert (mine.max_tokens, mine.image_threshold, policy.max_tokens) == (9, 0.3, 1024)


def test_for_run_without_overrides_is_the_policy_itself() -> None:
    policy = GuardPolicy()
    configs: list[Any] = [
        None,
        {},
        {"configurable": {}},
        {"configurable": None},
        {"configurable": {CONFIG_KEY: None}},
        {"configurable": {CONFIG_KEY: {}}},
        {"configurable": {"thread_id": "1", "mode": "observe"}},
    ]
    for config in configs:
        assert policy.for_run(config) is policy


@pytest.mark.parametrize("name", sorted(GuardPolicy.model_fields))
def test_by_default_nothing_can_be_overridden(name: str) -> None:
    value = GuardPolicy().model_dump()[name]
    with pytest.raises(PolicyError, match=f"does not let a caller set {name}.*overridable"):
        GuardPolicy().for_run({"configurable": {CONFIG_KEY: {name: value}}})


def test_overridable_can_never_be_overridden() -> None:
    everything = frozenset(GuardPolicy.model_fields) - {"overridable", "draft_with_candidates"}
    policy = GuardPolicy(overridable=everything)
    with pytest.raises(PolicyError, match="does not let a caller set overridable"):
        policy.for_run({"configurable": {CONFIG_KEY: {"overridable": []}}})


OVERRIDES: dict[str, tuple[Any, str]] = {
    "unknown": ({"treshold": 1}, "no policy field 'treshold'"),
    "no name": ({1: 2}, "no policy field '1'"),
    "invalid": ({"candidates": 0}, "candidates = 0 is not valid"),
    "forbidden": ({"mode": "observe", "candidates": 3}, "caller set mode"),
    "text": ("observe", "a str, not a mapping"),
    "empty text": ("", "a str, not a mapping"),
    "list": ([], "a list, not a mapping"),
    "false": (False, "a bool, not a mapping"),
}


@pytest.mark.parametrize(("overrides", "message"), OVERRIDES.values(), ids=OVERRIDES)
def test_wrong_overrides_are_policy_errors(overrides: Any, message: str) -> None:
    policy = GuardPolicy(overridable=frozenset({"candidates"}))
    with pytest.raises(PolicyError) as caught:
        policy.for_run({"configurable": {CONFIG_KEY: overrides}})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [lambda policy: policy.updated({"alpha": -1}), lambda policy: policy.updated({"beta": 1})],
)
def test_updated_checks_like_all(change: Callable[[GuardPolicy], GuardPolicy]) -> None:
    with pytest.raises(PolicyError):
        change(GuardPolicy())


def test_drafts_are_made_cheaper_in_one_way() -> None:
    with pytest.raises(PolicyError, match="exclude each other"):
        GuardPolicy(draft_with_candidates=True, draft_stop_margin=0.1)
