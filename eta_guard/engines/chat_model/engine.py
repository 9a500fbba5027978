"""ChatModelEngine: any LangChain chat model, which is asked for whole answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable, RunnableBinding
from langchain_core.runnables.config import ContextThreadPoolExecutor

from eta_guard.counts import add
from eta_guard.engines.chat_model.messages import as_read, plainly
from eta_guard.engines.seeds import seed_of
from eta_guard.errors import UnsupportedModelError
from eta_guard.protocols import (
    Candidate,
    Completion,
    FinishReason,
    Generation,
    Sampling,
    Watch,
)
from eta_guard.request.conversation import Conversation
from eta_guard.runs.apart import apart, traces

HIGHEST_TEMPERATURE = 1.0
"""Of candidates. Some providers accept no higher one, and without a top-k, which few of them have,
whole answers go astray above it."""

_CUT_SHORT = {"length", "max_tokens", "max_output_tokens"}
_REASONS = ("finish_reason", "stop_reason", "done_reason")


@dataclass(frozen=True)
class ChatModelEngine:
    """An engine over any ``BaseChatModel``, in place of one that has the model's weights at hand.

    A provider gives whole answers only. So a sentence of the search is a whole answer (best of N,
    the calls side by side), and the prefix is an instruction: an answer that does not begin with
    it gets it put in front. Settings reach the model where it has a field for them (``max_tokens``,
    ``temperature``, ``seed``), and only those that differ from the defaults of ``Generation``:
    otherwise the plain answer is the one that the model gives by itself.

    The provider is sent the very pixels that were evaluated, as PNG. No call is seen by who
    streams the surrounding graph; tracers see it.

    Example:
        >>> engine = ChatModelEngine(ChatOpenAI(model="gpt-4o"))
        >>> guard = EtaGuard(engine=engine, image_evaluator=clip, response_evaluator=reward)
    """

    model: BaseChatModel
    """Answers, and repairs without tools."""
    tools: tuple[Any, ...] | None = field(default=None, repr=False)
    """Tools that the plain answer may call; see ``bind_tools``."""
    settings: dict[str, Any] = field(default_factory=dict, repr=False)
    """Keyword arguments of the plain answer's call."""

    passes_messages_on: ClassVar[bool] = True
    """The provider is sent the messages as they came."""

    @property
    def fingerprint(self) -> str:
        """The provider's name of the model, or else the name of its class."""
        names = (getattr(self.model, name, None) for name in ("model_name", "model", "model_id"))
        return next(
            (name for name in names if isinstance(name, str) and name), self.model._llm_type
        )

    def bind_tools(self, tools: Sequence[Any], **settings: Any) -> ChatModelEngine:
        """A copy whose plain answers may call tools.

        Args:
            tools: As the model's own ``bind_tools`` takes them.
            settings: Passed on to it, such as ``tool_choice``.
        """
        return replace(self, tools=tuple(tools), settings={**self.settings, **settings})

    def tool_settings(self, tools: Sequence[Any], **settings: Any) -> dict[str, Any]:
        """What tools are for the model's API, as keyword arguments of one call.

        Args:
            tools: As the model's own ``bind_tools`` takes them.
            settings: Passed on to it, such as ``tool_choice``.

        Raises:
            UnsupportedModelError: The model binds tools in a way of its own.
        """
        bound: Any = self.model.bind_tools(tools, **settings)
        if not isinstance(bound, RunnableBinding):
            raise UnsupportedModelError(
                f"{self.fingerprint} binds tools in a way of its own.",
                hint="Use the engine's bind_tools and put the guard around that engine.",
            )
        return dict(bound.kwargs)

    def bind(self, **settings: Any) -> ChatModelEngine:
        """A copy whose plain answers are asked with further keyword arguments."""
        return replace(self, settings={**self.settings, **settings})

    def open(self, conversation: Conversation, generation: Generation) -> ChatModelSession:
        """Begins a request; the model is asked nothing yet."""
        asked = self.bind(**generation.settings) if generation.settings else self
        return ChatModelSession(asked, conversation, generation)

    def answering(self, generation: Generation) -> Runnable[Any, Any]:
        """The model as it gives the plain answer."""
        model = self._with(_asked(generation))
        if self.tools is not None:
            return model.bind_tools(self.tools, **self.settings)
        return model.bind(**self.settings) if self.settings else model

    def repairing(self, generation: Generation, **drawn: float) -> Runnable[Any, Any]:
        """The model as it is asked for text alone, with settings for one draw."""
        return self._with({**_asked(generation), **drawn})

    def _with(self, asked: dict[str, Any]) -> BaseChatModel:
        known = {
            name: value for name, value in asked.items() if name in type(self.model).model_fields
        }
        if (self.model.profile or {}).get("temperature") is False:
            known.pop("temperature", None)
        limit = getattr(self.model, "max_tokens", None)
        if "max_tokens" in known and isinstance(limit, int):
            known["max_tokens"] = min(limit, known["max_tokens"])
        # Callbacks of the model itself would be told of the draft like those of a graph.
        own: Any = self.model.callbacks
        handlers = own if isinstance(own, list) else getattr(own, "handlers", [])
        return self.model.model_copy(
            update={**known, "callbacks": list(filter(traces, handlers)) or None}
        )


