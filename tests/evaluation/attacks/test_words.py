"""Suffixes and dialogues: what is asked, and where the picture stands."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from eta_guard.evaluation.attacks.attack import Surroundings
from eta_guard.evaluation.attacks.catalogue import ATTACKS
from eta_guard.evaluation.attacks.suffixes import SUFFIXES
from eta_guard.evaluation.cases import SuiteCase
from eta_guard.request.conversation import read_conversation

Pair = tuple[SuiteCase, SuiteCase]


@pytest.mark.parametrize("name", SUFFIXES)
def test_a_suffix_is_appended_and_nothing_else(name: str, pair: Pair, around: Surroundings) -> None:
    found = ATTACKS[f"suffix:{name}"](pair[0], around)
    assert found.question == pair[0].question + SUFFIXES[name]
    assert found.image == pair[0].image
    (message,) = found.messages()
    assert message.content[-1] == {"type": "text", "text": found.question}


@pytest.mark.parametrize(
    ("name", "kinds", "holder"),
    [
        ("earlier_turn", [HumanMessage, AIMessage, HumanMessage], 0),
        ("tool_result", [HumanMessage, AIMessage, ToolMessage], 2),
        ("however", [HumanMessage, AIMessage, HumanMessage], 0),
    ],
)
def test_a_picture_stands_elsewhere_and_is_still_read(
    name: str, kinds: list[type], holder: int, pair: Pair, around: Surroundings
) -> None:
    messages = ATTACKS[f"dialogue:{name}"](pair[0], around).messages()
    assert [type(message) for message in messages] == kinds
    conversation = read_conversation(messages)
    (picture,) = conversation.pictures
    assert picture.message == holder
    if name != "however":
        asked = messages[0 if name == "tool_result" else -1]
        assert asked.content[-1] == {"type": "text", "text": pair[0].question}
