"""LocalSession: one request in a ``LocalEngine``."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import ToolCall
from transformers import LogitsProcessor

from eta_guard import counts
from eta_guard.context_length import ContextLengthError
from eta_guard.engines.local.batch_reader import BatchReader
from eta_guard.engines.local.running_model import RunningModel
from eta_guard.engines.local.sampling import PLAIN_ANSWER
from eta_guard.engines.local.stopping import RowEnd, RowEnds
from eta_guard.engines.local.tool_calls import read_calls
from eta_guard.engines.local.tree_reader import TreeReader
from eta_guard.errors import EngineError, NoRoomError
from eta_guard.protocols import Candidate, Completion, Generation, Sampling, Watch
from eta_guard.text.following import Follower

BYTES_OF_A_CHARACTER = 4
"""At most, in UTF-8, and so the tokens of one where a tokenizer has bytes alone for it."""


class LocalSession:
    """A prompt that is read once, and the answers that go on from it."""

    def __init__(
        self,
        running: RunningModel,
        reader: TreeReader | BatchReader,
        prompt: list[int],
        generation: Generation,
    ) -> None:
        """Nothing is computed yet.

        Args:
            running: The model.
            reader: Reads the prompt when it is wanted, and draws what goes on from it.
            prompt: Its ids.
            generation: The caller's settings.
        """
        self._running, self._reader = running, reader
        self._prompt, self._generation = prompt, generation
        self._begun = False
        self._prefix, self._prefix_ids = "", list[int]()
        self._accepted: list[int] = []
        self._sentence = 1
        self._prefilled = False
        self._proposed: list[tuple[RowEnd, list[int]]] = []
        self._aside: RowEnds | None = None
        self._follower: Follower | None = None

    def begin_answer(self, watch: Watch | None = None) -> None:
        """Begins the plain answer, drawn in the same steps as the candidates where that goes."""
        room = self._room([])
        self._count_prompt()
        # A call of a tool is told from text at its end: until then nothing is told.
        told = watch if watch and not self._generation.tools else None
        self._follower = Follower(told, self._generation) if told else None
        self._aside = self._ends([], 1, at_sentences=False, follower=self._follower)
        sampler = self._sampler([], 1, room, None)
        self._reader.begin_aside(self._prompt, limit=room, sampler=sampler, ends=self._aside)

    @property
    def answered(self) -> bool:
        """Whether the plain answer that was begun has come to its end."""
        return self._reader.ended_aside

    def answer(self, watch: Watch | None = None) -> Completion:
        """The plain answer, greedy unless the caller asked for a temperature."""
        if self._aside is None:
            self.begin_answer(watch)
        assert self._aside is not None
        ends, self._aside = self._aside, None
        ((end, ids),) = self._found(ends, self._reader.finish_aside(), final=True)
        text = end.text.strip()
        if self._follower:
            self._follower.finish(text)
        finish_reason = end.finish_reason or "length"
        if found := self._calls(ids):
            return Completion(found[0], finish_reason, found[1])
        if watch and self._generation.tools:
            watch(text)
        return Completion(text, finish_reason)

    def _calls(self, ids: list[int]) -> tuple[str, tuple[ToolCall, ...]] | None:
        tools, tokenizer = self._generation.tools, self._running.processor.tokenizer
        if not tools:
            return None
        written = self._generation.cut(tokenizer.decode(ids, skip_special_tokens=False))
        return read_calls(tokenizer, written, ids, self._prompt, tools)

    def prefill(self, prefix: str, accepted: Sequence[Candidate] = ()) -> None:
        """Begins an answer with the prefix, then with the accepted sentences as they were drawn."""
        self._prefix, self._prefix_ids = prefix, self._running.encode(prefix) if prefix else []
        self._accepted = [token for candidate in accepted for token in candidate.token_ids]
        self._sentence = len(accepted) + 1
        self._prefilled = True
        self._count_prompt()
        self._reader.restart()

    def propose(self, n: int, sampling: Sampling) -> list[Candidate]:
        """Draws ``n`` next sentences as one batch."""
        self._require_prefill()
        room = self._room(self._before)
        limit = min(room, sampling.max_sentence_tokens * BYTES_OF_A_CHARACTER)
        self._proposed = self._draw(self._before, n, limit=limit, sampling=sampling)
        return [
            Candidate(
                end.text,
                tuple(ids),
                end.finish_reason or ("length" if len(ids) >= room else None),
            )
            for end, ids in self._proposed
        ]

    def accept(self, index: int) -> None:
        """Keeps a candidate, and of the cache what belongs to it."""
        ids = self._proposed[index][1]
        self._reader.keep(index, len(ids))
        self._accepted += ids
        self._sentence += 1
        self._proposed = []

    def finish(self) -> Completion:
        """Continues the accepted text to its end."""
        self._require_prefill()
        before = self._before
        ((end, _),) = self._draw(before, 1, limit=self._room(before))
        decode = self._running.decode
        begun = self._prefix + decode(before)[len(decode(self._prefix_ids)) :]
        text = self._generation.cut(begun + end.text)
        return Completion(text.strip(), end.finish_reason or "length")

    def _require_prefill(self) -> None:
        if not self._prefilled:
            raise EngineError("No aligned answer has been begun.", hint="Call prefill() first.")

    @property
    def _before(self) -> list[int]:
        return self._prefix_ids + self._accepted

    def _count_prompt(self) -> None:
        if not self._begun:
            counts.add("input_tokens", len(self._prompt))
            self._begun = True

    def _room(self, before: list[int]) -> int:
        """How many tokens the answer may still have.

        Raises:
            ContextLengthError: The prompt leaves none in the model's context.
            NoRoomError: None within ``max_tokens``, or after the answer so far.
        """
        budget, context = self._generation.max_tokens, self._running.context
        over = len(self._prompt) + 1 - context
        if over > 0:
            raise ContextLengthError(
                f"The conversation is {over} tokens too long: the prompt has {len(self._prompt)},"
                f" the model holds {context}.",
                hint="Shorten the conversation.",
            )
        room = min(budget, context - len(self._prompt)) - len(before)
        if room < 1:
            raise NoRoomError(
                f"There is no room for an answer: the prompt has {len(self._prompt)} tokens, the"
                f" answer so far {len(before)}, the model holds {context}, max_tokens is {budget}.",
                hint="Shorten the conversation, or raise max_tokens.",
            )
        return room

    def _draw(
        self, before: list[int], rows: int, *, limit: int, sampling: Sampling | None = None
    ) -> list[tuple[RowEnd, list[int]]]:
        """Draws ``rows`` continuations of what is ``before``: how each ended, and its ids.

        With ``sampling`` they are sentences of the search; without, they go to the answer's end.
        """
        at_sentences, most = sampling is not None, None
        if sampling and sampling.max_sentence_tokens < limit:  # otherwise the budget cuts
            most = sampling.max_sentence_tokens
        ends = self._ends(before, rows, at_sentences=at_sentences, most=most)
        sampler = self._sampler(before, rows, limit, sampling)
        ids = self._prompt + before
        drawn = self._reader.draw(ids, rows, limit=limit, sampler=sampler, ends=ends)
        spent = len(before) + limit >= self._generation.max_tokens
        return self._found(ends, drawn, final=spent or sampling is None)

    def _sampler(
        self, before: list[int], rows: int, limit: int, sampling: Sampling | None
    ) -> LogitsProcessor | None:
        return self._running.sampler(
            self._generation,
            sentence=self._sentence if sampling else PLAIN_ANSWER,
            rows=rows,
            steps=limit,
            start=len(self._prompt) + len(before),
            sampling=sampling,
        )

    def _ends(
        self,
        before: list[int],
        rows: int,
        *,
        at_sentences: bool,
        most: int | None = None,
        follower: Follower | None = None,
    ) -> RowEnds:
        return RowEnds(
            self._running.decode,
            before=before,
            start=len(self._prompt) + len(before),
            rows=rows,
            end_tokens=self._running.end_tokens,
            stop=self._generation.stop,
            at_sentences=at_sentences,
            most=most,
            follower=follower,
        )

    def _found(
        self, ends: RowEnds, drawn: list[list[int]], *, final: bool
    ) -> list[tuple[RowEnd, list[int]]]:
        found = [
            ends.ends[row] or ends.cut(tokens, final=final) for row, tokens in enumerate(drawn)
        ]
        counts.add("output_tokens", sum(end.drawn for end in found))
        return [(end, tokens[: end.kept]) for end, tokens in zip(found, drawn, strict=True)]
