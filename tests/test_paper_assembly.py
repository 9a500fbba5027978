"""The paper's assembly shows its chat model what the published code shows it.

The wanted ids and pixels are computed here from the published code's facts alone, with Pillow,
numpy and the checkpoint's tokenizer file: a prompt is cut at its picture, each piece is read by
itself, and so is the prefix.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer

from eta_guard import (
    ChatLocalVLM,
    EtaGuard,
    GuardPolicy,
    Presentation,
    VllmEngine,
    pretrained,
)
from eta_guard.engines.local.chat_template import model_inputs
from eta_guard.engines.local.engine import LocalEngine
from eta_guard.engines.vllm.drawing import Drawing
from eta_guard.engines.vllm.server import Server
from eta_guard.pretrained import load_chat_model
from eta_guard.protocols import Finding, Generation, Sampling
from eta_guard.request.conversation import Conversation, read_conversation
from eta_guard.request.presentation import AS_IT_IS
from tests import llava_1_5
from tests.engines.local import tiny
from tests.engines.vllm.server import PlayedServer
from tests.fakes import FakeImages, FakeResponses
from tests.vllm_server import serving

SYSTEM = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions."
)
QUESTION = "What is this?"
PREFIX = "As an AI assistant"
SIDE = llava_1_5.SIDE
SIZES = [(90, 41), (41, 90), (120, 120), (SIDE, SIDE), (20, 13), (13, 20), (700, 30)]


# ── what the published code makes of a request ──


def published_ids(folder: Path, prompt: str) -> list[int]:
    """The prompt's pieces around ``<image>``, read apart; one place for each patch between them."""
    words: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    begin, image = words.token_to_id("<s>"), words.token_to_id("<image>")
    first, *others = ([*words.encode(piece).ids] for piece in prompt.split("<image>"))
    ids = list(first)
    for piece in others:
        assert piece[0] == begin
        ids += [image] * llava_1_5.IMAGE_TOKENS + piece[1:]
    return ids


def published_pixels(picture: Image.Image) -> NDArray[np.float64]:
    """Centred on a square of the mean colour, scaled by Pillow, then normalised."""
    width, height = picture.size
    side = max(width, height)
    square = np.empty((side, side, 3), np.uint8)
    square[:] = [int(part * 255) for part in llava_1_5.MEAN]
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = np.asarray(picture)
    scaled = Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    values = (np.asarray(scaled) / 255 - llava_1_5.MEAN) / llava_1_5.STD
    return values.transpose(2, 0, 1)


# ── requests ──


