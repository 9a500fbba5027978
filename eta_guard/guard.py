"""EtaGuard: the state machine as a LangChain chat model."""

from __future__ import annotations

import contextvars
from dataclasses import dataclass
from operator import is_not
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.caches import BaseCache
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig, ensure_config
from langgraph.graph.state import CompiledStateGraph
from pydantic import ConfigDict, Field, PrivateAttr

from eta_guard.graph import build_graph
from eta_guard.policy import CONFIG_KEY, GuardPolicy
from eta_guard.pretrained import load_parts
from eta_guard.protocols import Engine, Generation, ImageEvaluator, ResponseEvaluator
from eta_guard.session import GENERATION_KEY
from eta_guard.state import GuardMessages, GuardState

if TYPE_CHECKING:
    import torch

CompiledGuard = CompiledStateGraph[GuardState, None, GuardMessages, GuardMessages]


@dataclass(frozen=True)
class _Compiled:
    """The compiled graph, and what it was made of."""

    parts: tuple[Engine, ImageEvaluator, ResponseEvaluator, GuardPolicy]
    graph: CompiledGuard

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        # A deep copy or a pickle of the guard is without it, and compiles its own.
        return type(None), ()


OTHER_STEPS = 10
"""Steps of the graph beside the search, whose every pass accepts at least a token."""


class EtaGuard(BaseChatModel):
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
    image_evaluator: ImageEvaluator = Field(exclude=True, repr=False)
    """Scores images against the safety prompt."""
    response_evaluator: ResponseEvaluator = Field(exclude=True, repr=False)
    """Scores answers."""
    policy: GuardPolicy = Field(default_factory=GuardPolicy)
    """Thresholds and settings."""
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
    ) -> EtaGuard:
        """Loads the three models of an assembly.

        Args:
            assembly: ``"embedded"``, the small models that ship with the package, or ``"paper"``,
                the paper's: LLaVA-1.5-7B, CLIP ViT-L/14-336 and ArmoRM-Llama3-8B.
            chat_model: Name or directory of another image-text-to-text model; a name may pin a
                revision, ``"llava-hf/llava-1.5-7b-hf@COMMIT"``.
            clip: Name (``"ViT-L-14-336/openai"``) or directory of another open_clip model.
            reward: Name or directory of another reward model with one label.
            policy: Thresholds and settings; the defaults of ``GuardPolicy`` without one.
            device: Such as ``"cpu"`` or ``"cuda"``; the GPU if there is one.
            dtype: Of chat model and reward model; each one's own default without it.

        Raises:
            ModelLoadError: Weights are missing; it says which, and how to get them.
        """
        parts = load_parts(
            assembly, chat_model=chat_model, clip=clip, reward=reward, device=device, dtype=dtype
        )
        return cls(**parts, policy=policy or GuardPolicy())

    _compiled: _Compiled | None = PrivateAttr(default=None)

    @property
    def graph(self) -> CompiledGuard:
        """The compiled state machine, to be added to other graphs as a node.

        It keeps no checkpoints of its own inside another graph; compile ``build_graph`` with a
        checkpointer for a search that can be resumed.
        """
        parts = (self.engine, self.image_evaluator, self.response_evaluator, self.policy)
        # A copy with another policy must not answer by the old one.
        compiled = self._compiled
        if compiled is None or any(map(is_not, parts, compiled.parts)):
            graph = build_graph(
                engine=self.engine,
                image_evaluator=self.image_evaluator,
                response_evaluator=self.response_evaluator,
                policy=self.policy,
            )
            compiled = _Compiled(parts, graph.compile(checkpointer=False, name="eta_guard"))
            self._compiled = compiled
        return compiled.graph

    @property
    def _llm_type(self) -> str:
        return "eta-guard"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "chat_model": self.engine.fingerprint,
            "image_evaluator": self.image_evaluator.fingerprint,
            "response_evaluator": self.response_evaluator.fingerprint,
            # LangChain's cache tells models apart by this: never serve one policy's answer as
            # another's.
            "policy": {
                **self.policy.model_dump(mode="json"),
                "overridable": sorted(self.policy.overridable),
            },
        }

    def invoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Answers, and hands the caller's ``configurable`` on to the policy."""
        return super().invoke(input, config, stop=stop, **_with_overrides(config, kwargs))

    async def ainvoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Answers, and hands the caller's ``configurable`` on to the policy."""
        return await super().ainvoke(input, config, stop=stop, **_with_overrides(config, kwargs))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        asked = {CONFIG_KEY: kwargs.get(CONFIG_KEY)}
        rules = self.policy.for_run({"configurable": asked})
        generation = Generation(max_tokens=rules.max_tokens, seed=rules.seed)
        config: RunnableConfig = {
            "configurable": {**asked, GENERATION_KEY: generation.for_call(stop, kwargs)},
            "recursion_limit": rules.max_tokens + OTHER_STEPS,
        }
        # Without ids of their own, two equal messages would be taken for one and the same.
        given: Any = {"messages": [message.model_copy(update={"id": None}) for message in messages]}
        # In a context of its own the inner graph is no part of a graph around this model: it would
        # otherwise write into that graph's streams and checkpoints.
        state: Any = contextvars.Context().run(lambda: self.graph.invoke(given, config))
        return ChatResult(generations=[ChatGeneration(message=state["messages"][-1])])


def _with_overrides(config: RunnableConfig | None, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The call's keyword arguments, with the overrides that chat models are not handed."""
    overrides = ensure_config(config).get("configurable", {}).get(CONFIG_KEY)
    return {**kwargs, CONFIG_KEY: overrides} if overrides is not None else kwargs
