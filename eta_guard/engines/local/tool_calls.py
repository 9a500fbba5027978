"""Calls of tools in what a local model wrote."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.messages import ToolCall

from eta_guard.errors import UnsupportedModelError, log_failure

logger = logging.getLogger(__name__)

MARKED = [
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"<tool_call>\s*(?P<json>.*?)\s*</tool_call>",
        r"\[TOOL_CALLS\]\s*(?P<json>[\[{].*[\]}])",
        r"<\|python_tag\|>\s*(?P<json>\{.*\})",
        r"<function=(?P<name>[\w.-]+)>\s*(?P<json>\{.*?\})\s*</function>",
        r"```(?:json|tool_call)?\s*(?P<json>[\[{].*?[\]}])\s*```",
        r"\A\s*(?P<json>[\[{].*[\]}])\s*\Z",
    )
]
"""The forms in which open models write calls, the most telling first; the last is bare JSON."""


def check_tools(processor: Any) -> None:
    """Checks that a model can be told of tools.

    Raises:
        UnsupportedModelError: Its chat template has no place for them.
    """
    if not knows_tools(processor):
        raise UnsupportedModelError(
            "The model's chat template knows no tools.",
            hint="Choose a model that was trained to call tools, or bind none.",
        )


def knows_tools(processor: Any) -> bool:
    """Whether the chat template of a processor has a place for tools."""
    template: Any = getattr(processor, "chat_template", None) or ""
    known = template.values() if isinstance(template, Mapping) else [template]
    return any(re.search(r"\btools\b", text) for text in known)


def read_calls(
    tokenizer: Any,
    written: str,
    ids: Sequence[int],
    prompt: Sequence[int],
    tools: Sequence[Mapping[str, Any]],
) -> tuple[str, tuple[ToolCall, ...]] | None:
    """Reads the calls in an answer: by the tokenizer's own rule, or else in any of the usual forms.

    Args:
        tokenizer: Of the model; ``response_template`` is its rule, if it has one.
        written: The answer with its special tokens.
        ids: The answer's token ids.
        prompt: The prompt's.
        tools: That may be called, as OpenAI describes them.

    Returns:
        The text beside the calls, and the calls. None where there are none, or where one is of a
        tool that is not there: such an answer is text, and evaluated as it stands.
    """
    if getattr(tokenizer, "response_template", None):
        try:
            message = tokenizer.parse_response(list(ids), prefix=list(prompt), tools=list(tools))
        except Exception as error:  # of whatever a model may write
            log_failure(logger, "The tokenizer's response template", error)
            return None
        text, found = str(message.get("content") or ""), message.get("tool_calls") or []
    else:
        text, found = _in_a_usual_form(written)
        for mark in tokenizer.all_special_tokens:
            text = text.replace(mark, "")
    calls = [_call(one) for one in found]
    known = {tool["function"]["name"] for tool in tools}
    named = tuple(call for call in calls if call is not None and call["name"] in known)
    return (text.strip(), named) if named and len(named) == len(found) else None


def _in_a_usual_form(written: str) -> tuple[str, list[Any]]:
    for form in MARKED:
        found = [call for match in form.finditer(written) for call in _values(match)]
        if found:
            return form.sub("", written), found
    return written, []


def _values(match: re.Match[str]) -> Iterator[Any]:
    try:
        value = json.loads(match["json"], parse_constant=_no_number)
    except ValueError:
        yield None  # begun as a call, and none: the answer is text
        return
    if name := match.groupdict().get("name"):
        yield {"name": name, "arguments": value}
    else:
        yield from value if isinstance(value, list) else [value]


def _no_number(name: str) -> None:
    raise ValueError(name)


def _call(value: Any) -> ToolCall | None:
    if isinstance(value, Mapping) and isinstance(value.get("function"), Mapping):
        value = value["function"]
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        return None
    given = (value[key] for key in ("arguments", "parameters", "args") if key in value)
    arguments: Any = next(given, {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments, parse_constant=_no_number)
        except ValueError:
            return None
    if not isinstance(arguments, Mapping):
        return None
    return ToolCall(name=value["name"], args=dict(arguments), id=f"call_{uuid4().hex}")
