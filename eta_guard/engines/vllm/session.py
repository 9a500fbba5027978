"""VllmSession: one request in a ``VllmEngine``."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from typing import Any, Protocol

from eta_guard import counts
from eta_guard.engines.seeds import seed_of
from eta_guard.engines.vllm.messages import Message, server_messages
from eta_guard.engines.vllm.stream import Row, Rows, broken_off
from eta_guard.errors import EngineError
from eta_guard.protocols import Candidate, Completion, Generation, Sampling, Watch
from eta_guard.request.conversation import Conversation
from eta_guard.text.following import Follower, is_whole_sentence, sentence_end, stop_start

# What a request leaves out, the server takes from the model's generation_config.
_NEUTRAL = {
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}


class Server(Protocol):
    """What a session asks."""

    def stream(self, asked: Mapping[str, Any], secret: str = "") -> Generator[dict[str, Any]]:
        """Yields the events of the answers to one request; see ``VllmEngine.stream``."""
        ...


class VllmSession:
    """A conversation, and the answers that go on from it.

    The budget is kept by the server's counts: the tokens of the text so far are those that it adds
    to the prompt. A server that sends several tokens at once may go beyond it by these.
    """

    def __init__(self, server: Server, conversation: Conversation, generation: Generation) -> None:
        self._server, self._conversation, self._generation = server, conversation, generation
        self._text, self._sentence = "", 1
        self._prompt: int | None = None  # tokens, without any answer
        self._begun = 0  # tokens of the text so far, as far as they are known
        self._proposed: list[Candidate] = []

    def __repr__(self) -> str:
        return "<VllmSession: withheld>"

    def answer(self, watch: Watch | None = None) -> Completion:
        """The plain answer, greedy unless the caller asked for a temperature."""
        follower = Follower(watch, self._generation) if watch else None
        room = self._generation.max_tokens

        def end(row: Row) -> None:
            if not self._at_stop("", row) and follower and follower.stops(row.text):
                row.end(None, "stop")
            _by_the_server(row, room)

        (row,) = self._draw("", 1, end, {**self._plainly, "max_tokens": room})
        text = row.text.strip()
        if follower:
            follower.finish(text)
        return Completion(text, row.finish_reason or "length")

    def prefill(self, prefix: str, accepted: Sequence[Candidate] = ()) -> None:
        """Begins an answer; the server is told of it when it is asked to go on."""
        self._text = prefix + "".join(candidate.text for candidate in accepted)
        self._sentence, self._begun = len(accepted) + 1, 0

    def propose(self, n: int, sampling: Sampling) -> list[Candidate]:
        """Draws ``n`` next sentences in one request."""
        text, limit = self._text, min(max(self._room, 1), sampling.max_sentence_tokens)

        def end(row: Row) -> None:
            if not self._at_stop(text, row) and (at := sentence_end(row.text)) is not None:
                row.end(at, None)
            _by_the_server(row, self._room, limit)

        asked = {
            "n": n,
            "max_tokens": limit,
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            # To candidate i the server gives this + i.
            "seed": seed_of(self._generation.seed, self._sentence),
        }
        rows = self._draw(text, n, end, asked)
        # A template may trim the end of what it is given: white space there is drawn once more.
        self._proposed = [Candidate(row.text.rstrip(), (), row.finish_reason) for row in rows]
        return self._proposed

    def accept(self, index: int) -> None:
        """Keeps a candidate."""
        self._text += self._proposed[index].text
        self._sentence += 1
        self._proposed = []

    def finish(self) -> Completion:
        """Continues the accepted text to its end."""
        text = self._text

        def end(row: Row) -> None:
            self._at_stop(text, row)
            _by_the_server(row, self._room)

        (row,) = self._draw(text, 1, end, {**self._plainly, "max_tokens": max(self._room, 1)})
        whole = self._generation.cut(text + row.text)
        return Completion(whole.strip(), row.finish_reason or "length")

    @cached_property
    def _messages(self) -> list[Message]:
        return server_messages(self._conversation)

    @property
    def _plainly(self) -> dict[str, Any]:
        """How an answer without a search is drawn."""
        drawn = {"seed": seed_of(self._generation.seed, 0)} if self._generation.temperature else {}
        return {"temperature": self._generation.temperature, **drawn}

    @property
    def _room(self) -> int:
        """How many tokens the answer may still have, as far as its beginning is counted."""
        return self._generation.max_tokens - self._begun

    def _at_stop(self, before: str, row: Row) -> bool:
        place = None if row.ended else stop_start(before, row.text, self._generation.stop)
        if place is not None:
            row.end(place, "stop")
        return row.ended

    def _draw(
        self, text: str, rows: int, end: Callable[[Row], None], asked: Mapping[str, Any]
    ) -> list[Row]:
        """Draws ``rows`` continuations of ``text``.

        Args:
            text: The answer so far.
            rows: How many.
            end: Is called with a row that has grown; ends it where it ends.
            asked: What the request has beside the messages.
        """
        if text and self._prompt is None:
            # One token, to have the prompt counted; the server then has it in its cache.
            asked_first = {"temperature": 0.0, "max_tokens": 1}
            self._follow("", Rows(1), lambda row: _by_the_server(row, 1), asked_first)
        drawn = Rows(rows)
        self._follow(text, drawn, end, asked)
        drawn.check()
        return drawn.rows

    def _follow(
        self, text: str, drawn: Rows, end: Callable[[Row], None], asked: Mapping[str, Any]
    ) -> None:
        body = {**_NEUTRAL, **self._going_on(text), **asked}
        if self._generation.stop:
            body["stop"] = list(self._generation.stop)
        try:
            with closing(self._server.stream(body, secret=text)) as events:
                for event in events:
                    grown = drawn.take(event)
                    self._measure(text, drawn)
                    for row in grown:
                        if not row.ended:
                            end(row)
                    # Where the server has ended all, the last counts are still to come.
                    if drawn.ended and not drawn.told:
                        break
        finally:
            counts.add("output_tokens", drawn.tokens)
        if not drawn.ended:
            raise broken_off()

    def _going_on(self, text: str) -> dict[str, Any]:
        if not text:
            return {"messages": self._messages}
        return {
            "messages": [*self._messages, {"role": "assistant", "content": text}],
            "continue_final_message": True,
            "add_generation_prompt": False,
        }

    def _measure(self, text: str, drawn: Rows) -> None:
        """Learns from the prompt's tokens how long the answer so far is."""
        if drawn.prompt_tokens is None:
            return
        if not text and self._prompt is None:
            self._prompt = drawn.prompt_tokens
            counts.add("input_tokens", self._prompt)
        if not text or self._prompt is None:
            return
        self._begun = max(drawn.prompt_tokens - self._prompt, 0)
        if self._room < 1 and self._sentence == 1:
            raise EngineError(
                f"There is no room for an answer: its beginning has {self._begun} tokens,"
                f" max_tokens is {self._generation.max_tokens}.",
                hint="Raise max_tokens.",
            )


def _by_the_server(row: Row, room: int, limit: int | None = None) -> None:
    """Ends a row that the server has ended, or that has used up its room.

    Args:
        row: Is ended.
        room: Tokens that the answer may still have.
        limit: Most tokens of a sentence, if the answer may go on after it.
    """
    if row.ended:
        return
    if row.told not in (None, "length"):
        whole = limit is not None and not row.at_stop_text and is_whole_sentence(row.text)
        row.end(None, None if whole else "stop")
    elif row.drawn >= room:
        row.end(None, "length")
    elif row.told:
        # Short of the limit, it is the model's context that is full.
        row.end(None, "length" if limit is None or row.drawn < limit else None)
