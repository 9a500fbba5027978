from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage
from langchain_core.tracers.base import BaseTracer
from langgraph.graph import START, MessagesState, StateGraph
from PIL import Image

from eta_guard import ChatModelEngine
from eta_guard.counts import counting
from eta_guard.engines.chat_model import session as chat_model
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Candidate, Engine, Generation, Sampling
from eta_guard.request.conversation import read_conversation
from eta_guard.request.reading import Reading
from eta_guard.request.sources import Source
from eta_guard.runs import apart
from tests.chat_fakes import DRAFT, FakeChat, repairs, says
from tests.fakes import SAFE, UNSAFE, FakeImages, FakeResponses, Rig, question, verdict_of

SAMPLING = Sampling(top_k=5, temperature=1.5, max_sentence_tokens=70)
PREFIX = "As an AI assistant"
CALL = ToolCall(name="look", args={"at": "it"}, id="c1", type="tool_call")


def opened(model: FakeChat, *messages: Any, **generation: Any) -> chat_model.ChatModelSession:
    given = read_conversation(list(messages) or [question(UNSAFE)])
    return ChatModelEngine(model).open(given, Generation(**generation))


def answering(text: str, **metadata: Any) -> FakeChat:
    return FakeChat(script=lambda messages, asked: AIMessage(text, response_metadata=metadata))


# ── the plain answer ──


def test_it_is_an_engine_named_by_the_model() -> None:
    assert isinstance(ChatModelEngine(FakeChat()), Engine)
    assert ChatModelEngine(FakeChat()).fingerprint == "fake-provider"
    assert ChatModelEngine(FakeChat(model_name="")).fingerprint == "fake-chat"


def test_the_plain_answer_is_one_call_with_the_models_own_settings() -> None:
    model = FakeChat(temperature=0.3, max_tokens=50)
    messages = [SystemMessage("Be brief."), HumanMessage("Hello")]
    completion = opened(model, *messages).answer()
    assert (completion.text, completion.finish_reason) == (DRAFT, "stop")
    assert completion.message is not None
    assert completion.message.usage_metadata is not None
    ((sent, asked),) = model.calls
    assert sent == messages
    assert asked == {"temperature": 0.3, "max_tokens": 50, "seed": None}


def test_settings_of_the_request_reach_the_model() -> None:
    model = FakeChat(max_tokens=50)
    opened(model, max_tokens=70, temperature=0.5, seed=4, stop=("x",)).answer()
    opened(model, max_tokens=7).answer()
    assert model.calls[0][1] == {"max_tokens": 50, "temperature": 0.5, "seed": 4, "stop": ["x"]}
    assert model.calls[1][1]["max_tokens"] == 7
    assert model.temperature is None


def test_a_setting_that_the_model_does_not_know_is_not_sent() -> None:
    model = FakeChat(profile={"temperature": False})
    opened(model, temperature=0.5, seed=1).answer()
    assert model.calls[0][1] == {"max_tokens": None, "temperature": None, "seed": 1}


def test_a_stop_text_that_the_model_ignores_is_cut() -> None:
    completion = opened(answering("One. Two."), stop=(" Two",)).answer()
    assert (completion.text, completion.message) == ("One.", None)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({}, "stop"),
        ({"finish_reason": "stop"}, "stop"),
        ({"finish_reason": "tool_calls"}, "stop"),
        ({"finish_reason": "length"}, "length"),
        ({"stop_reason": "max_tokens"}, "length"),
        ({"finish_reason": "MAX_TOKENS"}, "length"),
        ({"done_reason": "length"}, "length"),
    ],
)
def test_why_the_answer_ended(metadata: dict[str, Any], reason: str) -> None:
    assert opened(answering("A.", **metadata)).answer().finish_reason == reason


def test_there_is_nothing_to_watch() -> None:
    def watch(text: str) -> bool:
        raise AssertionError

    assert opened(FakeChat()).answer(watch).text == DRAFT


