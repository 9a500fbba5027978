from __future__ import annotations

import numpy as np
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from PIL import Image

from eta_guard import Presentation
from eta_guard.request.conversation import Conversation, read_conversation
from eta_guard.request.presentation import AS_IT_IS, CLIP_MEAN, VICUNA_SYSTEM, Square
from tests.fakes import question

BLUE = (0, 0, 255)


def asked(*messages: BaseMessage) -> Conversation:
    return read_conversation(messages)


def test_by_default_a_conversation_is_shown_as_it_is() -> None:
    conversation = asked(HumanMessage("Hi"))
    assert Presentation() == AS_IT_IS
    assert AS_IT_IS.show(conversation) is conversation


def test_a_conversation_that_begins_without_a_system_message_is_given_one() -> None:
    conversation = asked(HumanMessage("Hi"), AIMessage("Hello."), question(0.5))
    shown = Presentation("Be polite.").show(conversation)
    assert shown.messages == (SystemMessage("Be polite."), *conversation.messages)
    assert shown.turns[0].role == "system"
    assert shown.turns[0].parts == ("Be polite.",)
    assert [turn.role for turn in shown.turns[1:]] == [turn.role for turn in conversation.turns]
    (before,), (picture,) = conversation.pictures, shown.pictures
    assert picture.pixels is before.pixels
    assert (picture.message, picture.block) == (before.message + 1, before.block)


@pytest.mark.parametrize("own", ["Be brief.", ""])
def test_a_system_message_of_the_callers_takes_its_place(own: str) -> None:
    conversation = asked(SystemMessage(own), HumanMessage("Hi"))
    assert Presentation("Be polite.").show(conversation) == conversation


def test_a_system_message_in_the_middle_is_no_beginning() -> None:
    conversation = asked(HumanMessage("Hi"), SystemMessage("Be brief."), HumanMessage("Well?"))
    shown = Presentation("Be polite.").show(conversation)
    assert [turn.role for turn in shown.turns] == ["system", "user", "system", "user"]


@pytest.mark.parametrize(
    ("size", "corner", "side"), [((5, 2), (0, 1), 5), ((2, 5), (1, 0), 5), ((3, 3), (0, 0), 3)]
)
def test_a_picture_stands_in_the_middle_of_a_square(
    size: tuple[int, int], corner: tuple[int, int], side: int
) -> None:
    picture = Image.new("RGB", size, "red")
    wanted = Image.new("RGB", (side, side), BLUE)
    wanted.paste(picture, corner)
    assert np.array_equal(np.asarray(Square(BLUE).around(picture)), np.asarray(wanted))
    assert picture.size == size


def test_a_square_is_scaled_whatever_its_size() -> None:
    for size in ((5, 2), (40, 80), (8, 8), (30, 30)):
        assert Square(BLUE, 8).around(Image.new("RGB", size)).size == (8, 8)


def test_padding_twice_is_padding_once() -> None:
    once = Square(BLUE, 8).around(Image.new("RGB", (5, 2), "red"))
    assert Square(BLUE, 8).around(once) is once


def test_a_picture_too_long_for_a_square_is_scaled_down_before() -> None:
    square = Square(BLUE, 8).around(Image.new("RGB", (100_000, 2), "red"))
    assert square.size == (8, 8)
    assert square.getpixel((4, 0)) == BLUE


def test_llava_is_shown_what_its_authors_code_shows_it() -> None:
    square = Square(CLIP_MEAN, 336)
    assert Presentation.llava_1_5() == Presentation(VICUNA_SYSTEM, square, special_tokens=True)
    mean = (0.48145466, 0.4578275, 0.40821073)
    assert tuple(int(part * 255) for part in mean) == CLIP_MEAN
