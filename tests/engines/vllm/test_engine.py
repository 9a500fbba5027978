from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from PIL import Image

from eta_guard import EtaGuard, GuardPolicy, VllmEngine
from eta_guard.counts import counting
from eta_guard.errors import EngineError
from eta_guard.graph import build_graph
from eta_guard.protocols import Candidate, Engine, Generation, Sampling
from eta_guard.request.conversation import read_conversation
from tests.engines.vllm.server import BASE_URL, DRAFT, PlayedServer, refuses, sse
from tests.engines.vllm.sessions import PREFIX, SAMPLING, begun, opened, saying
from tests.fakes import UNSAFE, FakeImages, FakeResponses, question, reply_of, scoring, verdict_of


def texts(candidates: list[Candidate]) -> list[str]:
    return [candidate.text for candidate in candidates]


# ── the engine ──


def test_it_is_an_engine_named_by_model_and_root_asked_once() -> None:
    server = PlayedServer()
    engine = server.engine()
    assert server.requests == []
    assert isinstance(engine, Engine)
    assert engine.fingerprint == engine.fingerprint == "llava (org/llava-7b)"
    assert len(server.requests) == 1
    assert PlayedServer(root="llava").engine().fingerprint == "llava"


@pytest.mark.parametrize(
    "failure",
    [httpx.Response(404), httpx.Response(200, text="<html>"), httpx.Response(200, json=[])],
)
def test_a_server_that_names_nothing_is_known_by_the_model(failure: httpx.Response) -> None:
    assert PlayedServer(fails=lambda request: failure).engine().fingerprint == "llava"


def test_the_key_is_sent_and_never_shown() -> None:
    server = PlayedServer()
    engine = server.engine(api_key="canary-key")
    engine.open(read_conversation([HumanMessage("Hi")]), Generation()).answer()
    assert server.requests[-1].headers["authorization"] == "Bearer canary-key"
    assert repr(engine) == "VllmEngine('vllm.test', 'llava')"
    assert "user" not in repr(VllmEngine("http://user:secret@vllm.test/v1", "llava"))


# ── the plain answer ──


def test_the_plain_answer_is_greedy_and_leaves_the_server_no_defaults() -> None:
    server = PlayedServer()
    completion = opened(server, SystemMessage("Be brief."), HumanMessage("Hello")).answer()
    assert (completion.text, completion.finish_reason) == (DRAFT, "stop")
    (body,) = server.bodies
    assert body == {
        "model": "llava",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
        ],
        "max_tokens": 1024,
        "temperature": 0.0,
        "top_k": 0,
        "top_p": 1.0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }


def test_settings_of_the_request_reach_the_server() -> None:
    server = PlayedServer()
    opened(server, max_tokens=7, temperature=0.5, seed=4, stop=("x",)).answer()
    sent = {name: server.bodies[0][name] for name in ("max_tokens", "temperature", "seed", "stop")}
    assert sent == {"max_tokens": 7, "temperature": 0.5, "seed": 4_000_012, "stop": ["x"]}


def test_a_budget_that_is_spent_ends_the_answer() -> None:
    completion = opened(saying("One two three four"), max_tokens=2).answer()
    assert (completion.text, completion.finish_reason) == ("One two", "length")


def test_a_stop_text_ends_the_answer() -> None:
    completion = opened(saying("One. Two."), stop=(" Two",)).answer()
    assert (completion.text, completion.finish_reason) == ("One.", "stop")


def test_a_watch_follows_the_text_and_never_what_a_stop_text_takes_back() -> None:
    told: list[str] = []
    server = saying("\n\nOne two three. ")

    def watch(text: str) -> bool:
        told.append(text)
        return False

    completion = opened(server, stop=(" two four",)).answer(watch)
    assert told == ["One", "One two three."]
    assert completion.text == "One two three."


def test_a_watch_ends_the_answer_and_closes_the_stream() -> None:
    server = saying("One two three four five six")
    with counting() as tally:
        completion = opened(server).answer(lambda text: text.endswith("two"))
    assert (completion.text, completion.finish_reason) == ("One two", "stop")
    assert server.streams[0].closed
    assert server.streams[0].sent == 3  # the role, and two words
    assert tally == {"input_tokens": 10, "output_tokens": 2}


