"""What is covered is nowhere in what a model is shown, whichever form the picture came in."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from PIL import Image, ImageDraw

from eta_guard.engines.chat_model.messages import as_read, plainly
from eta_guard.engines.vllm.messages import server_messages
from eta_guard.request.conversation import Conversation, read_conversation
from eta_guard.request.masking import Box, cover, masked_conversation
from eta_guard.request.reading import Reading

PASSED_ON = Reading(passed_on=True)
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
RIGHT_HALF: Box = (0.5, 0.0, 1.0, 1.0)


def picture(size: tuple[int, int] = (64, 48)) -> Image.Image:
    """White on the left; on the right red, which is what nobody may be shown."""
    made = Image.new("RGB", size, "white")
    ImageDraw.Draw(made).rectangle((size[0] // 2, 0, *size), fill=(255, 0, 0))
    return made


def file(kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    picture().save(buffer, kind, **options)
    return buffer.getvalue()


def block(kind: str = "PNG", **options: Any) -> dict[Any, Any]:
    data = base64.b64encode(file(kind, **options)).decode()
    return {"type": "image", "base64": data, "mime_type": f"image/{kind.lower()}"}


def turned() -> dict[Any, Any]:
    """A file that stands on its head, and says so."""
    exif = Image.Exif()
    exif[0x0112] = 3
    buffer = BytesIO()
    picture().transpose(Image.Transpose.ROTATE_180).save(buffer, "JPEG", exif=exif)
    return {
        "type": "image",
        "base64": base64.b64encode(buffer.getvalue()).decode(),
        "mime_type": "image/jpeg",
    }


def masked(
    *messages: BaseMessage, boxes: Any = None, passed_on: bool = True
) -> tuple[Conversation, Conversation]:
    conversation = read_conversation(messages, Reading(passed_on=passed_on))
    return conversation, masked_conversation(
        conversation, boxes or {0: [RIGHT_HALF]}, passed_on=passed_on
    )


def images_in(value: Any) -> list[Image.Image]:
    """All images that stand in messages, however deep."""
    if isinstance(value, BaseMessage):
        return images_in([value.content, value.additional_kwargs])
    if isinstance(value, dict):
        return [image for one in value.values() for image in images_in(one)]
    if isinstance(value, list | tuple):
        return [image for one in value for image in images_in(one)]
    if isinstance(value, str) and len(value) > 64 and " " not in value:
        data = base64.b64decode(value.partition("base64,")[2] or value)
        return [Image.open(BytesIO(data)).convert("RGB")]
    return []


def red(image: Image.Image) -> int:
    """How many pixels are rather red than anything else."""
    pixels = np.asarray(image).astype(int)
    return int(((pixels[..., 0] > 100) & (pixels[..., 1] < 100)).sum())


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0.0, 0.0, 1.0, 1.0), (0, 0, 10, 10)),
        ((0.2, 0.4, 0.5, 0.6), (2, 4, 5, 6)),
        ((0.25, 0.25, 0.75, 0.75), (2, 2, 8, 8)),  # every pixel that it touches
        ((0.31, 0.31, 0.32, 0.32), (3, 3, 4, 4)),
        ((-0.5, -0.5, 2.0, 0.1), (0, 0, 10, 1)),
    ],
)
def test_a_box_covers_what_it_touches(box: Box, expected: tuple[int, int, int, int]) -> None:
    before = Image.new("RGB", (10, 10), "white")
    by_pillow = before.copy()
    by_pillow.paste((0, 0, 0), expected)
    assert cover(before, [box]).tobytes() == by_pillow.tobytes()
    assert before.getextrema() == ((255, 255),) * 3  # a copy


def test_several_boxes_are_covered_together() -> None:
    covered = cover(picture(), [RIGHT_HALF, (0.0, 0.0, 0.5, 1.0)])
    assert covered.getbbox() is None


USER: dict[str, HumanMessage] = {
    "standard": HumanMessage([block(), {"type": "text", "text": "What is this?"}]),
    "JPEG": HumanMessage([block("JPEG", quality=90)]),
    "WebP": HumanMessage([block("WEBP", quality=80)]),
    "a data: URL": HumanMessage(
        [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{block()['base64']}"}}]
    ),
    "a bare data: URL": HumanMessage(
        [{"type": "image_url", "image_url": f"data:image/png;base64,{block()['base64']}"}]
    ),
    "Anthropic": HumanMessage(
        [
            {
                "type": "image",
                "source": {
                    "type": "base64",
                    "media_type": "image/png",
                    "data": block()["base64"],
                },
            }
        ]
    ),
    "an image object": HumanMessage([{"type": "image", "image": picture()}]),
    "turned": HumanMessage([turned()]),
    "within a tool's result": HumanMessage(
        [
            {"type": "tool_result", "tool_use_id": "1", "content": [block()]},
            {"type": "text", "text": "And?"},
        ]
    ),
}


@pytest.mark.parametrize("message", USER.values(), ids=USER)
def test_no_form_of_message_holds_what_is_covered(message: HumanMessage) -> None:
    original, shown = masked(message)
    assert red(original.pictures[0].pixels) > 1000
    for sent in (as_read(shown), plainly(shown, ""), plainly(shown, "As an AI"), shown.messages):
        (image,) = images_in([*sent])
        assert red(image) == 0
        assert np.asarray(image)[:, :28].min() > 200  # what is not covered is there
    assert server_messages(shown) != server_messages(original)
    (image,) = images_in(server_messages(shown))
    assert red(image) == 0
    # What the evaluators have stays as it was.
    assert red(original.pictures[0].pixels) > 1000
    assert original.messages[0] is message


def test_a_file_that_is_sent_shows_the_pixels_that_a_local_model_would_see() -> None:
    _, shown = masked(HumanMessage([block("JPEG", quality=90)]))
    (picture_shown,) = shown.pictures
    assert picture_shown.file.mime == "image/jpeg"
    decoded = Image.open(BytesIO(picture_shown.file.content)).convert("RGB")
    assert decoded.tobytes() == picture_shown.pixels.tobytes()


def test_a_model_at_hand_is_given_exact_pixels_and_messages_without_the_picture() -> None:
    original, shown = masked(HumanMessage([block("JPEG", quality=90)]), passed_on=False)
    expected = cover(original.pictures[0].pixels, [RIGHT_HALF])
    assert shown.pictures[0].pixels.tobytes() == expected.tobytes()
    assert images_in([*shown.messages]) == []


def test_pictures_of_all_places_are_covered_and_the_others_stay() -> None:
    call: Any = {"name": "look", "args": {}, "id": "1", "type": "tool_call"}
    history = [
        HumanMessage([block(), {"type": "text", "text": "One."}, block()]),
        AIMessage("Seen.", tool_calls=[call]),
        ToolMessage([block()], tool_call_id="1"),
    ]
    original, shown = masked(*history, boxes={0: [RIGHT_HALF], 2: [WHOLE]})
    assert [red(one.pixels) > 1000 for one in shown.pictures] == [False, True, False]
    assert shown.pictures[2].pixels.getbbox() is None
    assert shown.messages[1] is history[1]
    sent = as_read(shown)
    assert [red(image) > 1000 for image in images_in(sent)] == [False, True, False]
    assert sent[0].content[2] is history[0].content[2]
    assert original.question == shown.question


def test_what_a_provider_keeps_under_an_id_is_not_asked_for_by_it() -> None:
    generated = {
        "type": "image_generation_call",
        "id": "ig_1",
        "status": "completed",
        "result": block()["base64"],
    }
    drawn = AIMessage([{"type": "reasoning", "id": "rs_1", "summary": []}, generated])
    _, shown = masked(HumanMessage("Draw."), drawn, HumanMessage("And now?"))
    for sent in (as_read(shown), plainly(shown, "")):
        assert "ig_1" not in repr(sent)
        assert all(red(image) == 0 for image in images_in(sent))
    assert "rs_1" not in repr(as_read(shown))  # it may not stand without


def test_a_screenshot_stays_one() -> None:
    url = f"data:image/png;base64,{block()['base64']}"
    told = ToolMessage(url, tool_call_id="1", additional_kwargs={"type": "computer_call_output"})
    _, shown = masked(HumanMessage("Open it."), told)
    assert str(shown.messages[1].content).startswith("data:image/png;base64,")
    (image,) = images_in([shown.messages[1].content])
    assert red(image) == 0
