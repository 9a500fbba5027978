"""GuardSession: what one request holds that must be neither stored nor shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig

from eta_guard.errors import DeadlineExceededError, ImageInputError
from eta_guard.panel.masking import MaskedPicture
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import (
    AnswersAlongside,
    AnswersInChunks,
    Candidate,
    Completion,
    Engine,
    EngineSession,
    Generation,
    ResponseEvaluator,
    ResponseSession,
    Watch,
)
from eta_guard.request.conversation import Conversation, Picture, read_conversation
from eta_guard.request.fetching import ImageFetcher
from eta_guard.request.masking import masked_conversation
from eta_guard.request.reading import AS_PIXELS, Reading
from eta_guard.runs.streaming import LiveReply, listened_to
from eta_guard.steps import Steps, ask

GENERATION_KEY = "eta_guard_generation"
"""Key of ``configurable`` under which ``EtaGuard`` hands a call's ``Generation`` to the graph."""


class GuardSession:
    """The pixels, the drafts and the candidates of one request.

    It travels in a channel that is never checkpointed, and neither ``repr``, ``vars`` nor pickling
    tell what it holds, so that no stream, trace or log shows a text that was not let out.
    Everything in it can be made again from the messages, the policy and the accepted sentences;
    nothing is computed before it is asked for.
    """

    # Without a __dict__ a serialiser that looks for one finds nothing.
    __slots__ = (
        "_aligned",
        "_draft",
        "_engine",
        "_masked_answer",
        "_opened",
        "_scores",
        "_stopped",
        "_timed",
        "conversation",
        "cut_short",
        "generation",
        "proposed",
        "reply",
        "shown",
    )

    def __init__(
        self,
        engine: Engine,
        messages: Sequence[BaseMessage],
        generation: Generation,
        reading: Reading = AS_PIXELS,
        *,
        timed: bool = False,
    ) -> None:
        """Reads the messages.

        Args:
            engine: Runs the chat model.
            messages: Of the request.
            generation: The caller's settings.
            reading: How they are read.
            timed: There is a limit to how long the request may take.

        Raises:
            InputError: They cannot be read.
        """
        self.conversation: Conversation = read_conversation(messages, reading)
        self.shown = self.conversation
        """What the chat model is shown now; evaluators are given the conversation."""
        self.proposed: list[tuple[str, ...]] = []
        self._scores: ResponseSession | None = None
        self._aligned: str | None = None
        self.generation = generation
        self.reply = LiveReply(generation)
        self._engine = engine
        self._opened: EngineSession | None = None
        self._draft: Completion | None = None
        self._masked_answer: Completion | None = None
        self._stopped: Completion | None = None
        self._timed = timed
        self.cut_short = False
        """The time was over before the plain answer was whole."""

    def __repr__(self) -> str:
        return "<GuardSession: withheld>"

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()

    def engine(self) -> Steps[EngineSession]:
        """The chat model's side of the request, opened where it is first asked for."""
        if self._opened is None:
            self._opened = yield from ask(self._engine.open, self.shown, self.generation)
        return self._opened

    def _engine_of_the_plain_answer(self) -> Steps[EngineSession]:
        if self.shown is self.conversation:
            return (yield from self.engine())
        return (yield from ask(self._engine.open, self.conversation, self.generation))

    def mask(self, pictures: Sequence[MaskedPicture]) -> None:
        """From here on the chat model is shown these pictures with parts of them covered."""
        self.shown = masked_conversation(
            self.conversation,
            {picture.image: picture.boxes for picture in pictures},
            passed_on=self._passes_messages_on,
        )
        self._opened = None

    def masked_answer(self) -> Steps[Completion]:
        """The answer to the covered pictures, in text alone, drawn when first asked for."""
        if self._masked_answer is None:
            engine = yield from self.engine()
            yield from ask(engine.prefill, "")
            self._masked_answer = yield from ask(engine.finish)
        return self._masked_answer

    @property
    def _passes_messages_on(self) -> bool:
        return bool(getattr(self._engine, "passes_messages_on", False))

    @property
    def may_call_tools(self) -> bool:
        """Whether the plain answer may; a provider's model may have tools that nobody told of."""
        return self._passes_messages_on or bool(self.generation.tools)

    def draft(self) -> Steps[Completion]:
        """The whole plain answer, drawn when first asked for; never one that was stopped."""
        if self._draft is None:
            self._draft = yield from self._answer()
        return self._draft

    def show_draft(self, config: RunnableConfig) -> Steps[Completion]:
        """The whole plain answer, which is shown as it is drawn to those who look."""
        if self._draft is None and listened_to(config):
            engine = yield from self.engine()
            # A stop text may still cut what comes in chunks.
            if isinstance(engine, AnswersInChunks) and not self.generation.stop:
                show = self.reply.passing_on(config)
                try:
                    self._draft = yield from ask(engine.answer_in_chunks, show)
                except DeadlineExceededError:  # to the letter: what was shown stands
                    self._draft = self._as_far_as(self.reply.shown)
            else:
                self._draft = yield from self._answer(self.reply.watch(config))
        return (yield from self.draft())

    def draw_draft(self, stop: Watch) -> Steps[Completion | None]:
        """Draws the plain answer, unless ``stop`` ends it early: returns what was drawn then.

        What was stopped is kept to be shown to those who may see it, and for nothing else.
        """
        stopped = False

        def watch(text: str) -> bool:
            nonlocal stopped
            stopped = stopped or stop(text)
            return stopped

        answer = yield from self._answer(watch)
        if stopped:
            self._stopped = answer
        else:
            self._draft = answer
        return self._stopped

    def _answer(self, watch: Watch | None = None) -> Steps[Completion]:
        """The plain answer; where the time is over, as far as it has come."""
        engine = yield from self._engine_of_the_plain_answer()
        if not self._timed:
            return (yield from ask(engine.answer, watch))
        seen = ""

        def follow(text: str) -> bool:
            nonlocal seen
            if self.cut_short:  # an engine that has not heard of it yet
                return True
            seen = text
            return watch is not None and watch(text)

        try:
            return (yield from ask(engine.answer, follow))
        except DeadlineExceededError:
            return self._as_far_as(self.generation.settled(self.generation.cut(seen)).strip())

    def _as_far_as(self, text: str) -> Completion:
        """An answer for whose end there was no time; raises again where there is nothing of it."""
        if not text.strip():
            raise DeadlineExceededError
        self.cut_short = True
        return Completion(text, "length")

    def begin_draft(self) -> Steps[bool]:
        """Has the plain answer drawn alongside the candidates, if the engine can do that."""
        engine = yield from self.engine()
        if isinstance(engine, AnswersAlongside):
            yield from ask(engine.begin_answer)
            return True
        return False

    @property
    def draft_is_whole(self) -> bool:
        """Whether the plain answer that is drawn alongside has come to its end."""
        return isinstance(self._opened, AnswersAlongside) and self._opened.answered

    @property
    def withheld_texts(self) -> list[str]:
        """Drafts and candidates, as far as they are known: what no error may quote."""
        begun = getattr(self._opened, "begun", "")
        drawn = self._draft or self._stopped
        candidates = [text for texts in self.proposed for text in texts]
        masked = self._masked_answer.evaluated if self._masked_answer else ()
        return [begun, *(drawn.evaluated if drawn else ()), *masked, *candidates]

    @property
    def drawn_draft(self) -> str | None:
        """The text of the plain answer if one was drawn, as far as it was."""
        drawn = self._draft or self._stopped
        return drawn.text if drawn else None

    @property
    def drawn_masked_answer(self) -> str | None:
        """The text of the answer to the covered pictures if one was drawn."""
        return self._masked_answer.text if self._masked_answer else None

    def picture(self, state: Mapping[str, Any]) -> Picture | None:
        """The image that counts, as the chat model is shown it: ``image`` in the state tells which.

        Nothing of which all is covered: black is no more like the one text than like another.
        """
        if state["image"] is None:
            return None
        # By its number: images within one nested block share message and block.
        number: int = state["images"].index(state["image"])
        picture = self.shown.pictures[number]
        covered = self.shown is not self.conversation and picture.pixels.getbbox() is None
        return None if covered else picture

    def align(self, prefix: str, accepted: Sequence[Candidate] = ()) -> Steps[None]:
        """Begins the aligned answer, or takes it up again after ``accepted``."""
        engine = yield from self.engine()
        yield from ask(engine.prefill, prefix, accepted)
        self._aligned = prefix + "".join(candidate.text for candidate in accepted)
        # What was proposed before a resume is not known any more; the rounds keep their places.
        self.proposed = [() for _ in accepted]

    @property
    def aligning(self) -> bool:
        """Whether the aligned answer has been begun in this session."""
        return self._aligned is not None

    def search_scores(self, evaluator: ResponseEvaluator, prompt: str) -> Steps[ResponseSession]:
        """Scores continuations of the aligned answer; opened at the first round."""
        if self._scores is None:
            scores = yield from self.scores_afresh(evaluator, prompt)
            yield from ask(scores.accept, self._aligned or "")
            self._scores = scores
        return self._scores

    def scores_afresh(self, evaluator: ResponseEvaluator, prompt: str) -> Steps[ResponseSession]:
        """Scores texts by themselves, after nothing."""
        pictures = [picture.pixels for picture in self.conversation.pictures]
        return (yield from ask(evaluator.open, prompt, self.conversation.question, pictures))

    def accept(self, index: int, candidate: Candidate) -> Steps[None]:
        """Keeps one candidate of the last round, in the engine and in the scores."""
        engine = yield from self.engine()
        yield from ask(engine.accept, index)
        if self._scores is not None:
            yield from ask(self._scores.accept, candidate.text)

    @classmethod
    def of(
        cls, state: Mapping[str, Any], engine: Engine, policy: GuardPolicy, config: RunnableConfig
    ) -> Steps[GuardSession]:
        """The request's session, made anew where a resumed run has lost it."""
        session = state.get("session")
        if isinstance(session, cls):
            return session
        generation = _generation(policy, config)
        reading = reading_of(
            policy,
            passed_on=getattr(engine, "passes_messages_on", False),
            keeping=policy.mode == "observe",
        )
        timed = policy.timeout is not None
        made = yield from ask(cls, engine, state["messages"], generation, reading, timed=timed)
        _require_the_same(made.conversation.pictures, state.get("images") or ())
        if masked := state.get("masked"):
            known = [MaskedPicture.model_validate(one) for one in masked["pictures"]]
            yield from ask(made.mask, known)
        if isinstance(state, dict):
            # For what is done with an error of this very node: it may quote what is drawn now.
            state["session"] = made
        return made


