"""What the guard asks of an engine, which runs the chat model.

Objects that carry text which may be unsafe (drafts, candidates) keep it out of their ``repr``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, runtime_checkable

from langchain_core.messages import AIMessage, AIMessageChunk, ToolCall
from PIL.Image import Image

from eta_guard.errors import InputError
from eta_guard.request.conversation import Conversation

FinishReason = Literal["stop", "length"]

Watch = Callable[[str], bool]
"""Called with the text of an answer so far, each time it has grown; True ends the answer there."""

Show = Callable[[AIMessageChunk], None]
"""Called with each chunk of an answer that goes out whatever it says."""


@dataclass(frozen=True)
class Generation:
    """How an answer is drawn where no search is on: the caller's settings, not the policy's."""

    max_tokens: int = 1024
    """Most tokens of the whole answer, interference prefix and searched sentences included."""
    temperature: float = 0.0
    """0 is greedy; above, the softmax temperature over the whole vocabulary."""
    stop: tuple[str, ...] = ()
    """Texts before which the answer is cut."""
    seed: int = 0
    """Every random draw is a function of seed, sentence, candidate and step."""
    tools: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    """Tools that the plain answer may call, as OpenAI describes them."""
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Keyword arguments of the call as they were made, for an engine that passes them on with its
    plain answer; ``max_tokens`` among them is never more than that of the whole."""

    def cut(self, text: str) -> str:
        """The text up to where the first stop text begins."""
        places = [place for place in (text.find(stop) for stop in self.stop) if place >= 0]
        return text[: min(places)] if places else text

    def settled(self, text: str) -> str:
        """The text without an end that may turn out to be the beginning of a stop text."""
        begun = (stop[:length] for stop in self.stop for length in range(1, len(stop)))
        waiting = max((len(part) for part in begun if text.endswith(part)), default=0)
        return text[: len(text) - waiting]

    def for_call(self, stop: Sequence[str] | None, settings: Mapping[str, Any]) -> Generation:
        """These settings with those of one LangChain call in their place.

        Args:
            stop: The call's stop texts.
            settings: The call's keyword arguments; ``max_tokens`` (which can only lower the
                limit), ``temperature``, ``seed`` and ``tools`` are read.

        Raises:
            InputError: A setting is out of range.
        """
        given: dict[str, Any] = {}
        for name, lowest in (("max_tokens", 1), ("temperature", 0), ("seed", 0)):
            value = settings.get(name)
            if value is None:
                continue
            whole = isinstance(value, int) and not isinstance(value, bool)
            known = whole or (name == "temperature" and isinstance(value, float))
            if not known or not lowest <= value < math.inf:
                kind = "number" if name == "temperature" else "whole number"
                raise InputError(
                    f"{name} = {value!r} is not valid.", hint=f"Pass a {kind} >= {lowest}."
                )
            given[name] = value
        if "max_tokens" in given:
            given["max_tokens"] = min(given["max_tokens"], self.max_tokens)
        if settings.get("tools"):
            given["tools"] = tuple(settings["tools"])
        return replace(self, stop=tuple(stop or self.stop), **given)


@dataclass(frozen=True)
class Sampling:
    """How the candidates of one sentence are drawn."""

    top_k: int
    """Candidates are drawn from so many of the most likely tokens."""
    temperature: float
    """Of the softmax, above 0."""
    max_sentence_tokens: int
    """Most tokens of a candidate; one without an end by then is cut there. An engine that sees the
    tokens' texts may count characters instead where a character takes several tokens: such a
    candidate has more tokens, and at most so many characters. ``LocalEngine`` does; a server, or a
    provider, counts tokens alone."""


