"""VllmSession: one request in a ``VllmEngine``, asked synchronously or asynchronously."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eta_guard import counts
from eta_guard.context_length import ContextLengthError
from eta_guard.engines.seeds import PART_SIZE, seed_of
from eta_guard.engines.vllm.asking import Asking, Prompt
from eta_guard.engines.vllm.drawing import Drawing, end_by_the_server
from eta_guard.engines.vllm.stream import Row, Rows
from eta_guard.errors import NoRoomError
from eta_guard.protocols import Candidate, Completion, Generation, Sampling, Watch
from eta_guard.steps import Steps, adrive, drive
from eta_guard.text.following import Follower, sentence_end, stop_start

# What a request leaves out, the server takes from the model's generation_config.
_NEUTRAL = {
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}


class VllmSession:
    """A conversation, and the answers that go on from it.

    The budget is kept by the server's counts: the tokens of the text so far are those that it adds
    to the prompt. A server that sends several tokens at once may go beyond it by these.
    """

    def __init__(self, asking: Asking, generation: Generation) -> None:
        """Asks nothing yet.

        Args:
            asking: Asks the server about one conversation.
            generation: The caller's settings.
        """
        self.part_size = PART_SIZE
        self._asking, self._generation = asking, generation
        self._text, self._sentence = "", 1
        self._counted = False
        self._prompt: int | None = None  # tokens, without any answer
        self._begun = 0  # tokens of the text so far, as far as they are known
        self._proposed: list[Candidate] = []

    def __repr__(self) -> str:
        return "<VllmSession: withheld>"

    def answer(self, watch: Watch | None = None) -> Completion:
        """The plain answer, greedy unless the caller asked for a temperature."""
        return drive(self._answer(watch))

    async def aanswer(self, watch: Watch | None = None) -> Completion:
        """Does as ``answer``."""
        return await adrive(self._answer(watch))

    def prefill(self, prefix: str, accepted: Sequence[Candidate] = ()) -> None:
        """Begins an answer; the server is told of it when it is asked to go on."""
        self._text = prefix + "".join(candidate.text for candidate in accepted)
        self._sentence, self._begun = len(accepted) + 1, 0

    async def aprefill(self, prefix: str, accepted: Sequence[Candidate] = ()) -> None:
        """Does as ``prefill``."""
        self.prefill(prefix, accepted)

    def propose(self, n: int, sampling: Sampling) -> list[Candidate]:
        """Draws ``n`` next sentences in one request."""
        return drive(self._propose(range(n), sampling))

    async def apropose(self, n: int, sampling: Sampling) -> list[Candidate]:
        """Does as ``propose``."""
        return await adrive(self._propose(range(n), sampling))

    def propose_part(self, part: range, n: int, sampling: Sampling) -> list[Candidate]:
        """Draws some of them in one request."""
        return drive(self._propose(part, sampling))

    async def apropose_part(self, part: range, n: int, sampling: Sampling) -> list[Candidate]:
        """Does as ``propose_part``."""
        return await adrive(self._propose(part, sampling))

    def accept(self, index: int) -> None:
        """Keeps a candidate."""
        self._text += self._proposed[index].text
        self._sentence += 1
        self._proposed = []

    async def aaccept(self, index: int) -> None:
        """Does as ``accept``."""
        self.accept(index)

    def finish(self) -> Completion:
        """Continues the accepted text to its end."""
        return drive(self._finish())

    async def afinish(self) -> Completion:
        """Does as ``finish``."""
        return await adrive(self._finish())

    def _answer(self, watch: Watch | None) -> Steps[Completion]:
        follower = Follower(watch, self._generation) if watch else None
        tools = self._generation.tools

        def end(row: Row) -> None:
            if not self._at_stop("", row) and follower and follower.stops(row.text):
                row.end(None, "stop")
            end_by_the_server(row, self._room)

        asked = {**self._plainly, "max_tokens": self._generation.max_tokens}
        if tools:
            asked |= {"tools": list(tools), "tool_choice": "auto"}
        (row,) = yield from self._draw("", 1, end, asked, watched=watch is not None)
        calls, words = row.calls.read(tools)
        text = "\n".join(filter(None, (row.text.strip(), words)))
        if follower:
            follower.finish(text)
        return Completion(text, row.finish_reason or "length", calls)

    def _propose(self, part: range, sampling: Sampling) -> Steps[list[Candidate]]:
        text, limit = self._text, min(max(self._room, 1), sampling.max_sentence_tokens)

        def end(row: Row) -> None:
            if not self._at_stop(text, row) and (at := sentence_end(row.text)) is not None:
                row.end(at, None)
            end_by_the_server(row, self._room, limit)

        asked = {
            "n": len(part),
            "max_tokens": limit,
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            # To the choice i of a request the server gives this + i.
            "seed": seed_of(self._generation.seed, self._sentence) + part.start,
        }
        rows = yield from self._draw(text, len(part), end, asked)
        # A template may trim the end of what it is given: white space there is drawn once more.
        found = [Candidate(row.text.rstrip(), (), row.finish_reason) for row in rows]
        self._proposed = [*self._proposed, *found] if part.start else found
        return found

    def _finish(self) -> Steps[Completion]:
        text = self._text

        def end(row: Row) -> None:
            self._at_stop(text, row)
            end_by_the_server(row, self._room)

        asked = {**self._plainly, "max_tokens": max(self._room, 1)}
        (row,) = yield from self._draw(text, 1, end, asked)
        whole = self._generation.cut(text + row.text)
        return Completion(whole.strip(), row.finish_reason or "length")

    @property
    def _plainly(self) -> dict[str, Any]:
        """How an answer without a search is drawn."""
        drawn = {"seed": seed_of(self._generation.seed, 0)} if self._generation.temperature else {}
        return {"temperature": self._generation.temperature, **drawn}

    @property
    def _room(self) -> int:
        """How many tokens the answer may still have, as far as its beginning is counted.

        Where the context is full, it is the server that ends it.
        """
        return self._generation.max_tokens - self._begun

    def _at_stop(self, before: str, row: Row) -> bool:
        place = None if row.ended else stop_start(before, row.text, self._generation.stop)
        if place is not None:
            row.end(place, "stop")
        return row.ended

    def _draw(
        self,
        text: str,
        rows: int,
        end: Callable[[Row], None],
        asked: Mapping[str, Any],
        *,
        watched: bool = False,
    ) -> Steps[list[Row]]:
        """Draws ``rows`` continuations of ``text``.

        Args:
            text: The answer so far.
            rows: How many.
            end: Is called with a row that has grown; ends it where it ends.
            asked: What the request has beside the messages.
            watched: Whether ``end`` may take long.
        """
        if text and self._prompt is None:
            # One token, to have the prompt counted; the server then has it in its cache.
            asked_first = {"temperature": 0.0, "max_tokens": 1}
            yield from self._follow("", 1, lambda row: end_by_the_server(row, 1), asked_first)
        drawing = yield from self._follow(text, rows, end, asked, watched=watched)
        return drawing.rows.rows

    def _follow(
        self,
        text: str,
        rows: int,
        end: Callable[[Row], None],
        asked: Mapping[str, Any],
        *,
        watched: bool = False,
    ) -> Steps[Drawing]:
        settings = {**_NEUTRAL, **asked}
        if self._generation.stop:
            settings["stop"] = list(self._generation.stop)
        if self._generation.tools and "tools" not in settings:
            # Only the plain answer calls, but what precedes it stays what the server has read.
            settings |= {"tools": list(self._generation.tools), "tool_choice": "none"}
        # A server may leave the tools out of a prompt that is not to call any.
        plain = settings.get("tool_choice") != "auto"

        def drawing(body: Mapping[str, Any]) -> Drawing:
            return Drawing(
                body,
                Rows(rows),
                end,
                lambda drawn: self._measure(text, drawn, plain),
                secret=text,
                waits=watched,
            )

        prompt = Prompt(text, self._prompt, self._begun)
        try:
            found = yield from self._asking.draw(prompt, settings, drawing)
        except ContextLengthError:
            if self._sentence == 1:
                raise
            # Sentences that were accepted have filled the context: the answer is over.
            found = drawing({})
            for row in found.rows.rows:
                row.end(None, "length")
        found.require_ended()
        return found

    def _measure(self, text: str, drawn: Rows, plain: bool) -> None:
        """Learns from the prompt's tokens how long the answer so far is."""
        if drawn.prompt_tokens is None:
            return
        if not text and not self._counted:
            self._counted = True
            counts.add("input_tokens", drawn.prompt_tokens)
        if not text and plain and self._prompt is None:
            self._prompt = drawn.prompt_tokens
        if not text or self._prompt is None:
            return
        self._begun = max(drawn.prompt_tokens - self._prompt, 0)
        if self._room < 1 and self._sentence == 1:
            raise NoRoomError(
                f"There is no room for an answer: its beginning has {self._begun} tokens,"
                f" max_tokens is {self._generation.max_tokens}.",
                hint="Raise max_tokens.",
            )
