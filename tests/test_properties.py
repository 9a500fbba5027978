"""Whatever comes as a message or as a policy: it is read, or refused by an error of ours."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from eta_guard.errors import EtaGuardError, InputError, PolicyError
from eta_guard.guard import EtaGuard
from eta_guard.policy import GuardPolicy
from eta_guard.request.conversation import read_conversation
from eta_guard.request.reading import Reading
from eta_guard.request.sources import DATA_KEYS, MIME_KEYS, PLACE_KEYS
from eta_guard.state import Verdict
from tests.fakes import FakeEngine, FakeImages, FakeResponses, image_block
from tests.request.fuzz import seeds

often = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)

PNG = base64.b64encode(seeds()["png-RGB"]).decode()
TYPES = [
    "text",
    "image",
    "image_url",
    "input_image",
    "file",
    "media",
    "document",
    "audio",
    "video",
    "tool_use",
    "tool_result",
    "tool_call",
    "reasoning",
    "thinking",
    "non_standard",
    "refusal",
    "output_text",
    "input_text",
    "image_generation_call",
    "computer_call_output",
    "guard",
]
texts = st.text(max_size=12) | st.sampled_from(
    [PNG, f"data:image/png;base64,{PNG}", "data:,", "data:image/svg+xml,<svg/>", "http://[", "AAAA"]
)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(max_size=9)
keys = st.sampled_from(
    sorted({"type", "content", "output", "value", "index", "id", "extras", "name", "input", "args"}
           | DATA_KEYS | PLACE_KEYS | {*MIME_KEYS})
) | st.text(max_size=5)  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=8,
)
typed = st.builds(
    lambda kind, rest: {**rest, "type": kind},
    st.sampled_from(TYPES) | texts,
    st.dictionaries(keys, values, max_size=4),
)
contents = st.text(max_size=20) | st.lists(
    typed | st.just(image_block(0.5)) | st.text(max_size=8) | st.dictionaries(keys, values),
    max_size=4,
)


def made(kind: str, content: Any) -> BaseMessage | None:
    """None where LangChain itself takes no such content."""
    kinds: dict[str, Any] = {
        "user": HumanMessage,
        "assistant": AIMessage,
        "system": SystemMessage,
        "tool": lambda content: ToolMessage(content, tool_call_id="1"),
    }
    try:
        found: BaseMessage = kinds[kind](content)
    except (ValueError, TypeError, RecursionError):
        return None
    return found


messages = st.lists(
    st.builds(made, st.sampled_from(["user", "user", "assistant", "system", "tool"]), contents),
    min_size=1,
    max_size=4,
).map(lambda found: [one for one in found if one is not None])


def require_help(error: EtaGuardError, secret: str | None = None) -> None:
    assert error.hint
    assert secret is None or secret not in str(error)


@often
@given(messages, st.sampled_from(["raise", "omit", "keep"]), st.booleans(), st.booleans())
def test_messages_are_read_or_refused(
    given_: list[BaseMessage], unreadable: Any, passed_on: bool, last_turn: bool
) -> None:
    reading = Reading(passed_on=passed_on, unreadable=unreadable, last_turn_only=last_turn)
    try:
        read_conversation(given_, reading)
    except InputError as error:
        require_help(error, PNG)


@often
@given(messages)
def test_a_guard_answers_or_refuses(given_: list[BaseMessage]) -> None:
    """And what it lets out has a verdict: nothing that could not be read goes by."""
    guard = EtaGuard(
        engine=FakeEngine(),
        image_evaluator=FakeImages(),
        response_evaluator=FakeResponses(),
        policy=GuardPolicy(on_unreadable="refuse"),
    )
    try:
        reply = guard.invoke(given_)
    except InputError:
        return
    verdict = Verdict.model_validate(reply.response_metadata["eta_guard"])
    assert verdict.decision in ("passed", "aligned", "refused", "blocked")
    assert (reply.text == GuardPolicy().refusal_message) == (
        verdict.decision in ("refused", "blocked")
    )


fields = st.sampled_from([*GuardPolicy.model_fields, "treshold"]) | st.text(max_size=6)


@often
@given(st.dictionaries(fields, values | st.sampled_from(["refuse", "unsafe", "raise"]), max_size=5))
def test_policies_are_valid_or_refused(given_: dict[str, Any]) -> None:
    try:
        policy = GuardPolicy(**given_)
    except PolicyError as error:
        require_help(error)
        return
    again = GuardPolicy(**json.loads(policy.model_dump_json(exclude_unset=True)))
    assert again == policy
    assert again.label == policy.label
    for name, field in policy:
        assert not isinstance(field, float) or math.isfinite(field), name


@often
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_policy_files_are_valid_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(content)
    try:
        GuardPolicy.from_file(path)
    except PolicyError as error:
        require_help(error)