@dataclass(frozen=True)
class Completion:
    """An answer, from its first character (the prefix included) to its end."""

    text: str = field(repr=False)
    finish_reason: FinishReason
    tool_calls: tuple[ToolCall, ...] = field(default=(), repr=False)
    """Calls of tools that come with the text. They are evaluated like it, and never searched."""
    message: AIMessage | None = field(default=None, repr=False)
    """The answer as a chat model sent it, for an engine that asks one: what passes goes out as it
    came, with all that providers put beside text and calls."""
    beside: tuple[str, ...] = field(default=(), repr=False)
    """What else the model wrote in ``message``: reasoning, calls that cannot be parsed, calls of
    the provider's own tools. It goes out with the text, so it is evaluated like it."""
    pictures: tuple[Image, ...] = field(default=(), repr=False)
    """Pictures that the answer shows, as the evaluators of images take them. They are evaluated
    like those of the user."""
    unread: str | None = None
    """Why something that it may show could not be read; what cannot be evaluated is not safe."""
    refused: bool = False
    """A provider refused, in its own form; nothing of it needs to be repaired."""

    @property
    def evaluated(self) -> tuple[str, ...]:
        """The texts that must each be safe for the answer to be: what it says, and each call."""
        calls = tuple(
            json.dumps({"name": call["name"], "args": call["args"]}, ensure_ascii=False)
            for call in self.tool_calls
        )
        others = (*calls, *self.beside)
        return others if others and not self.text.strip() else (self.text, *others)


@dataclass(frozen=True)
class Candidate:
    """One continuation of the accepted text by at most a sentence.

    ``accepted text + candidate.text`` is the text so far, spacing included.
    """

    text: str = field(repr=False)
    token_ids: tuple[int, ...] = field(repr=False)
    """What an engine needs to take the candidate up again; empty where it works on text."""
    finish_reason: FinishReason | None
    """Why the answer is over after this candidate (``"length"``: budget spent); None where it may
    go on."""


class EngineSession(Protocol):
    """One request in an engine: a prompt that is read once and answered in more than one way."""

    def answer(self, watch: Watch | None = None) -> Completion:
        """The plain answer, as the model would give it without a guard.

        Args:
            watch: Follows the text as it is drawn; its last call has the whole of it. An engine
                that gets answers whole never calls it. Each text begins with the one before.
        """
        ...

    def prefill(self, prefix: str, accepted: Sequence[Candidate] = ()) -> None:
        """Begins an answer with ``prefix`` (may be empty), then with ``accepted`` as they stand.

        ``accepted`` takes a search up again that another session began.
        """
        ...

    def propose(self, n: int, sampling: Sampling) -> list[Candidate]:
        """Draws ``n`` next sentences after the accepted text, in a fixed order."""
        ...

    def accept(self, index: int) -> None:
        """Keeps candidate ``index`` of the last proposal and drops the others."""
        ...

    def finish(self) -> Completion:
        """Continues the accepted text to its end without a search."""
        ...


@runtime_checkable
class AnswersInChunks(Protocol):
    """What an ``EngineSession`` also has if it is sent its answers in chunks of messages.

    They say more than the text of which a ``Watch`` is told: reasoning, calls, citations.
    """

    def answer_in_chunks(self, show: Show) -> Completion:
        """The plain answer, each chunk of which is shown as it comes."""
        ...

    async def aanswer_in_chunks(self, show: Show) -> Completion:
        """Does as ``answer_in_chunks``."""
        ...


@runtime_checkable
class ScalesPictures(Protocol):
    """What an ``Engine`` also has if it knows to which size it scales pictures.

    A picture may show something else once it is scaled down; evaluators that look at several views
    are then told of the size.
    """

    @property
    def picture_sides(self) -> tuple[int, ...] | None:
        """To which the shorter side of a picture is scaled, in pixels; None where that varies."""
        ...


@runtime_checkable
class AnswersAlongside(Protocol):
    """What an ``EngineSession`` also has if it can draw two answers in the same steps."""

    def begin_answer(self) -> None:
        """Begins the plain answer, to be drawn in the steps of the proposals that follow.

        ``answer`` then draws what is left of it.
        """
        ...

    @property
    def answered(self) -> bool:
        """Whether the plain answer that was begun is whole."""
        ...


@runtime_checkable
class Engine(Protocol):
    """Runs the chat model. Safe to share between threads; a session belongs to one request.

    An engine that passes messages on to a provider, instead of showing its model the turns, says so
    by an attribute ``passes_messages_on = True``. Then blocks that only providers know may stand in
    them, as long as they carry nothing to be seen or heard; and a picture in which two decoders
    could see different things has a file that shows the pixels that were evaluated
    (``Picture.sent``).
    """

    @property
    def fingerprint(self) -> str:
        """Names the model and its weights, for the verdict."""
        ...

    def open(self, conversation: Conversation, generation: Generation) -> EngineSession:
        """Begins a request; nothing need be computed before the first answer or prefill."""
        ...
