"""ChatModelSession: one request to a chat model, asked synchronously or asynchronously."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.utils import message_chunk_to_message
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ContextThreadPoolExecutor
from langgraph.errors import GraphBubbleUp

from eta_guard.counts import add
from eta_guard.engines.chat_model.answers import completion, finish_reason
from eta_guard.engines.chat_model.asking import Asking
from eta_guard.engines.chat_model.messages import as_read, continuation, plainly
from eta_guard.engines.chat_model.settings import asked_with
from eta_guard.engines.seeds import PART_SIZE, seed_of
from eta_guard.errors import EngineError
from eta_guard.protocols import Candidate, Completion, Generation, Sampling, Show, Watch
from eta_guard.request.conversation import Conversation
from eta_guard.runs.apart import aapart, apart

logger = logging.getLogger(__name__)

HIGHEST_TEMPERATURE = 1.0
"""Of candidates. Some providers accept no higher one, and without a top-k, which few of them have,
whole answers go astray above it."""


@dataclass(frozen=True)
class Asked:
    """The model as a session asks it, made for the settings of each call."""

    answering: Callable[[Mapping[str, Any]], Asking]
    """As it gives the plain answer."""
    repairing: Callable[[Mapping[str, Any]], Asking]
    """As it is asked for text alone."""


@dataclass(frozen=True)
class _Call:
    """One thing to ask of the model."""

    model: Asking
    messages: list[BaseMessage]


class ChatModelSession:
    """One request to a chat model."""

    def __init__(self, model: Asked, conversation: Conversation, generation: Generation) -> None:
        self.part_size = PART_SIZE
        self._model = model
        self._conversation = conversation
        self._generation = generation
        self._text = ""
        self._sentence = 1
        self._proposed: list[Candidate] = []
        self._failures: list[Exception] = []
        self.begun = ""
        """What came of the plain answer so far, if it came in chunks: no error may quote it."""

    def __repr__(self) -> str:
        return "<ChatModelSession: withheld>"

    def answer(self, watch: Watch | None = None) -> Completion:
        """The plain answer, in one call; whole as it comes, it leaves ``watch`` nothing to do."""
        return self._answered(apart(lambda config: self._ask(self._plain(), config)))

    async def aanswer(self, watch: Watch | None = None) -> Completion:
        """Does as ``answer``."""
        return self._answered(await aapart(lambda config: self._aask(self._plain(), config)))

    def answer_in_chunks(self, show: Show) -> Completion:
        """The plain answer, each chunk of which is shown as it comes."""

        def stream(config: RunnableConfig) -> AIMessage:
            call, whole = self._plain(), _Whole(self, show)
            for chunk in call.model.stream(call.messages, config, **self._stops()):
                whole.add(chunk)
            return whole.message

        return self._answered(apart(stream))

    async def aanswer_in_chunks(self, show: Show) -> Completion:
        """Does as ``answer_in_chunks``."""

        async def stream(config: RunnableConfig) -> AIMessage:
            call, whole = self._plain(), _Whole(self, show)
            async for chunk in call.model.astream(call.messages, config, **self._stops()):
                whole.add(chunk)
            return whole.message

        return self._answered(await aapart(stream))

    def prefill(self, prefix: str, accepted: Sequence[Candidate] = ()) -> None:
        """Begins an answer; the model is told of it when it is asked to go on."""
        self._text = prefix + "".join(candidate.text for candidate in accepted)
        self._sentence = len(accepted) + 1

    def propose(self, n: int, sampling: Sampling) -> list[Candidate]:
        """Asks for ``n`` whole answers at once; each of them ends the search.

        One that fails leaves the others.
        """
        return self.propose_part(range(n), n, sampling)

    async def apropose(self, n: int, sampling: Sampling) -> list[Candidate]:
        """Does as ``propose``."""
        return await self.apropose_part(range(n), n, sampling)

    def propose_part(self, part: range, n: int, sampling: Sampling) -> list[Candidate]:
        """Asks for some of them at once."""
        calls = self._candidates(part, sampling)

        def ask_all(config: RunnableConfig) -> list[AIMessage | BaseException]:
            with ContextThreadPoolExecutor(len(calls)) as pool:
                return list(pool.map(lambda call: self._tried(call, config), calls))

        return self._propose(apart(ask_all), last=part.stop >= n)

    async def apropose_part(self, part: range, n: int, sampling: Sampling) -> list[Candidate]:
        """Does as ``propose_part``."""
        calls = self._candidates(part, sampling)

        async def ask_all(config: RunnableConfig) -> list[AIMessage | BaseException]:
            asking = (self._aask(call, config) for call in calls)
            return await asyncio.gather(*asking, return_exceptions=True)

        return self._propose(await aapart(ask_all), last=part.stop >= n)

    def accept(self, index: int) -> None:
        """Keeps a candidate."""
        self._text += self._proposed[index].text
        self._sentence += 1

    def finish(self) -> Completion:
        """Asks for one answer that begins with the text so far."""
        return self._finished(apart(lambda config: self._ask(self._repair(), config)))

    async def afinish(self) -> Completion:
        """Does as ``finish``."""
        return self._finished(await aapart(lambda config: self._aask(self._repair(), config)))

    def _plain(self) -> _Call:
        model = self._model.answering(asked_with(self._generation))
        return _Call(model, as_read(self._conversation))

    def _repair(self, **drawn: float) -> _Call:
        model = self._model.repairing({**asked_with(self._generation), **drawn})
        return _Call(model, plainly(self._conversation, self._text))

    def _candidates(self, part: range, sampling: Sampling) -> list[_Call]:
        if not part.start:
            self._proposed, self._failures = [], []
        temperature = min(sampling.temperature, HIGHEST_TEMPERATURE)
        seeds = [seed_of(self._generation.seed, self._sentence, number) for number in part]
        return [self._repair(temperature=temperature, seed=seed) for seed in seeds]

    def _stops(self) -> dict[str, Any]:
        stop = list(self._generation.stop)
        return {"stop": stop} if stop else {}

    def _ask(self, call: _Call, config: RunnableConfig) -> AIMessage:
        return call.model.invoke(call.messages, config, **self._stops())

    async def _aask(self, call: _Call, config: RunnableConfig) -> AIMessage:
        return await call.model.ainvoke(call.messages, config, **self._stops())

    def _tried(self, call: _Call, config: RunnableConfig) -> AIMessage | BaseException:
        try:
            return self._ask(call, config)
        except BaseException as error:  # told apart where all are there
            return error

    def _answered(self, message: AIMessage) -> Completion:
        _spend(message)
        return completion(message, self._generation)

    def _propose(
        self, answers: Sequence[AIMessage | BaseException], *, last: bool
    ) -> list[Candidate]:
        """What came of some calls; fails only where none of the sentence's did any good."""
        for error in (answer for answer in answers if isinstance(answer, BaseException)):
            if isinstance(error, GraphBubbleUp) or not isinstance(error, Exception):
                raise error
            logger.warning("A candidate failed with %s.", type(error).__name__)
            add("failed_candidates")
            self._failures.append(error)
        found: list[Candidate] = []
        for answer in answers:
            if isinstance(answer, BaseException):
                continue
            _spend(answer)
            text = continuation(self._text, str(answer.text))
            found.append(Candidate(text, (), finish_reason(answer)))
        self._proposed += found
        if last:
            self._check_proposed()
        return found

    def _check_proposed(self) -> None:
        if not self._proposed:
            raise (
                self._failures[0]
                if self._failures
                else EngineError("No candidate was asked for.", hint="Ask for one at least.")
            )
        if len(self._proposed) > 1 and len({one.text for one in self._proposed}) == 1:
            logger.warning(
                "All %d candidates are the same; the model may take neither temperature nor seed.",
                len(self._proposed),
            )

    def _finished(self, message: AIMessage) -> Completion:
        _spend(message)
        text = self._text + continuation(self._text, str(message.text))
        return Completion(self._generation.cut(text), finish_reason(message))


class _Whole:
    """An answer that comes in chunks."""

    def __init__(self, session: ChatModelSession, show: Show) -> None:
        self._session, self._show = session, show
        self._sum: AIMessageChunk | None = None

    def add(self, chunk: Any) -> None:
        if not isinstance(chunk, AIMessageChunk):  # of a model that gives its message whole
            told = chunk.model_dump(exclude={"type", "tool_calls", "invalid_tool_calls"})
            chunk = AIMessageChunk(**told, tool_calls=chunk.tool_calls)
        self._sum = chunk if self._sum is None else self._sum + chunk
        self._session.begun = str(self._sum.text)
        self._show(chunk)

    @property
    def message(self) -> AIMessage:
        if self._sum is None:
            raise EngineError("The model's stream is empty.", hint="Ask it without streaming.")
        found = message_chunk_to_message(self._sum)
        assert isinstance(found, AIMessage)
        return found


def _spend(message: AIMessage) -> None:
    spent = message.usage_metadata
    if spent is not None:
        add("input_tokens", spent["input_tokens"])
        add("output_tokens", spent["output_tokens"])