def test_line_ends_of_unicode_part_no_events() -> None:
    text = "One\u2028two\u0085three\u2029four\x0bfive."
    assert opened(saying(text)).answer().text == text


# ── images and history ──


def test_the_server_is_sent_the_pixels_that_were_evaluated() -> None:
    server = PlayedServer()
    image = Image.new("RGB", (16, 8), "blue")
    image.paste("red", (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    data = base64.b64encode(buffer.getvalue()).decode()
    block = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}
    message = HumanMessage([{"type": "text", "text": "Look"}, block, "and"])
    given = read_conversation([message])
    session = server.engine().open(given, Generation())
    session.answer()
    session.prefill(PREFIX)
    session.propose(2, SAMPLING)
    for body in server.bodies:
        text, sent, more = body["messages"][0]["content"]
        assert (text, more) == ({"type": "text", "text": "Look"}, {"type": "text", "text": "and"})
        kind, _, png = server.kept[sent["uuid"]].partition(",")
        assert kind == "data:image/png;base64"
        seen = Image.open(BytesIO(base64.b64decode(png)))
        assert seen.size == (8, 16)
        assert seen.tobytes() == given.pictures[0].pixels.tobytes()


def test_calls_of_tools_in_the_history_are_sent_along() -> None:
    server = PlayedServer()
    call: Any = {"name": "look", "args": {"at": "it"}, "id": "c1", "type": "tool_call"}
    opened(
        server,
        HumanMessage("Look."),
        AIMessage("", tool_calls=[call]),
        ToolMessage("a cup", tool_call_id="c1"),
    ).answer()
    function = {"name": "look", "arguments": '{"at": "it"}'}
    calls = [{"id": "c1", "type": "function", "function": function}]
    assert server.bodies[0]["messages"] == [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "content": "a cup", "tool_call_id": "c1"},
    ]


# ── best of N ──


def test_candidates_come_from_one_request_that_continues_the_answer() -> None:
    server = PlayedServer()
    session = begun(server, seed=2)
    session.answer()
    found = session.propose(3, SAMPLING)
    first = 2 * 1_000_003 + 1_009
    assert texts(found) == [f" CANDIDATE canary of seed {first + i}." for i in range(3)]
    assert [(one.token_ids, one.finish_reason) for one in found] == [((), None)] * 3
    _, body = server.bodies
    assert body["messages"] == [
        {"role": "user", "content": "So?"},
        {"role": "assistant", "content": PREFIX},
    ]
    expected = {
        "continue_final_message": True,
        "add_generation_prompt": False,
        "n": 3,
        "top_k": 5,
        "temperature": 1.5,
        "seed": first,
        "max_tokens": 70,
    }
    assert {name: body[name] for name in expected} == expected


def test_the_stream_is_closed_once_all_have_ended() -> None:
    server = PlayedServer()
    session = begun(server)
    session.answer()
    with counting() as tally:
        session.propose(2, SAMPLING)
    # Five words, and the one that shows the end, of fifteen; all that came is counted.
    assert server.streams[-1].closed
    assert server.streams[-1].sent == 2 + 2 * 6
    assert tally == {"output_tokens": 12}


def test_one_that_ends_early_waits_for_the_others() -> None:
    long = " A long sentence it is. And on."
    server = PlayedServer(lambda begun, seed: [" Yes. And on and on and on.", long][seed % 2])
    session = begun(server)
    session.answer()
    with counting() as tally:
        found = session.propose(2, SAMPLING)
    assert sorted(texts(found)) == [" A long sentence it is.", " Yes."]
    assert tally["output_tokens"] in (11, 12)


def test_the_next_sentence_goes_on_from_the_accepted_text_with_other_seeds() -> None:
    server = PlayedServer()
    session = begun(server)
    (_, second) = session.propose(2, SAMPLING)
    session.accept(1)
    found = session.propose(2, SAMPLING)
    assert server.bodies[-1]["messages"][-1]["content"] == PREFIX + second.text
    assert server.bodies[-1]["seed"] == server.bodies[-2]["seed"] + 1_009
    session.accept(0)
    whole = session.finish()
    assert whole.text.startswith(PREFIX + second.text + found[0].text + " CANDIDATE")
    assert (whole.text.count("."), whole.finish_reason) == (3, "stop")
    assert "n" not in server.bodies[-1]
    assert server.bodies[-1]["temperature"] == 0.0


