"""What a trace shows of a request: one run tree, the nodes as children, each payload small.

A node's run records numbers and outcomes, never messages, images, drafts or tensors. Scores and
thresholds stand as metadata on the run of the node that found them and on the run around it, the
decision as a tag there (``eta:aligned``); what a node spent, as metadata of its own run.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from functools import lru_cache
from typing import Any
from uuid import UUID

from langchain_core.callbacks import (
    BaseCallbackHandler,
    CallbackManager,
)
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tracers.langchain import LangChainTracer
from langgraph.types import TracePolicy
from langsmith import Client

from eta_guard.errors import log_failure
from eta_guard.runs.apart import traces
from eta_guard.runs.progress import findings
from eta_guard.runs.told_regions import told_regions

logger = logging.getLogger(__name__)

WITHHELD = "(image withheld)"
LONGEST_WORD = 64


def beneath(run_id: UUID, handlers: Sequence[BaseCallbackHandler]) -> CallbackManager:
    """Callbacks of a graph that runs inside a chat model, whose run tells the messages already.

    Args:
        run_id: Of the chat model.
        handlers: That runs beneath it inherit. Only tracers see the graph: what feeds a stream
            would show it to the caller.
    """
    tracers: list[Any] = [without_image_bytes(handler) for handler in handlers if traces(handler)]
    return CallbackManager(tracers, inheritable_handlers=tracers, parent_run_id=run_id)


def node_trace() -> TracePolicy:
    """What the run of a node records."""
    return TracePolicy(process_inputs=_small_inputs, process_outputs=_small_outputs)


def _small_inputs(state: Mapping[str, Any]) -> dict[str, Any]:
    return {"messages": len(state.get("messages", ())), "sentences": len(state.get("rounds") or ())}


def _small_outputs(update: Any) -> Any:
    return _with_values(findings(update)) if isinstance(update, Mapping) else {}


def _with_values(found: Any) -> Any:
    """The same without what has no value: most evaluations have neither region nor reason."""
    if isinstance(found, Mapping):
        told = {name: _with_values(value) for name, value in found.items()}
        return {name: value for name, value in told.items() if value not in (None, "", [], {})}
    return [_with_values(one) for one in found] if isinstance(found, list | tuple) else found


def annotate(config: RunnableConfig, found: Mapping[str, Any], spent: Mapping[str, float]) -> None:
    """Puts what a node found on its run, and at the end on the run around it.

    Args:
        config: The node's.
        found: Its ``findings``.
        spent: Its counts, which go on its own run alone.
    """
    tags = [f"eta:{found['decision']}"] if "decision" in found else []
    for tracer, run in _runs(config):
        run.add_metadata({**_marks(found), **{f"eta_{name}": n for name, n in spent.items()}})
        run.add_tags(tags)
        for whole in _around(tracer, run) if tags else ():
            whole.add_metadata(_marks(found))
            whole.add_tags(tags)
            # Its inputs were sent when it began: with the images, that is once too often.
            whole.extra["inputs_is_truthy"] = True


def give_feedback(config: RunnableConfig, found: Mapping[str, Any]) -> None:
    """Sends the scores that decided as feedback on the run around a node.

    Args:
        config: The node's.
        found: Its ``findings``.
    """
    for tracer, run in _runs(config):
        try:
            project = _project_id(tracer.client, run.session_name)
            for name in ("image", "response", "final"):
                if evaluation := found.get(name):
                    tracer.client.create_feedback(
                        [run, *_around(tracer, run)][-1].id,
                        f"eta_{name}_score",
                        score=evaluation["score"],
                        value=evaluation["outcome"],
                        trace_id=run.trace_id,
                        session_id=project,
                    )
        except Exception as error:  # a trace is no reason to leave a request unanswered
            log_failure(logger, "LangSmith", error)


@lru_cache(maxsize=64)
def _project_id(client: Client, name: str) -> UUID:
    """Asked for once; a project begins with its first trace, which may still be under way."""
    if not client.has_project(name):
        client.create_project(name, upsert=True)
    found: UUID = client.read_project(project_name=name).id
    return found


def _runs(config: RunnableConfig) -> Iterator[tuple[LangChainTracer, Any]]:
    """The run of a node in each trace that it is part of."""
    callbacks: Any = config.get("callbacks") or []
    run_id = str(getattr(callbacks, "parent_run_id", None))
    for handler in getattr(callbacks, "handlers", ()):
        if isinstance(handler, LangChainTracer) and run_id in handler.run_map:
            yield handler, handler.run_map[run_id]


def _around(tracer: LangChainTracer, run: Any) -> Iterator[Any]:
    """The run of the graph that a node belongs to, and of the chat model that it runs in."""
    graph = tracer.run_map.get(str(run.parent_run_id))
    if graph is None:
        return
    yield graph
    model = tracer.run_map.get(str(graph.parent_run_id))
    if model is not None and model.run_type == "llm":
        yield model


def _marks(found: Mapping[str, Any]) -> dict[str, Any]:
    marks = {
        f"eta_{name}_{part}": found[name][part]
        for name in ("image", "response", "final")
        if name in found
        for part in ("outcome", "score", "threshold")
    }
    image = found.get("image", {})
    if view := image.get("view"):
        marks["eta_image_view"] = view
    for one in image.get("findings") or [image]:
        marks |= {f"eta_image_{name}": told for name, told in told_regions(one).items()}
    for name in ("image", "response", "final"):
        several = found.get(name, {}).get("findings", ())
        if len(several) > 1:
            marks |= {f"eta_{name}_{one['evaluator']}_score": one["score"] for one in several}
    if "masked" in found:
        marks["eta_masked_images"] = len(found["masked"])
    told = [name for name in ("decision", "sentence") if name in found]
    return marks | {f"eta_{name}": found[name] for name in told}


def without_image_bytes(handler: BaseCallbackHandler) -> BaseCallbackHandler:
    """A handler that records no images, if it is LangSmith's; the runs of both are one tree."""
    if not isinstance(handler, LangChainTracer):
        return handler
    hiding = copy(handler)
    hiding.__class__ = _WithoutImages
    return hiding