def digest(answer: Completion) -> str:
    """Tells an answer from others, by all of it that is evaluated, without telling it."""
    known = [answer.evaluated, answer.unread, answer.refused]
    found = hashlib.sha256(json.dumps(known).encode())
    for picture in answer.pictures:
        found.update(repr(picture.size).encode() + picture.tobytes())
    return found.hexdigest()


def reading_of(policy: GuardPolicy, *, passed_on: bool, keeping: bool) -> Reading:
    """How a policy has messages read.

    Args:
        policy: Of the run.
        passed_on: They go on to a provider.
        keeping: Nothing of them is changed: what cannot be read stays, and is unscored.
    """
    unreadable: Literal["raise", "omit", "keep"] = "raise"
    if keeping:
        # What the unguarded model would be sent is the provider's affair; a model at hand is shown
        # nothing that cannot be read, and fails like one without a guard.
        unreadable = "keep" if passed_on else "raise"
    elif policy.on_unreadable == "omit":
        unreadable = "omit"
    return Reading(
        passed_on=passed_on,
        unreadable=unreadable,
        last_turn_only=policy.hides_earlier_images,
        longest_side=policy.max_image_side,
        fetch=ImageFetcher(policy.image_hosts) if policy.image_hosts else None,
    )


def _require_the_same(pictures: Sequence[Picture], evaluated: Sequence[Mapping[str, Any]]) -> None:
    """What is fetched again for a run that is resumed must be what was evaluated."""
    for picture, found in zip(pictures, evaluated, strict=False):
        if picture.fetched != found.get("fetched"):
            raise ImageInputError(
                f"Message {picture.message}, block {picture.block}: at the picture's address stands"
                " something else than what was evaluated.",
                hint="Ask again, or pass the picture's bytes in the message.",
            )


def _generation(policy: GuardPolicy, config: RunnableConfig) -> Generation:
    asked = (config.get("configurable") or {}).get(GENERATION_KEY)
    if isinstance(asked, Generation):
        return asked
    return Generation(max_tokens=policy.max_tokens, seed=policy.seed)
