"""Tools bound to a local model: what it is told, what is read from what it writes."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from transformers import LogitsProcessor

from eta_guard import ChatLocalVLM, EtaGuard
from eta_guard.engines.local.engine import LocalEngine
from eta_guard.engines.local.sampling import PLAIN_ANSWER, sampler
from eta_guard.engines.local.tool_calls import knows_tools, read_calls
from eta_guard.errors import UnsupportedModelError
from eta_guard.protocols import Generation
from tests.engines.local.tiny import CHAT_TEMPLATE, engine, llava
from tests.fakes import SAFE, UNSAFE, FakeImages, FakeResponses, question, verdict_of
from tests.standard.suites import parts

TOOLS_TEMPLATE = "{% if tools %}TOOLS:{{ tools | tojson }}{% endif %}" + CHAT_TEMPLATE.replace(
    "{% endfor %}{% endfor %}",
    "{% endfor %}{% for call in message.tool_calls or [] %}"
    "<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}{% endfor %}",
)
WEATHER: dict[str, Any] = {"type": "function", "function": {"name": "weather", "parameters": {}}}
CALL = '{"name": "weather", "arguments": {"place": "Here", "days": 2}}'
ARGS = {"place": "Here", "days": 2}


@tool
def weather(place: str, days: int = 1) -> str:
    """Looks the weather up."""
    return "sunny"


# ── reading ──


def read(written: str, response_template: Any = None) -> Any:
    tokenizer = SimpleNamespace(
        response_template=response_template, all_special_tokens=["</s>", "<|python_tag|>"]
    )
    found = read_calls(tokenizer, written, [], [], [WEATHER])
    return found and (found[0], [(call["name"], call["args"]) for call in found[1]])


FORMS = {
    "hermes": f"<tool_call>\n{CALL}\n</tool_call></s>",
    "mistral": f"[TOOL_CALLS] [{CALL}]</s>",
    "python tag": f"<|python_tag|>{CALL}</s>",
    "function": '<function=weather>{"place": "Here", "days": 2}</function>',
    "fenced": f"```json\n{CALL}\n```",
    "bare": f" {CALL} ",
    "parameters": CALL.replace("arguments", "parameters"),
    "nested": f'{{"type": "function", "function": {CALL}}}',
    "arguments as text": json.dumps({"name": "weather", "arguments": json.dumps(ARGS)}),
}


@pytest.mark.parametrize("written", FORMS.values(), ids=FORMS)
def test_calls_are_read_in_every_usual_form(written: str) -> None:
    assert read(written) == ("", [("weather", ARGS)])


def test_text_stays_beside_the_calls_and_several_are_several() -> None:
    both = f"Let me look. <tool_call>{CALL}</tool_call><tool_call>{CALL}</tool_call></s>"
    assert read(both) == ("Let me look.", [("weather", ARGS)] * 2)
    assert read(f"[{CALL}, {CALL}]") == ("", [("weather", ARGS)] * 2)
    tokenizer = SimpleNamespace(all_special_tokens=[])
    found = read_calls(tokenizer, both, [], [], [WEATHER])
    assert found is not None
    ids = [call["id"] for call in found[1]]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    "written",
    [
        "It is sunny.",
        "",
        '{"weather": "sunny"}',
        "<tool_call>{not json</tool_call>",
        CALL[:-3],  # cut by the budget
        CALL.replace("weather", "another"),
        f"<tool_call>{CALL}</tool_call><tool_call>{CALL.replace('weather', 'x')}</tool_call>",
        CALL.replace('{"place": "Here", "days": 2}', "[1]"),
        CALL.replace("2", "NaN"),
        "[1, 2]",
        "null",
    ],
)
def test_what_is_no_call_of_a_tool_that_is_there_stays_text(written: str) -> None:
    assert read(written) is None


def test_the_tokenizers_own_rule_comes_first() -> None:
    class Own:
        response_template = "any rule"

        def parse_response(self, ids: list[int], prefix: list[int], tools: Any) -> Any:
            if not ids:
                raise ValueError("placeholder")
            assert (ids, prefix, tools) == ([1, 2], [3], [WEATHER])
            call = {"type": "function", "function": {"name": "weather", "arguments": ARGS}}
            return {"role": "assistant", "content": "Look.", "tool_calls": [call]}

    found = read_calls(Own(), "unread", [1, 2], [3], [WEATHER])
    assert found is not None
    assert (found[0], found[1][0]["args"]) == ("Look.", ARGS)
    assert read_calls(Own(), CALL, [], [3], [WEATHER]) is None


# ── telling, and answering ──


class Forced(LogitsProcessor):  # type: ignore[misc, unused-ignore]
    def __init__(self, ids: list[int], start: int) -> None:
        self._ids, self._start = ids, start

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        token = self._ids[min(input_ids.shape[1] - self._start, len(self._ids) - 1)]
        forced = torch.full_like(scores, float("-inf"))
        forced[:, token] = 0.0
        return forced


class Scripted(LocalEngine):
    """The tiny model, with a template that knows tools, made to say something as plain answer."""

    says = ""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__(model, processor, fingerprint="tiny-llava")
        self.running.sampler = self._drawn

    def _drawn(self, generation: Generation, **place: Any) -> Any:
        if place["sentence"] != PLAIN_ANSWER:
            return sampler(generation, **place)
        end = self.processor.tokenizer.eos_token_id
        return Forced([*self.running.encode(self.says), end], place["start"])


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    network, processor = llava()
    monkeypatch.setattr(processor, "chat_template", TOOLS_TEMPLATE)
    return Scripted(network, processor)


def ids_of(engine: LocalEngine, *messages: Any, tools: Any = ()) -> list[int]:
    from eta_guard.engines.local.chat_template import model_inputs
    from eta_guard.request.conversation import read_conversation

    inputs = model_inputs(engine.processor, read_conversation(messages), tools)
    ids: list[int] = inputs["input_ids"][0].tolist()
    return ids


def prompt_of(engine: LocalEngine, *messages: Any, tools: Any = ()) -> str:
    text: str = engine.processor.tokenizer.decode(ids_of(engine, *messages, tools=tools))
    return text


def test_the_model_is_told_the_tools_and_earlier_calls(scripted: Scripted) -> None:
    call: Any = {"name": "weather", "args": {"place": "</s><image>"}, "id": "1"}
    history = [
        HumanMessage("How is it?"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("sunny", tool_call_id="1"),
    ]
    prompt = prompt_of(scripted, *history, tools=[WEATHER])
    assert prompt.startswith("TOOLS:[{")
    assert '"name": "weather"' in prompt
    assert "<tool_call>" in prompt
    # What stands in a call is text: neither the end of a turn nor a picture.
    tokenizer = scripted.processor.tokenizer
    control = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<image>")}
    ids = ids_of(scripted, *history, tools=[WEATHER])
    assert len(control) == 2
    assert not control & set(ids)
    assert '"place": "</s><image>"' in prompt
    assert "TOOL:sunny" in prompt
    assert "TOOLS:[" not in prompt_of(scripted, *history)


@pytest.mark.parametrize("stream", [False, True])
def test_a_local_model_calls_tools(scripted: Scripted, stream: bool) -> None:
    model = ChatLocalVLM(engine=scripted, max_tokens=300)
    assert model.profile is not None
    assert model.profile["tool_calling"] is True
    scripted.says = f"Let me look. <tool_call>{CALL}</tool_call>"
    bound = model.bind_tools([weather])
    if stream:
        chunks = list(bound.stream([question(0.5)]))
        assert not any("tool_call" in chunk.text for chunk in chunks)
        reply: Any = chunks[0]
        for chunk in chunks[1:]:
            reply += chunk
    else:
        reply = bound.invoke([question(0.5)])
    assert reply.text == "Let me look."
    assert [(call["name"], call["args"]) for call in reply.tool_calls] == [("weather", ARGS)]
    # Unbound, the same is text.
    assert model.invoke([question(0.5)]).text == scripted.says


SAFE_SCORE, UNSAFE_SCORE = 1.0, 0.0


def guard(scripted: Scripted, call: float, final: float = SAFE_SCORE) -> EtaGuard:
    def score(prompt: str, text: str) -> float:
        return call if '"place"' in text else final

    return EtaGuard(
        engine=scripted,
        image_evaluator=FakeImages(),
        response_evaluator=FakeResponses(score),
        max_tokens=300,
    )


@pytest.mark.parametrize("image", [SAFE, UNSAFE])
@pytest.mark.parametrize("score", [SAFE_SCORE, UNSAFE_SCORE])
def test_the_guard_evaluates_calls_and_lets_them_out_or_refuses(
    scripted: Scripted, score: float, image: float
) -> None:
    scripted.says = f"Let me look. <tool_call>{CALL}</tool_call>"
    model = guard(scripted, score)
    reply = model.bind_tools([weather]).invoke([question(image)])
    verdict = verdict_of(reply)
    assert "best_of_n" not in verdict.route
    if image == SAFE or score == SAFE_SCORE:
        assert (verdict.decision, reply.text) == ("passed", "Let me look.")
        assert [call["args"] for call in reply.tool_calls] == [ARGS]
    else:
        assert (verdict.decision, reply.text) == ("refused", model.policy.refusal_message)
        assert reply.tool_calls == []


def test_a_call_on_a_safe_image_streams_as_a_call(scripted: Scripted) -> None:
    scripted.says = f"Let me look. <tool_call>{CALL}</tool_call>"
    chunks: list[Any] = list(guard(scripted, 1.0).bind_tools([weather]).stream([question(SAFE)]))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.text == "Let me look."
    assert [call["args"] for call in whole.tool_calls] == [ARGS]


# ── models that know none ──


def test_a_model_without_tools_says_so() -> None:
    assert not knows_tools(engine().processor)
    for model in (ChatLocalVLM(engine=engine()), EtaGuard(**parts())):
        assert model.profile is not None
        assert model.profile["tool_calling"] is False
        with pytest.raises(UnsupportedModelError, match="knows no tools"):
            model.bind_tools([weather])
        with pytest.raises(UnsupportedModelError, match="knows no tools"):
            model.invoke("Hello", tools=[WEATHER])


def test_no_tools_can_be_bound_to_any_model() -> None:
    assert EtaGuard(**parts()).bind_tools([]).invoke("Hello!").text


def test_a_call_cannot_be_forced(scripted: Scripted) -> None:
    model = ChatLocalVLM(engine=scripted)
    for choice in ("any", "required", "weather", True):
        with pytest.raises(UnsupportedModelError, match="cannot be forced"):
            model.bind_tools([weather], tool_choice=choice)
    assert model.bind_tools([weather], tool_choice="auto")
