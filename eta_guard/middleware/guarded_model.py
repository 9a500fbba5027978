"""The agent's model with the guard around it: nothing of it is seen before its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from pydantic import Field

from eta_guard.engines.chat_model.engine import ChatModelEngine
from eta_guard.guard import CALL_SETTINGS, EtaGuard
from eta_guard.local_vlm import ChatLocalVLM
from eta_guard.middleware.review import held_back, was_withheld
from eta_guard.policy import CONFIG_KEY, GuardPolicy
from eta_guard.protocols import Engine, ImageEvaluator, ResponseEvaluator
from eta_guard.runs.calls import without_call

_KEPT = 8
"""Graphs: an agent seldom has more sets of tools than that."""


class GuardedModel(EtaGuard):
    """Stands in for the agent's model, so that the agent itself binds tools and formats to it.

    It answers whole and at once: a graph streams what a model within it gives, and what was
    streamed cannot be taken back.
    """

    disable_streaming: bool | Literal["tool_calling"] = True
    compiled: Any = Field(default_factory=list, exclude=True, repr=False)
    """The graphs of earlier calls, kept by the middleware: to compile one takes longer than to run
    it."""
    held: Any = Field(default=None, exclude=True, repr=False)
    """A list that receives each reply that is to wait for a reviewer; None where none waits."""

    @property
    def model_name(self) -> str:
        """The name by which the agent tells what the model can do."""
        return self.engine.fingerprint

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Binds tools to the model within; their calls are evaluated with the answer."""
        if not isinstance(self.engine, ChatModelEngine):
            return super().bind_tools(tools, tool_choice=tool_choice, **kwargs)
        engine = self.engine.bind_tools(tools, tool_choice=tool_choice, **kwargs)
        # A repair is asked for without tools, but within the same limits.
        own = {name: kwargs[name] for name in CALL_SETTINGS if name in kwargs}
        return self.model_copy(update={"engine": engine}).bind(**own)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        engine = self.engine
        if isinstance(engine, ChatModelEngine):
            asked = without_call(kwargs)
            asked.pop(CONFIG_KEY, None)
            engine = engine.bind(**asked)
        guard = self._around(engine)
        result = EtaGuard._generate(guard, messages, stop, run_manager, **kwargs)
        reply = result.generations[0].message
        if self.held is None or not was_withheld(reply):
            return result
        self.held.append(reply)
        return ChatResult(generations=[ChatGeneration(message=held_back(reply))])

    def _around(self, engine: Engine) -> EtaGuard:
        """This model around an engine, with the graph that was compiled for one like it."""
        known = next((one for one in self.compiled if _alike(one.parts[0], engine)), None)
        guard = self.model_copy(update={"engine": known.parts[0] if known else engine})
        guard._compiled = known
        if guard.graph and guard._compiled is not known:
            self.compiled.append(guard._compiled)
            del self.compiled[:-_KEPT]
        return guard


def _alike(one: Engine, other: Engine) -> bool:
    """Whether two engines ask the same of the same model."""
    if not (isinstance(one, ChatModelEngine) and isinstance(other, ChatModelEngine)):
        return one is other
    same_tools = (one.tools is None) == (other.tools is None) and (
        list(map(id, one.tools or ())) == list(map(id, other.tools or ()))
    )
    return one.model is other.model and same_tools and one.settings == other.settings


def guarded(
    model: BaseChatModel,
    image_evaluator: ImageEvaluator,
    response_evaluator: ResponseEvaluator,
    policy: GuardPolicy,
    held: list[AIMessage] | None,
    compiled: list[Any],
) -> GuardedModel:
    """The model with the guard around it, with the engine that fits it.

    Args:
        model: Any chat model; a ``ChatLocalVLM`` is searched sentence by sentence.
        image_evaluator: Scores images.
        response_evaluator: Scores answers.
        policy: Thresholds and settings.
        held: Receives the replies that a reviewer is to see first; None where there is none.
        compiled: The graphs of earlier calls; new ones are added.
    """
    parts: dict[str, Any] = {
        "image_evaluator": image_evaluator,
        "response_evaluator": response_evaluator,
        "policy": policy,
        "profile": model.profile,
        "held": held,
        "compiled": compiled,
    }
    if not isinstance(model, ChatLocalVLM):
        return GuardedModel(engine=ChatModelEngine(model), **parts)
    own = {name: getattr(model, name) for name in CALL_SETTINGS if name in model.model_fields_set}
    return GuardedModel(engine=model.engine, **own, **parts)