class ChatModelSession:
    """One request to a chat model."""

    def __init__(
        self, engine: ChatModelEngine, conversation: Conversation, generation: Generation
    ) -> None:
        self._engine = engine
        self._conversation = conversation
        self._generation = generation
        self._text = ""
        self._round = 0
        self._proposed: list[Candidate] = []

    def __repr__(self) -> str:
        return "<ChatModelSession: withheld>"

    def answer(self, watch: Watch | None = None) -> Completion:
        """The plain answer, in one call; whole as it comes, it leaves ``watch`` nothing to do."""
        model = self._engine.answering(self._generation)
        (message,) = self._ask([model], as_read(self._conversation))
        text = self._generation.cut(str(message.text))
        whole = text == str(message.text)
        return Completion(
            text, _finish_reason(message), tuple(message.tool_calls), message if whole else None
        )

    def prefill(self, prefix: str, accepted: Sequence[Candidate] = ()) -> None:
        """Begins an answer; the model is told of it when it is asked to go on."""
        self._text = prefix + "".join(candidate.text for candidate in accepted)
        self._round = len(accepted)

    def propose(self, n: int, sampling: Sampling) -> list[Candidate]:
        """Asks for ``n`` whole answers at once; each of them ends the search."""
        self._round += 1
        temperature = min(sampling.temperature, HIGHEST_TEMPERATURE)
        seeds = [seed_of(self._generation.seed, self._round, number) for number in range(n)]
        models = [
            self._engine.repairing(self._generation, temperature=temperature, seed=seed)
            for seed in seeds
        ]
        self._proposed = [
            Candidate(_continuation(self._text, str(message.text)), (), _finish_reason(message))
            for message in self._ask(models, plainly(self._conversation, self._text))
        ]
        return self._proposed

    def accept(self, index: int) -> None:
        """Keeps a candidate."""
        self._text += self._proposed[index].text

    def finish(self) -> Completion:
        """Asks for one answer that begins with the text so far."""
        model = self._engine.repairing(self._generation)
        (message,) = self._ask([model], plainly(self._conversation, self._text))
        text = self._text + _continuation(self._text, str(message.text))
        return Completion(self._generation.cut(text), _finish_reason(message))

    def _ask(
        self, models: Sequence[Runnable[Any, Any]], messages: list[BaseMessage]
    ) -> list[AIMessage]:
        """Asks each model the same, all at once; the answers stand in the order of the models."""
        stop = list(self._generation.stop) or None
        given: dict[str, Any] = {} if stop is None else {"stop": stop}

        def ask_all(config: Any) -> list[AIMessage]:
            if len(models) == 1:
                return [models[0].invoke(messages, config, **given)]
            with ContextThreadPoolExecutor(len(models)) as pool:
                return list(pool.map(lambda model: model.invoke(messages, config, **given), models))

        answers = apart(ask_all)
        for answer in answers:
            spent = answer.usage_metadata
            if spent is not None:
                add("input_tokens", spent["input_tokens"])
                add("output_tokens", spent["output_tokens"])
        return answers


def _asked(generation: Generation) -> dict[str, Any]:
    """The settings that somebody has made, as far as that can be told."""
    default = Generation()
    names = ("max_tokens", "temperature", "seed")
    values = {name: getattr(generation, name) for name in names}
    return {name: value for name, value in values.items() if value != getattr(default, name)}


def _continuation(begun: str, answer: str) -> str:
    """What an answer adds to the text with which it was told to begin."""
    answer, begun = answer.strip(), begun.rstrip()
    if answer.startswith(begun):
        return answer[len(begun) :]
    return f" {answer}" if answer else ""


def _finish_reason(message: AIMessage) -> FinishReason:
    told = [message.response_metadata.get(name) for name in _REASONS]
    cut = any(isinstance(reason, str) and reason.lower() in _CUT_SHORT for reason in told)
    return "length" if cut else "stop"