def test_what_ends_the_answer_is_told() -> None:
    (broken_off,) = begun(saying(", no")).propose(1, SAMPLING)
    assert broken_off == Candidate(", no", (), "stop")
    (nothing,) = begun(saying("")).propose(1, SAMPLING)
    assert nothing == Candidate("", (), "stop")


def test_an_end_token_after_a_whole_sentence_is_look_ahead() -> None:
    """The answer is over where the sentence after it is empty, and not before."""
    session = begun(PlayedServer(lambda text, seed: "" if text.endswith(".") else ", no."))
    (whole,) = session.propose(1, SAMPLING)
    assert whole == Candidate(", no.", (), None)
    session.accept(0)
    (nothing,) = session.propose(1, SAMPLING)
    assert nothing == Candidate("", (), "stop")


def test_a_stop_text_after_a_whole_sentence_ends_the_answer() -> None:
    """The server leaves it out, and says that it was one."""
    server = saying(", no. STOP More.")
    session = begun(server, PREFIX, stop=("STOP",))
    (last,) = session.propose(1, SAMPLING)
    assert last == Candidate(", no.", (), "stop")


@pytest.mark.parametrize("trims", [False, True])
def test_spacing_is_kept_and_never_drawn_twice(trims: bool) -> None:
    answer = ", no.\n\n  - One. \n\nTwo."

    def writes(begun: str, seed: int) -> str:
        return answer[len(begun) - len(PREFIX) :]

    session = begun(PlayedServer(writes, trims=trims))
    text = PREFIX
    for _ in range(4):
        (found,) = session.propose(1, SAMPLING)
        assert found.text == found.text.rstrip()
        session.accept(0)
        text += found.text
    assert text == PREFIX + answer
    assert found == Candidate("", (), "stop")


def test_without_a_prefix_the_first_sentence_is_drawn_from_the_prompt() -> None:
    server = saying(" One. Two. Three.")
    session = begun(server, "")
    (found,) = session.propose(1, SAMPLING)
    assert found.text == " One."
    (body,) = server.bodies
    assert "continue_final_message" not in body


def test_a_search_taken_up_again_goes_on_after_what_was_accepted() -> None:
    server = PlayedServer()
    session = begun(server)
    session.propose(1, SAMPLING)
    session.accept(0)
    again = opened(server, HumanMessage("So?"))
    first = f" CANDIDATE canary of seed {1_009}."
    again.prefill(PREFIX, [Candidate(first, (), None)])
    assert again.propose(2, SAMPLING) == session.propose(2, SAMPLING)
    assert again.finish() == session.finish()


def test_a_stop_text_across_the_join_ends_the_answer() -> None:
    session = begun(saying(" assistant says."), "As an AI", stop=("AI assistant",))
    assert session.propose(1, SAMPLING) == [Candidate("", (), "stop")]
    assert session.finish().text == "As an AI"


def test_the_server_is_told_the_stop_texts() -> None:
    server = saying(" one HALT two.")
    (found,) = begun(server, stop=("HALT",)).propose(1, SAMPLING)
    assert server.bodies[-1]["stop"] == ["HALT"]
    assert found == Candidate(" one", (), "stop")


# ── budgets ──


def test_a_sentence_without_an_end_is_cut_and_goes_on() -> None:
    server = saying(" a b c d e f g h")
    limited = Sampling(top_k=5, temperature=1.5, max_sentence_tokens=3)
    assert begun(server).propose(1, limited) == [Candidate(" a b c", (), None)]


@pytest.mark.parametrize("drafted", [True, False])
def test_the_budget_holds_to_the_token_prefix_included(drafted: bool) -> None:
    server = saying(" a b c d e f g h i j")
    session = begun(server, max_tokens=9)
    if drafted:
        session.answer()
    limited = Sampling(top_k=5, temperature=1.5, max_sentence_tokens=3)
    assert session.propose(1, limited) == [Candidate(" a b c", (), None)]
    session.accept(0)
    assert session.propose(1, limited) == [Candidate(" a b", (), "length")]
    assert session.finish().text == f"{PREFIX} a b c a b"
    # The prompt is counted by a token of its own where no draft has done so.
    assert [body["max_tokens"] for body in server.bodies] == [9 if drafted else 1, 3, 3, 2]


