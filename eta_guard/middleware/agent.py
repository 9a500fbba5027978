"""EtaGuardMiddleware: the guard around whichever model an agent has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, TypedDict, TypeGuard

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, message_to_dict
from langchain_core.runnables import ensure_config
from langgraph.runtime import Runtime
from langgraph.types import Command, TracePolicy, omit_payload

from eta_guard.errors import EngineError
from eta_guard.guard import EtaGuard
from eta_guard.middleware.guarded_model import GuardedModel, Held, guarded
from eta_guard.middleware.review import is_pending, review, withdrawn
from eta_guard.policy import GuardPolicy
from eta_guard.pretrained import load_evaluators
from eta_guard.protocols import ImageEvaluator, Likeness, ResponseEvaluator
from eta_guard.state import METADATA_KEY, withheld

try:
    from langchain.agents.middleware import (
        AgentMiddleware,
        AgentState,
        ExtendedModelResponse,
        ModelRequest,
        ModelResponse,
        hook_config,
    )
    from langchain.agents.middleware.types import PrivateStateAttr
    from langchain.agents.structured_output import StructuredOutputError

    from eta_guard.middleware.guarded_request import GuardedRequest, within
except ImportError as missing:
    raise ImportError(
        "EtaGuardMiddleware stands on LangChain's agents: pip install 'eta_guard[agents]'."
    ) from missing

if TYPE_CHECKING:
    import torch


class _Turn(TypedDict):
    """What a guard has to know between a model call and its end, as plain values."""

    held: dict[str, Any] | None
    """The reply that waits for a reviewer. As a dict: messages under whatever key are streamed."""
    ends: bool
    """A withheld answer ends the turn: of an agent that wants structured output."""


def _together(old: Mapping[str, _Turn] | None, new: Mapping[str, _Turn]) -> dict[str, _Turn]:
    return {**(old or {}), **new}


class GuardedAgentState(AgentState[Any]):
    """The agent's state, with what each guard in it has to know, by the guard's name."""

    eta_guard_turns: NotRequired[Annotated[dict[str, _Turn], PrivateStateAttr, _together]]


class EtaGuardMiddleware(AgentMiddleware[GuardedAgentState, Any, Any]):
    """Evaluates an agent's images and answers, and repairs the answers that are unsafe.

    Every image that the model is shown is evaluated, those that tools return included. Where one
    is unsafe, the model's answer is: its text, and the arguments of the tools that it calls. An
    unsafe text is repaired; an unsafe call is refused, and ends the agent's turn. Nothing that the
    model says is streamed, kept in the history or checkpointed before that.

    On a turn without any picture the answer goes out unevaluated and streams, unless the policy
    sets ``on_no_image`` itself: a text alone has not been talked round by an image, each score
    costs a forward of the reward model, and such models were not made to score calls of tools.

    Stand it last in the list of middleware. One within it that puts another model in place is an
    error at that call; ``around`` gives it a model that has the guard.

    Example:
        >>> guard = EtaGuardMiddleware.from_pretrained("embedded")
        >>> agent = create_agent(model, tools=[camera], middleware=[guard])
        >>> agent.invoke({"messages": [message]})["messages"][-1].response_metadata["eta_guard"]
    """

    state_schema = GuardedAgentState
    # The model's own run has the messages; with each hook's they would stand in a trace thrice.
    trace_policy = TracePolicy(process_inputs=omit_payload)

    def __init__(
        self,
        image_evaluator: ImageEvaluator | Sequence[ImageEvaluator],
        response_evaluator: ResponseEvaluator | Sequence[ResponseEvaluator],
        policy: GuardPolicy | None = None,
        *,
        likeness: Likeness | None = None,
        on_flagged: Literal["repair", "interrupt"] = "repair",
        name: str | None = None,
        hide_drafts: bool = False,
        max_waiting: int | None = None,
    ) -> None:
        """Takes evaluators that are loaded.

        Args:
            image_evaluator: Evaluates images: one, or several, of which any makes them unsafe.
            response_evaluator: Evaluates answers, one or several likewise.
            policy: Thresholds and settings; the defaults of ``GuardPolicy`` without one, except
                that ``on_no_image`` is ``"pass"`` where it is not set.
            likeness: Compares candidates with the picture; the first image evaluator that can,
                without.
            on_flagged: ``"interrupt"``: an answer that took the place of the model's own waits
                until a person approves, edits or rejects it. The agent needs a checkpointer; the
                interrupt's value has the scores and the answer, and ``Command(resume=...)`` takes
                ``"approve"``, ``"reject"`` or ``{"decision": "edit", "answer": "..."}``.
            name: Tells this guard from another one in the same agent.
            hide_drafts: Keep drafts and candidates out of traces.
            max_waiting: Most requests that may be under way with one model beside the one that is
                served; one more raises ``OverloadedError`` at once. None: any number.

        Raises:
            ValueError: ``on_flagged`` is neither.
        """
        super().__init__()
        if on_flagged not in ("repair", "interrupt"):
            raise ValueError(f'on_flagged = {on_flagged!r} is neither "repair" nor "interrupt".')
        given = policy or GuardPolicy()
        set_by_caller = "on_no_image" in given.model_fields_set
        self._policy = given if set_by_caller else given.updated({"on_no_image": "pass"})
        # As a guard keeps them: its model is known again by them.
        self.image_evaluator = (
            tuple(image_evaluator) if isinstance(image_evaluator, list) else image_evaluator
        )
        self.response_evaluator = (
            tuple(response_evaluator)
            if isinstance(response_evaluator, list)
            else response_evaluator
        )
        self.likeness = likeness
        self.on_flagged = on_flagged
        self._name = name or type(self).__name__
        self._hide_drafts, self._max_waiting = hide_drafts, max_waiting
        self._guarded: list[tuple[BaseChatModel, GuardedModel]] = []

    @property
    def name(self) -> str:
        """By which an agent knows it; no two of one name may stand in the same agent."""
        return self._name

    @property
    def policy(self) -> GuardPolicy:
        """Thresholds and settings. They never change; another middleware may have others."""
        return self._policy

    def around(self, model: BaseChatModel) -> EtaGuard:
        """A model with this guard around it, for a middleware that asks more than one.

        Example:
            >>> fallback = ModelFallbackMiddleware(guard.around(backup))
            >>> agent = create_agent(model, middleware=[guard, fallback])
        """
        known = next((made for one, made in self._guarded if one is model), None)
        if known is None:
            known = guarded(
                model,
                image_evaluator=self.image_evaluator,
                response_evaluator=self.response_evaluator,
                likeness=self.likeness,
                policy=self.policy,
                hide_drafts=self._hide_drafts,
                max_waiting=self._max_waiting,
            )
            # To compile a graph takes longer than to run it; an agent seldom has more models.
            _ = known.graph
            self._guarded = [*self._guarded[1 - _KEPT :], (model, known)]
        return known

    @classmethod
    def from_pretrained(
        cls,
        assembly: str = "embedded",
        *,
        clip: str | Path | None = None,
        reward: str | Path | None = None,
        policy: GuardPolicy | None = None,
        device: str | None = None,
        dtype: torch.dtype | None = None,
        on_flagged: Literal["repair", "interrupt"] = "repair",
        name: str | None = None,
        hide_drafts: bool = False,
        max_waiting: int | None = None,
    ) -> EtaGuardMiddleware:
        """Loads the two evaluators of an assembly; the chat model is the agent's.

        Args:
            assembly: ``"embedded"`` or ``"paper"``.
            clip: Name or directory of another open_clip model.
            reward: Name or directory of another reward model with one label.
            policy: Thresholds and settings.
            device: Such as ``"cpu"`` or ``"cuda"``; the GPU if there is one.
            dtype: Of the reward model; its own default without it.
            on_flagged: As for the class itself.
            name: Likewise.
            hide_drafts: Likewise.
            max_waiting: Likewise.

        Raises:
            ModelLoadError: Weights are missing; it says which, and how to get them.
        """
        parts = load_evaluators(assembly, clip=clip, reward=reward, device=device, dtype=dtype)
        return cls(
            **parts,
            policy=policy,
            on_flagged=on_flagged,
            name=name,
            hide_drafts=hide_drafts,
            max_waiting=max_waiting,
        )

    def before_agent(
        self, state: GuardedAgentState, runtime: Runtime[Any]
    ) -> dict[str, Any] | None:
        """Withdraws an answer that still waited for a reviewer when the user wrote on."""
        waiting = [message for message in state["messages"] if is_pending(message)]
        if not waiting:
            return None
        left = [withdrawn(message, self.policy) for message in waiting]
        return {"messages": left, "eta_guard_turns": {self.name: _Turn(held=None, ends=False)}}

    async def abefore_agent(
        self, state: GuardedAgentState, runtime: Runtime[Any]
    ) -> dict[str, Any] | None:
        """Does as ``before_agent``."""
        return self.before_agent(state, runtime)

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ExtendedModelResponse[Any]:
        """Puts the guard around the model of one call."""
        inner, held = self._within(request)
        try:
            response = handler(inner)
        except StructuredOutputError as error:
            response = _without_structure(error)
        return self._checked(response, held, request)

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ExtendedModelResponse[Any]:
        """Puts the guard around the model of one call."""
        inner, held = self._within(request)
        try:
            response = await handler(inner)
        except StructuredOutputError as error:
            response = _without_structure(error)
        return self._checked(response, held, request)

    @hook_config(can_jump_to=["end"])
    def after_model(self, state: GuardedAgentState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Asks the reviewer where one is, and ends the turn where the agent would not."""
        # A node of its own: when the reviewer has decided, no model is asked again.
        turn = (state.get("eta_guard_turns") or {}).get(self.name)
        if turn is None:
            return None
        ending: dict[str, Any] = {"jump_to": "end"} if turn["ends"] else {}
        if turn["held"] is None:
            return ending or None
        if runtime.execution_info is not None and runtime.execution_info.thread_id is None:
            raise EngineError(
                "An answer waits for a reviewer, and nothing keeps it until there is a decision.",
                hint='Give the agent a checkpointer, or set on_flagged="repair".',
            )
        decided = review(state["messages"], turn["held"], self.policy.for_run(ensure_config()))
        done = {self.name: _Turn(held=None, ends=False)}
        return {"messages": decided, "eta_guard_turns": done, **ending}

    @hook_config(can_jump_to=["end"])
    async def aafter_model(
        self, state: GuardedAgentState, runtime: Runtime[Any]
    ) -> dict[str, Any] | None:
        """Does as ``after_model``."""
        return self.after_model(state, runtime)

    def _within(self, request: ModelRequest[Any]) -> tuple[GuardedRequest, Held]:
        held: Held = [] if self.on_flagged == "interrupt" else None
        # A backup that has this guard already is not put into another one of it.
        model = request.model if self._is_own(request.model) else self.around(request.model)
        return within(request, model.model_copy(update={"held": held})), held

    def _is_own(self, model: object) -> TypeGuard[GuardedModel]:
        return (
            isinstance(model, GuardedModel)
            and model.policy is self._policy
            and model.image_evaluator is self.image_evaluator
            and model.response_evaluator is self.response_evaluator
            and model.likeness is self.likeness
        )

    def _checked(
        self, response: ModelResponse[Any], held: Held, request: ModelRequest[Any]
    ) -> ExtendedModelResponse[Any]:
        """Notes what has to be known after the call.

        Raises:
            EngineError: An answer did not come through the guard.
        """
        answers = [message for message in response.result if isinstance(message, AIMessage)]
        for message in answers:
            if METADATA_KEY not in message.response_metadata and not is_pending(message):
                raise EngineError(
                    "An answer of the agent's model did not come through the guard.",
                    hint="Put EtaGuardMiddleware last in the list of middleware.",
                )
        something_else = any(withheld(message) or is_pending(message) for message in answers)
        turn = _Turn(
            held=message_to_dict(held[-1]) if held else None,
            # It would otherwise ask again, and again.
            ends=something_else and request.response_format is not None,
        )
        told: Command[Any] = Command(update={"eta_guard_turns": {self.name: turn}})
        return ExtendedModelResponse(response, told)


_KEPT = 8
"""Models that a guard is kept around."""


def _without_structure(error: StructuredOutputError) -> ModelResponse[Any]:
    """A refusal or a repaired answer goes out although it has not the structure asked for."""
    message = error.ai_message
    if withheld(message) or is_pending(message):
        return ModelResponse(result=[message])
    raise error