@pytest.mark.parametrize("score", [SAFE, UNSAFE])
def test_the_guard_streams_the_reply_once(score: float) -> None:
    guard = Rig(responses=FakeResponses(lambda prompt, text: 1.0)).guard()
    guard = guard.model_copy(update={"engine": ChatModelEngine(answering("\n\nHello. "))})
    chunks = list(guard.stream([question(score)]))
    assert "".join(str(chunk.text) for chunk in chunks) == "\n\nHello. "
    outer = StateGraph(MessagesState)
    outer.add_node("guard", guard.graph)
    outer.add_edge(START, "guard")
    given: Any = {"messages": [question(score)]}
    parts: Any = outer.compile().stream(given, stream_mode="messages")
    told = [message for message, _ in parts]
    assert "".join(str(message.text) for message in told) == "\n\nHello. "


def test_tools_are_bound_for_the_plain_answer_alone() -> None:
    model = FakeChat(script=says(AIMessage("Let me look.", tool_calls=[CALL])))
    engine = ChatModelEngine(model).bind_tools(["look"], tool_choice="any").bind(extra=1)
    session = engine.open(read_conversation([question(UNSAFE)]), Generation())
    assert session.answer().tool_calls == (CALL,)
    session.prefill(PREFIX)
    session.propose(2, SAMPLING)
    session.finish()
    settings = [asked for _, asked in model.calls]
    assert (settings[0]["tools"], settings[0]["tool_choice"]) == (["look"], "any")
    assert settings[0]["extra"] == 1
    assert not any({"tools", "tool_choice", "extra"} & asked.keys() for asked in settings[1:])


# ── images ──


def sent_images(model: FakeChat) -> list[Image.Image]:
    again = read_conversation(model.calls[-1][0])
    assert not any(orientation(picture.source) != 1 for picture in again.pictures)
    return [picture.pixels for picture in again.pictures]


def orientation(source: Source | None) -> int:
    content = source.read() if source else b""
    assert isinstance(content, bytes)
    return int(Image.open(BytesIO(content)).getexif().get(0x0112, 1))