def test_a_prefix_longer_than_the_budget_is_an_error() -> None:
    with pytest.raises(EngineError, match="4 tokens, max_tokens is 4"):
        begun(saying(" a b."), max_tokens=4).propose(1, SAMPLING)


def test_tokens_are_counted_once_a_request_and_as_the_server_counts() -> None:
    server = PlayedServer()
    with counting() as tally:
        session = begun(server)
        session.answer()
        session.propose(2, SAMPLING)
        session.finish()
    assert tally == {"input_tokens": 10, "output_tokens": 6 + 12 + 16}


def test_counts_come_late_from_a_gateway_that_leaves_them_out_of_events() -> None:
    server = PlayedServer(continuous=False)
    with counting() as tally:
        session = begun(server)
        assert session.answer().text == DRAFT
        assert len(texts(session.propose(2, SAMPLING))) == 2
    assert tally == {"input_tokens": 10, "output_tokens": 6 + 12}


def test_the_counts_of_the_whole_request_have_the_last_word() -> None:
    last = sse({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 7}})
    with counting() as tally:
        opened(streaming(word("One two three.", "stop"), last, DONE)).answer()
    assert tally == {"input_tokens": 9, "output_tokens": 7}


# ── errors ──


def failing(response: httpx.Response | Exception) -> PlayedServer:
    def fails(request: httpx.Request) -> httpx.Response | None:
        if request.method == "GET":
            return None
        if isinstance(response, Exception):
            raise response
        return response

    return PlayedServer(fails=fails)


def streaming(*pieces: bytes) -> PlayedServer:
    return failing(httpx.Response(200, content=iter(pieces)))


def word(content: str, told: str | None = None, index: int = 0, **delta: str) -> bytes:
    choice = {"index": index, "delta": {"content": content, **delta}, "finish_reason": told}
    return sse({"choices": [choice]})


DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize("failure", [httpx.ConnectError("no"), httpx.ReadTimeout("slow")])
def test_a_server_that_does_not_answer_is_an_error(failure: Exception) -> None:
    with pytest.raises(EngineError, match=r"vllm\.test does not answer \(") as caught:
        opened(failing(failure)).answer()
    assert "vllm serve" in caught.value.hint


def test_what_the_server_says_against_a_request_is_told() -> None:
    server = failing(refuses("The value of 'n' is not supported."))
    with pytest.raises(EngineError, match="status 400: The value of 'n'"):
        opened(server).answer()
    with pytest.raises(EngineError, match="status 502: Bad gateway"):
        opened(failing(httpx.Response(502, text="Bad gateway"))).answer()
    detail = httpx.Response(404, json={"detail": "Not Found"})
    with pytest.raises(EngineError, match=r"status 404: .*Not Found"):
        opened(failing(detail)).answer()


def test_an_error_that_quotes_the_answer_is_withheld() -> None:
    text = f'{PREFIX} "CANARY\nsays" what must not be told'
    server = PlayedServer()
    session = begun(server, text)
    session.answer()
    server.fails = lambda request: refuses(f"Final message to continue: {text!r}")
    with pytest.raises(EngineError, match="withheld") as caught:
        session.propose(1, SAMPLING)
    assert "CANARY" not in str(caught.value)
    assert "must not" not in str(caught.value)


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([], "ended before"),
        ([word("One")], "ended before"),
        ([word("One"), DONE], "ended before"),
        ([word("One", "abort"), DONE], r"broke an answer off \(abort\)"),
        ([word("One"), sse({"error": {"message": "It is down."}}), DONE], "refused: It is down"),
        ([word("One"), b"data: CANARY\n\n"], "no JSON object"),
        ([b"data: 1\n\n"], "no JSON object"),
        ([b"<html>\n</html>\n"], "ended before"),
    ],
)
def test_a_stream_that_breaks_off_is_an_error(pieces: list[bytes], message: str) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        opened(streaming(*pieces)).answer()
    assert caught.value.hint
    assert "CANARY" not in str(caught.value)


