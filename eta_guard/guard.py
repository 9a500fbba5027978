"""EtaGuard: the state machine as a LangChain chat model."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import is_not
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.caches import BaseCache
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.callbacks.manager import BaseRunManager
from langchain_core.exceptions import ModelRefusalError
from langchain_core.language_models import (
    BaseChatModel,
    LangSmithParams,
    LanguageModelInput,
    ModelProfile,
)
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.graph.state import CompiledStateGraph
from pydantic import ConfigDict, Field, PrivateAttr, SkipValidation

from eta_guard.admission import UnderWay
from eta_guard.checks import check
from eta_guard.counts import counting
from eta_guard.graph import build_graph
from eta_guard.panel.panel import Panel, require
from eta_guard.policy import CONFIG_KEY, GuardPolicy
from eta_guard.pretrained import load_parts
from eta_guard.protocols import Engine, Generation, ImageEvaluator, Likeness, ResponseEvaluator
from eta_guard.runs.apart import hiding_drafts
from eta_guard.runs.calls import CALL_KEY, Call, CallAware, callbacks_beneath, without_call
from eta_guard.runs.graph_runs import Run, arun_apart, run_apart
from eta_guard.runs.model_profile import of_engine, profile
from eta_guard.runs.settings import check_settings
from eta_guard.runs.streaming import OWN_ID, as_chunk
from eta_guard.runs.telemetry import RequestSeen
from eta_guard.runs.token_counts import CountsTokens
from eta_guard.runs.tool_binding import bind_tools
from eta_guard.session import GENERATION_KEY
from eta_guard.state import GuardMessages, GuardState, Verdict, withheld
from eta_guard.steps import Steps, adrive, drive, until

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

CompiledGuard = CompiledStateGraph[GuardState, None, GuardMessages, GuardMessages]


@dataclass(frozen=True)
class _Compiled:
    """The compiled graph, and what it was made of."""

    parts: tuple[object, ...]
    graph: CompiledGuard

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        # A deep copy or a pickle of the guard is without it, and compiles its own.
        return type(None), ()


CALL_SETTINGS = ("max_tokens", "temperature", "seed")
"""What a field of the model sets for all calls, and a keyword argument for one."""

EVALUATORS = ("image_evaluator", "response_evaluator")
"""Fields that take one or several."""

OTHER_STEPS = 10
"""Steps of the graph beside the search, whose every pass accepts at least a token."""


class EtaGuard(CountsTokens, CallAware, BaseChatModel):
    """A chat model whose answers to images have been evaluated and, where unsafe, repaired.

    ``response_metadata["eta_guard"]`` of each reply is a ``Verdict`` as plain JSON. A call may set
    ``stop``, ``max_tokens``, ``temperature`` and ``seed``; policy fields that the policy names
    ``overridable`` come by ``configurable={"eta_guard": {...}}``.

    Example:
        >>> guard = EtaGuard.from_pretrained("embedded")
        >>> reply = guard.invoke([HumanMessage([image_block, {"type": "text", "text": question}])])
        >>> reply.response_metadata["eta_guard"]["decision"]
        'aligned'
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    engine: Engine = Field(exclude=True, repr=False)
    """Runs the chat model."""
    image_evaluator: SkipValidation[ImageEvaluator | Sequence[ImageEvaluator]] = Field(
        exclude=True, repr=False
    )
    """Evaluates images: one, or several, of which any makes them unsafe."""
    response_evaluator: SkipValidation[ResponseEvaluator | Sequence[ResponseEvaluator]] = Field(
        exclude=True, repr=False
    )
    """Evaluates answers, one or several likewise. Candidates are ranked by the first whose high
    scores are the good ones."""
    likeness: SkipValidation[Likeness | None] = Field(default=None, exclude=True, repr=False)
    """Compares candidates with the picture; without, the first image evaluator that can."""
    policy: GuardPolicy = Field(default_factory=GuardPolicy, frozen=True)
    """Thresholds and settings. They never change: ``with_policy`` makes a guard that has others."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of an answer, if fewer than the policy's."""
    temperature: float = Field(default=0.0, ge=0.0)
    """Of the plain answer; 0 is greedy. The search has its own in the policy."""
    seed: int | None = Field(default=None, ge=0)
    """Of all draws; the policy's without one."""
    stop: list[str] | None = None
    """Texts before which an answer is cut."""
    feedback: bool = Field(default=False, exclude=True)
    """Send the scores to LangSmith as feedback as well, where a request is traced."""
    hide_drafts: bool = Field(default=False, exclude=True)
    """Keep drafts and candidates out of traces: a provider's calls stand in none. What the guard
    lets out, its scores and its verdict are traced as before."""
    max_waiting: int | None = Field(default=None, ge=0, exclude=True)
    """Most requests that may be under way beside the one that is served, those of ``with_policy``
    included; one more raises ``OverloadedError`` at once. None: any number may wait."""
    cache: BaseCache | bool | None = Field(default=False, exclude=True)
    """Off: LangChain's cache goes by how a message prints, which does not tell images apart."""

    @classmethod
    def from_pretrained(
        cls,
        assembly: str = "embedded",
        *,
        chat_model: str | Path | None = None,
        clip: str | Path | None = None,
        reward: str | Path | None = None,
        policy: GuardPolicy | None = None,
        device: str | None = None,
        dtype: torch.dtype | None = None,
        **settings: Any,
    ) -> EtaGuard:
        """Loads the three models of an assembly.

        Args:
            assembly: ``"embedded"``, the small models that ship with the package, or ``"paper"``,
                the paper's: LLaVA-1.5-7B (shown what the published code shows it, as is any other
                LLaVA-1.5 in its place), CLIP ViT-L/14-336 and ArmoRM-Llama3-8B.
            chat_model: Name or directory of another image-text-to-text model; a name may pin a
                revision, ``"llava-hf/llava-1.5-7b-hf@COMMIT"``.
            clip: Name (``"ViT-L-14-336/openai"``) or directory of another open_clip model.
            reward: Name or directory of another reward model with one label.
            policy: Thresholds and settings; the defaults of ``GuardPolicy`` without one.
            device: Such as ``"cpu"`` or ``"cuda"``; the GPU if there is one.
            dtype: Of chat model and reward model; each one's own default without it.
            settings: Other fields of this class.

        Raises:
            ModelLoadError: Weights are missing; it says which, and how to get them.
        """
        parts = load_parts(
            assembly, chat_model=chat_model, clip=clip, reward=reward, device=device, dtype=dtype
        )
        return cls(**parts, policy=policy or GuardPolicy(), **settings)

    def __init__(self, **parts: Any) -> None:
        """Takes the fields of this class.

        Raises:
            TypeError: There is no field of some name.
            UnsupportedModelError: A part is not of its kind.
            PolicyError: The policy has a threshold for an evaluator that is not there.
        """
        check_settings(type(self), parts)
        if "engine" in parts:
            require(parts["engine"], Engine)
        # A list that grew later would be another guard than the one whose graph is compiled.
        several = {k: tuple(v) for k, v in parts.items() if k in EVALUATORS and isinstance(v, list)}
        super().__init__(**{**parts, **several})
        _ = self.panel  # checks the evaluators

    _compiled: _Compiled | None = PrivateAttr(default=None)
    _under_way: UnderWay = PrivateAttr(default_factory=UnderWay)

    def with_policy(self, policy: GuardPolicy) -> EtaGuard:
        """A guard over the same parts with another policy, for a tenant say; it costs nothing.

        Args:
            policy: In place of this guard's own, which stays what it is.
        """
        changed = self.model_copy(update={"policy": policy})
        _ = changed.panel  # checks the thresholds
        return changed

    @property
    def _passes_on(self) -> bool:
        return bool(getattr(self.engine, "passes_messages_on", False))

    @property
    def panel(self) -> Panel:
        """The evaluators, checked."""
        return Panel.of(
            self.image_evaluator, self.response_evaluator, self.likeness, self.policy, self.engine
        )

    def evaluate(
        self, messages: LanguageModelInput, *, configurable: Mapping[str, Any] | None = None
    ) -> Verdict:
        """Evaluates the pictures and, where the last message is an answer, that; generates nothing.

        Whatever the policy says of when the answer counts, both are evaluated. What a provider's
        model could be shown and cannot be read here is unscored, and so not safe.

        Args:
            messages: As for ``invoke``; the last one may be an ``AIMessage``.
            configurable: As in a run's config: ``{"eta_guard": {...}}``.

        Returns:
            A verdict with the decision ``observed``; ``flagged`` says whether the policy would
            repair, refuse or block. Without an answer that is whether a picture is not safe, or
            whether there is none and the policy aligns every answer then.

        Raises:
            InputError: The messages cannot be read, as in ``invoke``.
            OverloadedError: More requests are under way than ``max_waiting``.
            DeadlineExceededError: The policy's ``timeout`` was over before they were read. Who has
                not evaluated by then has failed: that is unscored, and not safe.
        """
        with self._evaluating() as found:
            return found(drive(self._check(messages, configurable)))

    async def aevaluate(
        self, messages: LanguageModelInput, *, configurable: Mapping[str, Any] | None = None
    ) -> Verdict:
        """Does as ``evaluate`` without holding up the event loop."""
        with self._evaluating() as found:
            return found(await adrive(self._check(messages, configurable)))

    def _check(
        self, messages: LanguageModelInput, configurable: Mapping[str, Any] | None
    ) -> Steps[Verdict]:
        rules = self.policy.for_run({"configurable": dict(configurable or {})})
        given = self._convert_input(messages).to_messages()
        work = check(given, self.panel, rules, passed_on=self._passes_on)
        return work if rules.timeout is None else until(monotonic() + rules.timeout, work)

    @contextmanager
    def _evaluating(self) -> Iterator[Callable[[Verdict], Verdict]]:
        """What is evaluated within is one request; yields what completes and tells its verdict."""
        with (
            RequestSeen().node("evaluate") as seen,
            self._under_way.one(self.max_waiting),
            counting() as tally,
            hiding_drafts(self.hide_drafts),
        ):

            def found(verdict: Verdict) -> Verdict:
                whole = verdict.model_copy(update={"counts": dict(tally)})
                seen.evaluated(whole.model_dump(mode="json"))
                return whole

            yield found

    @property
    def graph(self) -> CompiledGuard:
        """The compiled state machine, to be added to other graphs as a node.

        It keeps no checkpoints of its own inside another graph; compile ``build_graph`` with a
        checkpointer for a search that can be resumed. A cancelled task stops its work at once, as
        it does that of this model; LangGraph's own synchronous ``stream``, closed, waits for the
        node that is at work.
        """
        parts = (
            self.engine,
            self.image_evaluator,
            self.response_evaluator,
            self.likeness,
            self.policy,
            self.feedback,
            self.hide_drafts,
            self.max_waiting,
        )
        # A copy with another policy must not answer by the old one.
        compiled = self._compiled
        if compiled is None or any(map(is_not, parts, compiled.parts)):
            graph = build_graph(
                engine=self.engine,
                image_evaluator=self.image_evaluator,
                response_evaluator=self.response_evaluator,
                likeness=self.likeness,
                policy=self.policy,
                feedback=self.feedback,
                hide_drafts=self.hide_drafts,
                max_waiting=self.max_waiting,
                under_way=self._under_way,
            )
            compiled = _Compiled(parts, graph.compile(checkpointer=False, name="eta_guard"))
            self._compiled = compiled
        return compiled.graph

    async def _aprepare(self) -> None:
        # Fingerprints may be a server's to tell, which is asked once.
        if self._compiled is None:
            await asyncio.to_thread(lambda: self.graph)

    @property
    def _llm_type(self) -> str:
        return "eta-guard"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "chat_model": self.engine.fingerprint,
            **self.panel.models,
            "evaluators": self.panel.identity,
            # LangChain's cache tells models apart by this: never serve one policy's answer as
            # another's.
            "policy": {
                **self.policy.model_dump(mode="json"),
                "overridable": sorted(self.policy.overridable),
            },
        }

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        limit = self.max_tokens or self.policy.max_tokens
        asked = {"max_tokens": limit, **without_call(kwargs)}
        return of_engine(super()._get_ls_params(stop or self.stop, **asked), self.engine, asked)

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Binds tools: as a provider takes them, or where a local model's chat template knows them.

        Each call that an answer makes is evaluated like its text, and an answer with an unsafe one
        is refused.

        Raises:
            UnsupportedModelError: It does not; or a call of a local model is to be forced.
        """
        return bind_tools(self, self.engine, tools, tool_choice, kwargs)

    def with_structured_output(
        self, schema: Any, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Has answers parsed into a schema, where the model calls tools.

        Raises:
            UnsupportedModelError: It does not.
            ModelRefusalError: In the run: the guard let something else out than the answer that
                had the structure, a refusal or a repaired text.
        """
        whole = super().with_structured_output(schema, include_raw=True, **kwargs)
        return whole if include_raw else whole | RunnableLambda(_parsed)

    def _resolve_model_profile(self) -> ModelProfile:
        return profile(self.engine, self.max_tokens or self.policy.max_tokens)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        *_, reply = run_apart(self._run(messages, stop, run_manager, kwargs, "updates"))
        return ChatResult(generations=[ChatGeneration(message=reply)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        run = self._run(messages, stop, run_manager, kwargs, "updates")
        reply = [message async for message in arun_apart(run)][-1]
        return ChatResult(generations=[ChatGeneration(message=reply)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for message in run_apart(self._run(messages, stop, run_manager, kwargs, "messages")):
            yield _chunk(message)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        run = self._run(messages, stop, run_manager, kwargs, "messages")
        async for message in arun_apart(run):
            yield _chunk(message)

    def _run(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: BaseRunManager | None,
        kwargs: dict[str, Any],
        wanted: Literal["updates", "messages"],
    ) -> Run:
        """What the graph is to be run with: for the reply, or for its chunks as ``"messages"``."""
        asked = {CONFIG_KEY: kwargs.get(CONFIG_KEY)}
        rules = self.policy.for_run({"configurable": asked})
        generation = Generation(rules.max_tokens, seed=rules.seed).for_call(
            self.stop, {name: getattr(self, name) for name in CALL_SETTINGS}
        )
        generation = generation.for_call(stop, kwargs)
        settings = {k: value for k, value in kwargs.items() if k not in (CALL_KEY, CONFIG_KEY)}
        if settings.get("max_tokens") is not None:
            settings["max_tokens"] = generation.max_tokens
        generation = replace(generation, settings=settings)
        unknown = settings.keys() - {*CALL_SETTINGS, "tools"}
        if unknown and not self._passes_on:
            logger.warning("The engine has no use for %s: ignored.", ", ".join(sorted(unknown)))
        call = kwargs.get(CALL_KEY)
        chosen = call.configurable if isinstance(call, Call) else {}
        config: RunnableConfig = {
            "configurable": {**chosen, **asked, GENERATION_KEY: generation},
            "recursion_limit": rules.max_tokens + OTHER_STEPS,
            "callbacks": callbacks_beneath(run_manager, kwargs),
        }
        given = {"messages": list(_told_apart(messages))}
        outer = call.writer if isinstance(call, Call) else None
        return Run(self.graph, given, config, wanted, outer)


def _told_apart(messages: Sequence[BaseMessage]) -> Iterator[BaseMessage]:
    """Copies, of which no two have one id: a graph would take them for one and the same.

    An id stays where it can, since providers know their own items by it.
    """
    known: set[str] = set()
    for message in messages:
        own = message.id if message.id not in known else None
        known.update([own] if own else [])
        yield message.model_copy(update={"id": own})


def _parsed(found: dict[str, Any]) -> Any:
    if found["parsing_error"] is not None:
        raise found["parsing_error"]
    raw = found["raw"]
    if found["parsed"] is None and withheld(raw):
        raise ModelRefusalError("The guard withheld the structured answer.", raw_message=raw)
    return found["parsed"]


def _chunk(message: AIMessage) -> ChatGenerationChunk:
    chunk = as_chunk(message)
    # One id for all chunks: LangChain puts the run's where there is none of a provider.
    known = None if (chunk.id or OWN_ID).startswith(OWN_ID) else chunk.id
    return ChatGenerationChunk(message=chunk.model_copy(update={"id": known}))