def photo(width: int, height: int) -> Image.Image:
    coarse = np.random.default_rng(width * height).integers(0, 256, (7, 9, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def block(picture: Image.Image) -> dict[str, Any]:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return {"type": "image", "base64": data, "mime_type": "image/png"}


def question(*pictures: Image.Image, text: str = QUESTION) -> HumanMessage:
    return HumanMessage([*map(block, pictures), {"type": "text", "text": text}])


@contextmanager
def read_by(engine: LocalEngine) -> Iterator[tuple[list[int], list[NDArray[np.float32]]]]:
    """The ids and the pictures that the model's own layers are given meanwhile."""
    ids: list[int] = []
    pixels: list[NDArray[np.float32]] = []

    def picture(_: Any, args: Any, given: dict[str, Any]) -> None:
        shown = given["pixel_values"] if "pixel_values" in given else args[0]
        pixels.extend(shown.numpy())

    hooks = [
        engine.model.get_input_embeddings().register_forward_pre_hook(
            lambda _, args: ids.extend(args[0][0].tolist() if args[0].ndim == 2 else ())
        ),
        engine.model.model.vision_tower.register_forward_pre_hook(picture, with_kwargs=True),
    ]
    try:
        yield ids, pixels
    finally:
        for hook in hooks:
            hook.remove()


def read(engine: LocalEngine, *messages: BaseMessage) -> tuple[list[int], Any]:
    """The ids and pictures of a prompt."""
    opened = engine.open(read_conversation(messages), Generation(max_tokens=2))
    with read_by(engine) as (ids, pixels):
        opened.answer()
    return ids[: len(opened._prompt)], pixels


def own_inputs(engine: LocalEngine, picture: Image.Image) -> tuple[list[int], Any]:
    """What the checkpoint's own processor makes of the question."""
    asked = [{"type": "image", "image": picture}, {"type": "text", "text": QUESTION}]
    made = engine.processor.apply_chat_template(
        [{"role": "user", "content": asked}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    return made["input_ids"][0].tolist(), made["pixel_values"].numpy()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llava_1_5.write(tmp_path_factory.mktemp("hub") / "llava-1.5-tiny-hf")


@pytest.fixture(scope="module")
def engine(folder: Path) -> LocalEngine:
    return published(folder)


def published(folder: Path) -> LocalEngine:
    loaded = load_chat_model(str(folder), "cpu", as_published=True)
    assert isinstance(loaded, LocalEngine)
    return loaded


# ── in this process ──


@pytest.mark.parametrize("size", SIZES)
def test_ids_and_pixels_are_the_published_ones(
    engine: LocalEngine, folder: Path, size: tuple[int, int]
) -> None:
    picture = photo(*size)
    ids, pixels = read(engine, question(picture))
    prompt = f"{SYSTEM} USER: <image>\n{QUESTION} ASSISTANT:"
    assert ids == published_ids(folder, prompt)
    (shown,) = pixels
    np.testing.assert_allclose(shown, published_pixels(picture), atol=1e-6, rtol=0)


def test_the_pieces_around_a_picture_begin_as_published(engine: LocalEngine) -> None:
    ids, _ = read(engine, question(photo(90, 41)))
    pieces = engine.processor.tokenizer.convert_ids_to_tokens(ids)
    at = pieces.index("<image>")
    assert pieces[:2] == ["<s>", "▁A"]
    assert pieces[at - 2 : at] == [":", "▁"]
    assert pieces[at + llava_1_5.IMAGE_TOKENS :][:3] == ["▁", "<0x0A>", "What"]
    assert pieces[-1].endswith(":")


@pytest.mark.parametrize("prefix", [GuardPolicy().prefix, f"{PREFIX},"])
def test_an_aligned_answer_goes_on_from_the_published_ids(
    engine: LocalEngine, folder: Path, prefix: str
) -> None:
    words: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    wanted = published_ids(folder, f"{SYSTEM} USER: <image>\n{QUESTION} ASSISTANT:")
    wanted += words.encode(prefix).ids[1:]
    opened = engine.open(read_conversation([question(photo(90, 41))]), Generation(max_tokens=40))
    with read_by(engine) as (ids, _):
        opened.prefill(prefix)
        opened.propose(1, Sampling(top_k=5, temperature=1.5, max_sentence_tokens=3))
    assert ids[: len(wanted)] == wanted


def test_a_question_without_a_picture_follows_the_system_sentence(
    engine: LocalEngine, folder: Path
) -> None:
    ids, pixels = read(engine, HumanMessage(QUESTION))
    assert ids == published_ids(folder, f"{SYSTEM} USER: {QUESTION} ASSISTANT:")
    assert pixels == []


@pytest.mark.parametrize(("own", "begins"), [("Be brief.", "Be brief. "), ("", "")])
def test_a_system_message_of_the_callers_stands_in_place_of_the_sentence(
    engine: LocalEngine, folder: Path, own: str, begins: str
) -> None:
    ids, _ = read(engine, SystemMessage(own), HumanMessage(QUESTION))
    assert ids == published_ids(folder, f"{begins}USER: {QUESTION} ASSISTANT:")


def test_later_turns_are_the_chat_templates_and_every_picture_is_padded(
    engine: LocalEngine, folder: Path
) -> None:
    first, second = photo(90, 41), photo(41, 90)
    ids, pixels = read(engine, question(first), AIMessage("It is a cup!"), question(second))
    asked = f"USER: <image>\n{QUESTION} ASSISTANT:"
    assert ids == published_ids(folder, f"{SYSTEM} {asked} It is a cup! {asked}")
    for shown, picture in zip(pixels, (first, second), strict=True):
        np.testing.assert_allclose(shown, published_pixels(picture), atol=1e-6, rtol=0)


@dataclass
class Looking(FakeImages):
    """Finds every picture unsafe, and keeps the pictures."""

    seen: list[Image.Image] = field(default_factory=list)

    def evaluate(
        self, images: Sequence[Image.Image], prompt: str, question: str = ""
    ) -> list[Finding]:
        self.seen += images
        return [Finding(0.9) for _ in images]


def test_evaluators_see_the_picture_itself(engine: LocalEngine) -> None:
    looking, picture = Looking(), photo(90, 41)
    low = FakeResponses(lambda prompt, text: 1.0 if text.startswith(PREFIX) else 0.0)
    policy = GuardPolicy(max_tokens=24, max_sentence_tokens=6, candidates=2)
    guard = EtaGuard(engine=engine, image_evaluator=looking, response_evaluator=low, policy=policy)
    with read_by(engine) as (_, pixels):
        reply = guard.invoke([question(picture)])
    assert reply.response_metadata["eta_guard"]["decision"] == "aligned"
    assert str(reply.content).startswith(PREFIX)
    assert looking.seen
    assert looking.compared
    for seen in [*looking.seen, *(image for image, _ in looking.compared)]:
        assert np.array_equal(np.asarray(seen), np.asarray(picture))
    assert pixels
    for shown in pixels:
        np.testing.assert_allclose(shown, published_pixels(picture), atol=1e-6, rtol=0)


def test_guard_and_chat_model_by_itself_are_shown_the_same(
    engine: LocalEngine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = pretrained.ASSEMBLIES["embedded"]
    models: dict[str, Any] = {"clip": own["clip"], "reward": own["reward"], "device": "cpu"}
    another = EtaGuard.from_pretrained("paper", chat_model=folder, **models).engine
    monkeypatch.setitem(pretrained.ASSEMBLIES["paper"], "chat_model", str(folder))
    papers = EtaGuard.from_pretrained("paper", **models).engine
    alone = ChatLocalVLM.from_pretrained("paper", device="cpu").engine
    for loaded in (another, papers, alone):
        assert isinstance(loaded, LocalEngine)
        assert loaded.presentation == engine.presentation
    elsewhere = EtaGuard.from_pretrained("embedded", chat_model=folder, **models).engine
    assert isinstance(elsewhere, LocalEngine)
    assert elsewhere.presentation == AS_IT_IS


def test_alternating_mapping_is_shown_the_same(engine: LocalEngine, folder: Path) -> None:
    mapped = LocalEngine(
        engine.model,
        engine.processor,
        alternating_mapping=True,
        presentation=engine.presentation,
    )
    ids, (shown,) = read(mapped, question(photo(90, 41)))
    assert ids == read(engine, question(photo(90, 41)))[0]
    np.testing.assert_allclose(shown, published_pixels(photo(90, 41)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("pads", [False, True])
def test_a_processor_that_could_pad_makes_no_difference(tmp_path: Path, pads: bool) -> None:
    kind: dict[str, Any] = {"image_processor_type": "LlavaImageProcessor", "do_pad": pads}
    loaded = published(llava_1_5.write(tmp_path / "llava", **kind))
    assert loaded.processor.image_processor.do_pad is pads
    for size in SIZES:
        _, (shown,) = read(loaded, question(photo(*size)))
        np.testing.assert_allclose(shown, published_pixels(photo(*size)), atol=1e-6, rtol=0)


# ── what is left alone ──


def test_the_same_checkpoint_outside_the_assembly_is_left_to_its_processor(folder: Path) -> None:
    loaded = load_chat_model(str(folder), "cpu")
    assert isinstance(loaded, LocalEngine)
    assert_left_alone(loaded)


def test_another_model_of_the_class_is_left_to_its_processor(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, processor = tiny.llava()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING, "eta_guard.pretrained"):
        loaded = published(tmp_path)
    assert_left_alone(loaded)
    (said,) = caplog.messages
    assert "its chat template writes 'USER:<image>Why?ASSISTANT:'" in said


@pytest.mark.parametrize(
    "template",
    [
        llava_1_5.CHAT_TEMPLATE.replace("!= 'system'", "!= 'nobody'"),  # "SYSTEM: …"
        "A chat. " + llava_1_5.CHAT_TEMPLATE,
        "{{ raise_exception('Roles must alternate') }}",
    ],
)
def test_another_chat_template_is_left_as_it_is(tmp_path: Path, template: str) -> None:
    loaded = published(llava_1_5.write(tmp_path / "llava", template=template))
    assert loaded.presentation == AS_IT_IS


def test_what_was_chosen_is_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "eta_guard.pretrained"):
        published(folder)
    (said,) = caplog.messages
    assert "llava-1.5-tiny-hf@" in said
    assert "padded" in said


def assert_left_alone(loaded: LocalEngine) -> None:
    assert loaded.presentation == AS_IT_IS
    picture = photo(90, 41)
    ids, (shown,) = read(loaded, question(picture))
    own, (cropped,) = own_inputs(loaded, picture)
    assert ids == own
    np.testing.assert_array_equal(shown, cropped)


# ── behind a server ──


def test_a_server_is_sent_the_published_picture_after_the_system_sentence() -> None:
    server, picture = PlayedServer(), photo(90, 41)
    opened = server.engine(presentation=Presentation.llava_1_5()).open(
        read_conversation([question(picture)]), Generation()
    )
    opened.answer()
    opened.prefill(PREFIX)
    opened.propose(2, Sampling(top_k=5, temperature=1.5, max_sentence_tokens=9))
    pictures = 0
    for body in server.bodies:
        assert body["add_special_tokens"]
        system, asked = body["messages"][:2]
        assert system == {"role": "system", "content": SYSTEM}
        sent, text = asked["content"]
        assert text == {"type": "text", "text": QUESTION}
        assert sent["uuid"] == server.bodies[0]["messages"][1]["content"][0]["uuid"]
        if sent["image_url"] is None:  # the server has it by now
            continue
        pictures += 1
        _, _, data = sent["image_url"]["url"].partition("base64,")
        square = Image.new("RGB", (90, 90), (122, 116, 104))
        square.paste(picture, (0, (90 - 41) // 2))
        wanted = square.resize((336, 336), Image.Resampling.BICUBIC)
        shown = Image.open(BytesIO(base64.b64decode(data)))
        assert np.array_equal(np.asarray(shown), np.asarray(wanted))
    assert pictures == 1
    assert server.bodies[-1]["messages"][2] == {"role": "assistant", "content": PREFIX}


def test_a_server_is_sent_the_callers_system_message_alone() -> None:
    server = PlayedServer()
    shown = Presentation.llava_1_5()
    asked = read_conversation([SystemMessage("Be brief."), HumanMessage("Hi")])
    server.engine(presentation=shown).open(asked, Generation()).answer()
    roles = [message["role"] for message in server.bodies[0]["messages"]]
    assert roles == ["system", "user"]
    assert "curious" not in json.dumps(server.bodies[0])


@dataclass
class Told:
    """What a server read and drew, in ids."""

    prompt: list[int] = field(default_factory=list)
    drawn: list[int] = field(default_factory=list)


class TellingServer(Server):
    """Asks for the ids as well."""

    told = Told()

    def follow(self, drawing: Drawing) -> None:
        self.told = Told()
        take = drawing.take

        def telling(event: Mapping[str, Any]) -> bool:
            self.told.prompt += event.get("prompt_token_ids") or ()
            for choice in event["choices"]:
                self.told.drawn += choice.get("token_ids") or ()
            return take(event)

        drawing.body = {**drawing.body, "return_token_ids": True}
        drawing.take = telling  # type: ignore[method-assign]
        super().follow(drawing)


@pytest.mark.vllm
@pytest.mark.timeout(900)
def test_a_real_server_reads_the_published_ids_and_draws_what_is_drawn_here(
    engine: LocalEngine, folder: Path, tmp_path: Path
) -> None:
    served = ("--model", str(folder), "--served-model-name", "llava")
    with serving("chat", tmp_path / "log", *served) as address, httpx.Client() as client:
        remote = VllmEngine(
            f"{address}/v1", "llava", client=client, presentation=engine.presentation
        )
        special = engine.presentation.special_tokens
        server = TellingServer(remote._connection, special_tokens=special, by_id=True)
        remote._server = server
        wanted = published_ids(folder, f"{SYSTEM} USER: <image>\n{QUESTION} ASSISTANT:")
        for size in SIZES:
            asked = read_conversation([question(photo(*size))])
            opened = remote.open(asked, Generation(max_tokens=12))
            opened.answer()
            assert server.told.prompt == wanted
            assert server.told.drawn == drawn_here(engine, asked, 12)
        opened.prefill(PREFIX)
        opened.propose(1, Sampling(top_k=5, temperature=1.5, max_sentence_tokens=3))
        words: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        assert server.told.prompt == wanted + words.encode(PREFIX).ids[1:]


def drawn_here(engine: LocalEngine, asked: Conversation, tokens: int) -> list[int]:
    """What the model generates greedily."""
    inputs = model_inputs(engine.processor, engine.presentation.show(asked))
    ids = engine.model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
    drawn: list[int] = ids[0, inputs["input_ids"].shape[1] :].tolist()
    return drawn