def test_a_connection_that_breaks_is_an_error() -> None:
    def pieces() -> Any:
        yield word("One")
        raise httpx.RemoteProtocolError("peer closed connection")

    with pytest.raises(EngineError, match="ended before"):
        opened(failing(httpx.Response(200, content=pieces()))).answer()


def test_a_server_that_sends_fewer_answers_than_asked_for_is_an_error() -> None:
    session = opened(streaming(word(" One.", "stop"), DONE))
    session.prefill("")
    with pytest.raises(EngineError, match="ended before"):
        session.propose(2, SAMPLING)


def test_an_answer_that_was_taken_for_reasoning_is_an_error() -> None:
    with pytest.raises(EngineError, match="reasoning"):
        opened(streaming(word("", reasoning="Hm."), word("", "stop"), DONE)).answer()
    answered = opened(streaming(word("", reasoning="Hm."), word("Yes.", "stop"), DONE)).answer()
    assert answered.text == "Yes."


def test_pieces_of_events_are_put_together() -> None:
    body = word("Ja – é", "stop") + DONE
    cut = [body[at : at + 1] for at in range(len(body))]
    assert opened(streaming(*cut)).answer().text == "Ja – é"


def test_the_session_keeps_its_texts_to_itself() -> None:
    session = begun(PlayedServer())
    session.propose(1, SAMPLING)
    assert "canary" not in repr(session)


# ── the whole graph ──


def test_the_graph_repairs_an_unsafe_draft_over_the_server() -> None:
    server = PlayedServer()
    policy = GuardPolicy(candidates=3)
    best = f"seed {1_009 + 2}"
    responses = FakeResponses(scoring(candidates=lambda text: float(best in text)))
    graph = build_graph(
        engine=server.engine(),
        image_evaluator=FakeImages(),
        response_evaluator=responses,
        policy=policy,
    ).compile()
    reply = reply_of(graph.invoke({"messages": [question(UNSAFE)]}))
    verdict = verdict_of(reply)
    assert verdict.decision == "aligned"
    assert verdict.models["chat_model"] == "llava (org/llava-7b)"
    assert str(reply.content).startswith(f"{policy.prefix} CANDIDATE canary of {best}.")
    assert str(reply.content).count("CANDIDATE") == 3
    assert "DRAFT" not in str(reply.content)
    # The draft, a request a sentence, and the one in which all propose to stop.
    assert [body.get("n", 1) for body in server.bodies] == [1, 3, 3, 3, 3]
    assert len(server.kept) == 1
    assert reply.usage_metadata is not None
    assert reply.usage_metadata["input_tokens"] == 10


@pytest.mark.parametrize("margin", [None, 0.01])
def test_an_unsafe_draft_is_stopped_early_where_the_policy_asks_for_it(
    margin: float | None,
) -> None:
    server = PlayedServer(
        lambda begun, seed: ". Good." if begun else "It is unsafe. And so on and on and on."
    )
    guard = EtaGuard(
        engine=server.engine(),
        image_evaluator=FakeImages(),
        response_evaluator=FakeResponses(lambda prompt, text: float("Good" in text)),
        policy=GuardPolicy(draft_stop_margin=margin, max_tokens=40),
    )
    reply = guard.invoke([question(UNSAFE)])
    assert "Good." in str(reply.content)
    # The role and four words, or all ten with their end, the counts and the end of it all.
    assert server.streams[0].sent == (14 if margin is None else 5)


def test_a_failing_server_is_the_callers_error_or_a_refusal() -> None:
    server = failing(httpx.ConnectError("no"))
    parts: Any = {
        "engine": server.engine(),
        "image_evaluator": FakeImages(),
        "response_evaluator": FakeResponses(),
    }
    with pytest.raises(EngineError, match=BASE_URL.split("/")[2]):
        EtaGuard(**parts).invoke([question(UNSAFE)])
    policy = GuardPolicy(on_error="refuse")
    reply = EtaGuard(**parts, policy=policy).invoke([question(UNSAFE)])
    assert reply.content == policy.refusal_message