class _WithoutImages(LangChainTracer):
    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **kwargs: Any
    ) -> Any:
        return super().on_chat_model_start(serialized, without_images(messages), **kwargs)

    def on_chain_start(self, serialized: dict[str, Any], inputs: Any, **kwargs: Any) -> Any:
        return super().on_chain_start(serialized, without_images(inputs), **kwargs)

    def on_chain_end(self, outputs: Any, **kwargs: Any) -> Any:
        return super().on_chain_end(without_images(outputs), **kwargs)

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> Any:
        generations = [
            [
                one.model_copy(update={"message": _message_without_images(one.message)})
                if isinstance(one, ChatGeneration)
                else one
                for one in several
            ]
            for several in response.generations
        ]
        shown = response.model_copy(update={"generations": generations})
        return super().on_llm_end(shown, **kwargs)


def _message_without_images(message: BaseMessage) -> BaseMessage:
    names = ("content", "additional_kwargs")
    return message.model_copy(update={n: without_images(getattr(message, n)) for n in names})


def without_images(value: Any) -> Any:
    """Any plain value with the images in it left out, in whatever form a message holds them.

    For whole traces, the graphs around the guard included:
    ``Client(hide_inputs=without_images, hide_outputs=without_images)``.
    """
    if isinstance(value, BaseMessage):
        return _message_without_images(value)
    if isinstance(value, Mapping):
        return {key: without_images(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_images(inner) for inner in value]
    return WITHHELD if isinstance(value, str | bytes) and _is_image(value) else value


def _is_image(value: str | bytes) -> bool:
    """Whether this is an image's data; no sentence is that long without a space."""
    if isinstance(value, bytes):
        return True
    return value[:11].lower() == "data:image/" or (len(value) > LONGEST_WORD and " " not in value)
