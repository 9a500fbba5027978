"""What the model is shown is in scope: no policy lets it see a picture that nobody evaluated.

Every picture has a colour of its own, by which it is found again in what the outside was handed:
the chat template of transformers, the body of an HTTP request, the messages of a chat model.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from io import BytesIO
from itertools import product
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from PIL import Image

from eta_guard import ChatLocalVLM, ChatModelEngine, EtaGuard, EtaGuardMiddleware, GuardPolicy
from eta_guard.protocols import Engine
from eta_guard.request.parts import EARLIER_PICTURE
from eta_guard.state import Verdict
from tests.chat_fakes import FakeChat
from tests.engines.local.tiny import engine as local_engine
from tests.engines.vllm.server import PlayedServer
from tests.fakes import FakeImages, FakeResponses, image_block, question, scoring

LOOK = {"name": "look", "args": {}, "id": "1", "type": "tool_call"}


def tool_turn(score: float) -> list[BaseMessage]:
    blocks: list[Any] = [{"type": "text", "text": "Found."}, image_block(score)]
    return [AIMessage("", tool_calls=[LOOK]), ToolMessage(blocks, tool_call_id="1")]


def nested(score: float) -> HumanMessage:
    result = {"type": "tool_result", "tool_use_id": "1", "content": [image_block(score)]}
    return HumanMessage([result, {"type": "text", "text": "And this?"}])


def of(kind: type[BaseMessage], score: float) -> BaseMessage:
    return kind(content=[{"type": "text", "text": "Look."}, image_block(score)])


def drawn(score: float) -> AIMessage:
    """As older versions of langchain-openai keep a generated picture."""
    data = image_block(score)["base64"]
    output = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": data}
    return AIMessage(
        [{"type": "text", "text": "Drawn."}], additional_kwargs={"tool_outputs": [output]}
    )


ANSWERED, ASKED = AIMessage("A cup."), HumanMessage("And now?")

PLACES: dict[str, list[BaseMessage]] = {
    "none": [ASKED],
    "last": [question(0.8)],
    "last, two messages": [ANSWERED, question(0.8), ASKED],
    "last, of a tool": [ASKED, *tool_turn(0.8)],
    "last, nested": [ASKED, ANSWERED, nested(0.8)],
    "earlier": [question(0.8), ANSWERED, ASKED],
    "earlier, of a tool": [ASKED, *tool_turn(0.8), ANSWERED, ASKED],
    "earlier, nested": [nested(0.8), ANSWERED, ASKED],
    "earlier, drawn by the assistant": [ASKED, of(AIMessage, 0.8), ASKED],
    "earlier, drawn by OpenAI's own tool": [HumanMessage("Draw."), drawn(0.8), ASKED],
    "earlier, of the system": [of(SystemMessage, 0.8), ASKED],
    "earlier, in an assistant's message before a tool's": [
        question(0.8),
        AIMessage("Wait.", tool_calls=[LOOK]),
        ToolMessage("Nothing.", tool_call_id="1"),
        ANSWERED,
        ASKED,
    ],
    "both": [question(0.8, 0.6), ANSWERED, question(0.4, 0.2)],
    "both, and tools": [question(0.8), *tool_turn(0.6), ANSWERED, question(0.4), *tool_turn(0.2)],
}

PNG = "iVBORw0"
"""How a PNG begins in base64."""

SCOPES = ("conversation", "last_turn")
NO_IMAGE = ("post_only", "pass", "align")


def reds(images: Iterator[Image.Image]) -> set[int]:
    return {pixel(image) for image in images}


def pixel(image: Image.Image) -> int:
    found: Any = image.convert("RGB").getpixel((0, 0))
    return int(found[0])


def decoded(data: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(data.partition(",")[2] or data)))


def handed_on(value: Any) -> Iterator[Image.Image]:
    """Every picture in messages of any form: bytes, ``data:`` URLs, or pixels."""
    if isinstance(value, Image.Image):
        yield value
    elif isinstance(value, BaseMessage):
        yield from handed_on([value.content, value.additional_kwargs])
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from handed_on(inner)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from handed_on(inner)
    elif isinstance(value, str) and value.startswith((PNG, f"data:image/png;base64,{PNG}")):
        yield decoded(value)


class Watched:
    """An engine of each kind, and what the outside was handed."""

    def __init__(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.handed: list[Any] = []
        self.engine: Engine
        if kind == "vllm":
            server = PlayedServer()
            self.handed, self.engine = server.bodies, server.engine()
        elif kind == "chat_model":
            chat = FakeChat()
            self.handed, self.engine = chat.calls, ChatModelEngine(chat)
        else:
            self.engine = local_engine()
            processor: Any = self.engine.processor
            rendered = processor.apply_chat_template

            def watched(messages: Any, **settings: Any) -> Any:
                self.handed.append(messages)
                return rendered(messages, **settings)

            monkeypatch.setattr(processor, "apply_chat_template", watched)

    def shown(self) -> set[int]:
        assert self.handed
        messages = [one["messages"] if isinstance(one, dict) else one for one in self.handed]
        return reds(handed_on([m[0] if isinstance(m, tuple) else m for m in messages]))


def evaluated(verdict: Verdict) -> set[int]:
    """The pictures of which the verdict speaks, by their scores."""
    return {round((image.score or 0.0) * 255) for image in verdict.images}


def policy(scope: str, on_no_image: str, mode: str) -> GuardPolicy:
    settings: Any = {"image_scope": scope, "on_no_image": on_no_image, "mode": mode}
    return GuardPolicy(candidates=2, max_tokens=12, **settings)


combinations = pytest.mark.parametrize(
    ("scope", "on_no_image", "mode"),
    [
        *product(SCOPES, NO_IMAGE, ["enforce"]),
        # Nothing depends on `on_no_image` where every answer goes out.
        *product(SCOPES, ["pass"], ["observe"]),
    ],
)


@combinations
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["local", "vllm", "chat_model"])
def test_what_the_model_is_shown_was_evaluated(
    kind: str, place: str, scope: str, on_no_image: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, messages = Watched(kind, monkeypatch), PLACES[place]
    guard = EtaGuard(
        engine=watched.engine,
        image_evaluator=FakeImages(),
        response_evaluator=FakeResponses(scoring()),
        policy=policy(scope, on_no_image, mode),
    )
    reply = guard.invoke(messages)
    verdict = Verdict.model_validate(reply.response_metadata["eta_guard"])
    assert watched.shown() == evaluated(verdict)
    in_scope = scope == "conversation" or mode == "observe" or place.startswith(("last", "both"))
    assert bool(verdict.images) == (in_scope and place != "none")
    said = str(watched.handed)
    assert (EARLIER_PICTURE in said) == (
        scope == "last_turn" and mode == "enforce" and place.startswith(("earlier", "both"))
    )


@combinations
@pytest.mark.parametrize("place", [place for place in PLACES if "system" not in place])
@pytest.mark.parametrize("kind", ["local", "chat_model"])
def test_so_it_is_behind_the_middleware(
    kind: str, place: str, scope: str, on_no_image: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(kind, monkeypatch)
    engine: Any = watched.engine
    chat = engine.model if kind == "chat_model" else ChatLocalVLM(engine=engine)
    middleware = EtaGuardMiddleware(
        FakeImages(), FakeResponses(scoring()), policy(scope, on_no_image, mode)
    )
    made: Any = create_agent(chat, middleware=[middleware])
    # Copies: of two messages with one id a graph keeps one.
    reply = made.invoke({"messages": [message.model_copy() for message in PLACES[place]]})
    verdict = Verdict.model_validate(reply["messages"][-1].response_metadata["eta_guard"])
    assert watched.shown() == evaluated(verdict)


def test_the_state_keeps_the_pictures_that_the_model_is_not_shown() -> None:
    """They are only not shown: the history is the caller's."""
    chat = FakeChat()
    middleware = EtaGuardMiddleware(
        FakeImages(), FakeResponses(scoring()), policy("last_turn", "pass", "enforce")
    )
    made: Any = create_agent(chat, middleware=[middleware])
    state = made.invoke({"messages": PLACES["earlier"]})
    assert reds(handed_on(state["messages"])) == {204}
    assert not reds(handed_on([sent for sent, _ in chat.calls]))
