"""Histories are trimmed by the tokens that the engine counts."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    trim_messages,
)
from langchain_core.messages.utils import count_tokens_approximately

from eta_guard import ChatLocalVLM, EtaGuard
from eta_guard.engines.chat_model.engine import ChatModelEngine
from tests.chat_fakes import FakeChat
from tests.fakes import FakeEngine, FakeImages, FakeResponses, question

HISTORY: list[BaseMessage] = [
    SystemMessage("Be brief."),
    question(0.8, text="What is a cup for?"),
    AIMessage("It holds a drink."),
    HumanMessage("And a plate?"),
]


@pytest.fixture(scope="module")
def model() -> ChatLocalVLM:
    return ChatLocalVLM.from_pretrained("embedded")


def guarded(engine: Any) -> EtaGuard:
    return EtaGuard(engine=engine, image_evaluator=FakeImages(), response_evaluator=FakeResponses())


def test_a_local_model_counts_by_its_own_tokenizer_and_its_pictures(model: ChatLocalVLM) -> None:
    engine: Any = model.engine
    guard = guarded(engine)
    for counting in (model, guard):
        words = engine.processor.tokenizer("What is a cup for?", add_special_tokens=False)
        assert counting.get_num_tokens("What is a cup for?") == len(words["input_ids"]) > 0
        text = counting.get_num_tokens_from_messages([HumanMessage("What is a cup for?")])
        shown = counting.get_num_tokens_from_messages([question(0.8, text="What is a cup for?")])
        assert shown - text == model.engine.running.model.config.image_seq_length  # type: ignore[attr-defined]


def test_a_history_is_trimmed(model: ChatLocalVLM) -> None:
    guard = guarded(model.engine)
    whole = guard.get_num_tokens_from_messages(HISTORY)
    kept = trim_messages(
        HISTORY, token_counter=guard, max_tokens=whole - 1, include_system=True, start_on="human"
    )
    assert kept == [HISTORY[0], HISTORY[-1]]
    assert trim_messages(HISTORY, token_counter=guard, max_tokens=whole) == HISTORY


def test_other_engines_count_as_well() -> None:
    class Counting(FakeChat):
        def get_num_tokens_from_messages(self, messages: Any, tools: Any = None) -> int:
            return 100 * len(messages)

    assert guarded(ChatModelEngine(Counting())).get_num_tokens_from_messages(HISTORY) == 400
    estimate = count_tokens_approximately(HISTORY)
    assert estimate > 0
    for engine in (ChatModelEngine(FakeChat()), FakeEngine()):
        assert guarded(engine).get_num_tokens_from_messages(HISTORY) == estimate