def jpeg(orientation: int) -> dict[str, Any]:
    image = Image.new("RGB", (16, 8), "blue")
    image.paste("red", (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    data = base64.b64encode(buffer.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}


@pytest.mark.parametrize("repairing", [False, True])
def test_the_provider_is_sent_the_pixels_that_were_evaluated(repairing: bool) -> None:
    model = FakeChat()
    nested = {"type": "tool_result", "content": [{"type": "text", "text": "seen:"}, jpeg(6)]}
    given = read_conversation(
        [
            HumanMessage([{"type": "text", "text": "Look"}, jpeg(8), "and"]),
            AIMessage("", tool_calls=[CALL]),
            ToolMessage([nested], tool_call_id="c1"),
        ],
        Reading(passed_on=True),
    )
    session = ChatModelEngine(model).open(given, Generation())
    if repairing:
        session.prefill(PREFIX)
        session.propose(1, SAMPLING)
    else:
        session.answer()
    images = sent_images(model)
    assert [image.size for image in images] == [(8, 16), (8, 16)]
    for image, picture in zip(images, given.pictures, strict=True):
        assert image.tobytes() == picture.pixels.tobytes()


def test_calls_of_tools_and_ids_are_passed_on_for_the_plain_answer() -> None:
    model = FakeChat()
    messages = [
        HumanMessage("Look."),
        AIMessage("", tool_calls=[CALL]),
        ToolMessage(
            [{"type": "text", "text": "seen:"}, *question(SAFE).content], tool_call_id="c1"
        ),
    ]
    opened(model, *messages).answer()
    sent = model.calls[0][0]
    assert sent[1].tool_calls == [CALL]
    assert sent[2].tool_call_id == "c1"
    assert [block["type"] for block in sent[2].content] == ["text", "image", "text"]
    assert sent[2] is messages[2]


def test_a_repair_is_asked_for_without_the_tools_of_the_history() -> None:
    model = FakeChat()
    session = opened(
        model,
        SystemMessage("Be brief."),
        HumanMessage("Look."),
        AIMessage("", tool_calls=[CALL]),
        ToolMessage("a cup", tool_call_id="c1"),
        AIMessage("Hm."),
        HumanMessage("So?"),
    )
    session.prefill(PREFIX)
    session.propose(1, SAMPLING)
    sent = model.calls[0][0]
    assert [type(message) for message in sent] == [
        SystemMessage,
        HumanMessage,
        AIMessage,
        HumanMessage,
    ]
    assert sent[1].content == "Look.\n\nA tool returned:\n\na cup"
    assert sent[3].content.startswith("So?\n\nBegin your answer with")
    assert sent[3].content.endswith(PREFIX)


def test_without_a_prefix_there_is_no_instruction() -> None:
    model = FakeChat(script=lambda messages, asked: AIMessage(" An answer. "))
    session = opened(model, HumanMessage("So?"))
    session.prefill("")
    (found,) = session.propose(1, SAMPLING)
    assert model.calls[0][0] == [HumanMessage("So?")]
    assert found.text.strip() == "An answer."


# ── best of N ──


def test_candidates_are_whole_answers_with_a_seed_each() -> None:
    model = FakeChat()
    session = opened(model, seed=2)
    session.prefill(PREFIX)
    found = session.propose(3, SAMPLING)
    again = opened(model, seed=2)
    again.prefill(PREFIX)
    assert again.propose(3, SAMPLING) == found
    assert all(one.finish_reason == "stop" for one in found)
    seeds = {asked["seed"] for _, asked in model.calls}
    assert len(seeds) == 3
    assert {one.text for one in found} == {f", CANDIDATE canary of seed {s}." for s in seeds}
    assert {asked["temperature"] for _, asked in model.calls} == {1.0}
    other = opened(model, seed=3)
    other.prefill(PREFIX)
    assert not {one.text for one in other.propose(3, SAMPLING)} & {one.text for one in found}


def test_candidates_stand_in_the_order_of_their_seeds() -> None:
    session = opened(FakeChat())
    session.prefill(PREFIX)
    seeds = [int(one.text.rstrip(".").split()[-1]) for one in session.propose(8, SAMPLING)]
    assert seeds == sorted(seeds)


@pytest.mark.parametrize(
    ("answer", "continuation"),
    [
        (f"{PREFIX}, no.", ", no."),
        (f"  {PREFIX} I will not.\n", " I will not."),
        (f"**{PREFIX}** I will not.", " I will not."),
        (f'"{PREFIX.lower()}", he says.', ", he says."),
        (f"{PREFIX}s say so.", f", {PREFIX}s say so."),
        ("I will not.", ", I will not."),
        (f"**{PREFIX},** I will not.", ", I will not."),
        (f"{PREFIX}'s view: no.", "'s view: no."),
        (PREFIX.replace(" ", "\n") + ", no.", ", no."),
        (PREFIX, ""),
        (" ", ""),
    ],
)
def test_an_answer_that_does_not_begin_as_told_gets_the_beginning(
    answer: str, continuation: str
) -> None:
    session = opened(answering(answer))
    session.prefill(PREFIX)
    assert [one.text for one in session.propose(1, SAMPLING)] == [continuation]
    assert session.finish().text == PREFIX + continuation


@pytest.mark.parametrize(
    ("answer", "continuation"),
    [
        (f"{PREFIX}, no.", " no."),
        (f"{PREFIX.lower()} I will not.", " I will not."),
        (f'"{PREFIX}", I will not.', " I will not."),
        (f"> {PREFIX}. No.", " No."),
        ("I will not.", " I will not."),
    ],
)
def test_a_mark_at_the_end_of_the_beginning_stands_once(answer: str, continuation: str) -> None:
    session = opened(answering(answer))
    session.prefill(f"{PREFIX},")
    assert [one.text for one in session.propose(1, SAMPLING)] == [continuation]


def test_a_search_taken_up_again_goes_on_after_what_was_accepted() -> None:
    model = FakeChat()
    session = opened(model)
    session.prefill(PREFIX, [Candidate(" says", (), None)])
    (found,) = session.propose(1, SAMPLING)
    assert model.calls[0][0][-1].text.endswith(f"{PREFIX} says")
    session.accept(0)
    model.script = lambda messages, asked: AIMessage("More.")
    assert session.finish().text == f"{PREFIX} says{found.text} More."


def test_a_stop_text_cuts_what_is_finished() -> None:
    session = opened(answering("One. Two."), stop=(" Two",))
    session.prefill("")
    assert session.finish().text.strip() == "One."


def test_tokens_are_counted_as_the_provider_counts_them() -> None:
    session = opened(FakeChat())
    with counting() as tally:
        session.answer()
        session.prefill(PREFIX)
        session.propose(4, SAMPLING)
    assert tally == {"input_tokens": 50, "output_tokens": 15}


def test_the_session_keeps_its_texts_to_itself() -> None:
    session = opened(FakeChat())
    session.prefill(PREFIX)
    session.propose(1, SAMPLING)
    assert "canary" not in repr(session)


# ── who sees the calls ──


class Tracer(BaseTracer):
    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Any] = []

    def _persist_run(self, run: Any) -> None:
        self.roots.append(run)


class Listener(BaseCallbackHandler):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.texts.append(token)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.texts.append(repr(response))


def guard_graph(model: FakeChat) -> Any:
    rig = Rig(
        GuardPolicy(candidates=2),
        images=FakeImages(),
        responses=FakeResponses(lambda prompt, text: 1.0 if "seed 1009" in text else 0.0),
    )
    rig.engine = ChatModelEngine(model)  # type: ignore[assignment]
    outer = StateGraph(MessagesState)
    outer.add_node("guard", rig.graph().compile())
    outer.add_edge(START, "guard")
    return outer.compile()


def streamed(model: FakeChat) -> str:
    given = {"messages": [question(UNSAFE)]}
    modes = ["values", "updates", "messages", "debug", "tasks", "custom"]
    return repr(list(guard_graph(model).stream(given, stream_mode=modes, subgraphs=True)))


def test_the_graph_over_a_chat_model_aligns_and_shows_nothing_else() -> None:
    model = FakeChat()
    reply = guard_graph(model).invoke({"messages": [question(UNSAFE)]})["messages"][-1]
    assert reply.content == f"{GuardPolicy().prefix}, CANDIDATE canary of seed 1009."
    assert verdict_of(reply).decision == "aligned"
    assert reply.usage_metadata["output_tokens"] == 9
    told = streamed(FakeChat())
    assert "seed 1009" in told
    assert "DRAFT canary" not in told
    assert "seed 1010" not in told


def test_run_within_the_stream_the_draft_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_model, "apart", lambda work: work({}))
    told = streamed(FakeChat())
    assert "DRAFT " in told
    assert "1010" in told


@pytest.mark.parametrize("own", [False, True])
def test_tracers_see_the_calls_and_listeners_only_of_their_own_model(own: bool) -> None:
    tracer, listener = Tracer(), Listener()
    given = {"messages": [question(UNSAFE)]}
    model = FakeChat(callbacks=[tracer, listener] if own else None)
    config: Any = {} if own else {"callbacks": [tracer, listener]}
    guard_graph(model).invoke(given, config)
    assert any("DRAFT" in text or "1010" in text for text in listener.texts) == own
    runs = list(tracer.roots)
    names = []
    while runs:
        run = runs.pop()
        names.append(run.run_type)
        runs += run.child_runs
    assert names.count("chat_model") + names.count("llm") == 3
    assert len(tracer.roots) == (3 if own else 1)


def test_what_feeds_a_stream_is_no_tracer() -> None:
    from langchain_core.tracers.log_stream import LogStreamCallbackHandler

    assert not apart.traces(LogStreamCallbackHandler())
    assert apart.traces(Tracer())
    assert apart.tracers(None) is None


def test_repairs_are_told_by_their_instruction() -> None:
    assert not repairs([HumanMessage("Hello")])
