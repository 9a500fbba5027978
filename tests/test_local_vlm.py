from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import ValidationError

from eta_guard import ChatLocalVLM
from eta_guard.errors import InputError
from eta_guard.protocols import Generation
from eta_guard.request.conversation import read_conversation
from tests.engines.local.tiny import engine, llava
from tests.fakes import question


def model(**settings: Any) -> ChatLocalVLM:
    return ChatLocalVLM(engine=engine(), **{"max_tokens": 20, **settings})


def plain(**settings: Any) -> str:
    asked = Generation(**{"max_tokens": 20, **settings})
    return engine().open(read_conversation([question(0.5)]), asked).answer().text


def test_a_reply_is_the_engines_plain_answer() -> None:
    reply = model().invoke([question(0.5)])
    assert isinstance(reply, AIMessage)
    assert reply.content == plain()
    assert reply.response_metadata["model_name"] == "tiny-llava"
    assert reply.response_metadata["finish_reason"] == "length"
    assert "eta_guard" not in reply.response_metadata


def test_usage_counts_the_prompt_with_its_image_tokens_and_the_answer() -> None:
    usage = model().invoke([question(0.5)]).usage_metadata
    assert usage is not None
    text_only = model().invoke([HumanMessage("What is this?")]).usage_metadata
    assert text_only is not None
    assert usage["input_tokens"] == text_only["input_tokens"] + 16
    assert usage["output_tokens"] == 20


def test_settings_of_a_call_count_and_the_limit_can_only_be_lowered() -> None:
    assert model().invoke([question(0.5)], max_tokens=5).content == plain(max_tokens=5)
    assert model().invoke([question(0.5)], max_tokens=50).content == plain()
    drawn = model().invoke([question(0.5)], temperature=1.0, seed=3).content
    assert drawn == plain(temperature=1.0, seed=3) != plain()
    stop = plain()[4:6]
    assert model().invoke([question(0.5)], stop=[stop]).content == plain(stop=(stop,))


def test_a_prompt_of_plain_text_is_answered() -> None:
    assert model().invoke("What is this?").content


async def test_it_answers_asynchronously_alike() -> None:
    assert (await model().ainvoke([question(0.5)])).content == plain()


def test_a_batch_answers_each() -> None:
    replies = model().batch([[question(0.5)], "What is this?"])
    assert [reply.content for reply in replies] == [
        plain(),
        model().invoke("What is this?").content,
    ]


def test_bad_settings_are_refused() -> None:
    with pytest.raises(InputError, match="max_tokens = 0"):
        model().invoke([question(0.5)], max_tokens=0)
    with pytest.raises(ValidationError):
        model(max_tokens=0)


def test_it_loads_from_a_directory(tmp_path: Path) -> None:
    network, processor = llava(0)
    network.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = ChatLocalVLM.from_pretrained(tmp_path, device="cpu", max_tokens=20)
    assert loaded.invoke([question(0.5)]).content == plain()
