"""The state machine: which node follows which, and why. The nodes know nothing of each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args, get_type_hints

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.graph import END, START, StateGraph

from eta_guard.admission import UnderWay
from eta_guard.edges import EDGES, Edge
from eta_guard.nodes import Node
from eta_guard.nodes.best_of_n import best_of_n
from eta_guard.nodes.generate import generate
from eta_guard.nodes.mask_align import mask_align
from eta_guard.nodes.node_run import NodeRun
from eta_guard.nodes.post_evaluate import post_evaluate
from eta_guard.nodes.pre_evaluate import pre_evaluate
from eta_guard.nodes.prefix_align import prefix_align
from eta_guard.nodes.respond import respond
from eta_guard.panel.panel import Panel
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Engine, ImageEvaluator, Likeness, ResponseEvaluator
from eta_guard.runs.tracing import node_trace
from eta_guard.state import GuardMessages, GuardState

GuardGraph = StateGraph[GuardState, None, GuardMessages, GuardMessages]


ALONGSIDE = {
    ("generate", "prefix_align"),
    ("post_evaluate", "best_of_n"),
    ("post_evaluate", "post_evaluate"),
}
"""Edges that there are only where drafts are drawn alongside the candidates."""
MASKING = {"mask_align"}
SEARCHING = {"prefix_align", "best_of_n"}
"""Nodes that there are only where the policy's ``aligner`` may ask for them."""


def build_graph(
    *,
    engine: Engine,
    image_evaluator: ImageEvaluator | Sequence[ImageEvaluator],
    response_evaluator: ResponseEvaluator | Sequence[ResponseEvaluator],
    likeness: Likeness | None = None,
    policy: GuardPolicy | None = None,
    feedback: bool = False,
    hide_drafts: bool = False,
    max_waiting: int | None = None,
    under_way: UnderWay | None = None,
) -> GuardGraph:
    """Builds the ETA state machine around an engine and its evaluators.

    Args:
        engine: Runs the chat model.
        image_evaluator: Evaluates images: one, or several, of which any makes them unsafe.
        response_evaluator: Evaluates answers, one or several likewise. Candidates are ranked by the
            first whose high scores are the good ones.
        likeness: Compares candidates with the picture; the first image evaluator that can, without.
        policy: Thresholds and settings; the defaults of ``GuardPolicy`` without one.
        feedback: Send the scores to LangSmith as feedback as well, where a request is traced.
        hide_drafts: Keep a provider's calls, and so drafts and candidates, out of traces.
        max_waiting: Most requests that may be under way beside the one that is served; one more
            raises ``OverloadedError`` at once. None: any number.
        under_way: Counts them, for graphs that share an engine.

    Returns:
        The graph, uncompiled: the caller chooses checkpointer, cache and store. Its input and its
        output are ``messages`` alone, so that it stands as a node in any graph of messages.

    Example:
        >>> graph = build_graph(engine=engine, image_evaluator=clip, response_evaluator=reward)
        >>> guard = graph.compile(checkpointer=InMemorySaver())
        >>> guard.invoke({"messages": [message]}, {"configurable": {"thread_id": "1"}})
    """
    policy = policy or GuardPolicy()
    panel = Panel.of(image_evaluator, response_evaluator, likeness, policy, engine)
    models = {"chat_model": engine.fingerprint, **panel.models}
    nodes: dict[str, Node] = {
        "pre_evaluate": pre_evaluate(engine=engine, panel=panel, policy=policy),
        "generate": generate(engine=engine, panel=panel, policy=policy),
        "post_evaluate": post_evaluate(engine=engine, panel=panel, policy=policy),
        "mask_align": mask_align(engine=engine, policy=policy),
        "prefix_align": prefix_align(engine=engine, policy=policy),
        "best_of_n": best_of_n(engine=engine, panel=panel, policy=policy),
        "respond": respond(engine=engine, models=models, policy=policy),
    }
    under_way = under_way or UnderWay()
    graph = StateGraph(GuardState, input_schema=GuardMessages, output_schema=GuardMessages)
    unasked = _unasked(policy)
    for name, node in nodes.items():
        if name in unasked:
            continue
        graph.add_node(
            name,
            NodeRun(
                name,
                node,
                policy,
                model=models["chat_model"],
                feedback=feedback,
                hide_drafts=hide_drafts,
                max_waiting=max_waiting,
                under_way=under_way,
            ),
            trace_policy=node_trace(),
        )
    _connect(graph, policy)
    return graph


def _unasked(policy: GuardPolicy) -> set[str]:
    """The nodes that no request can come to."""
    unasked = set() if policy.aligners - {"eta"} else MASKING
    return unasked if policy.aligners - {"mask"} else unasked | SEARCHING


def _connect(graph: GuardGraph, policy: GuardPolicy) -> None:
    """Draws the edges."""
    graph.add_edge(START, "pre_evaluate")
    unasked = _unasked(policy)
    for node, edge in EDGES.items():
        if node in unasked:
            continue
        ends = [
            end
            for end in get_args(get_type_hints(edge)["return"])
            if end not in unasked
            if policy.draft_with_candidates or (node, end) not in ALONGSIDE
        ]
        graph.add_conditional_edges(node, _Condition(edge, policy), ends)
    graph.add_edge("respond", END)


class _Condition(Runnable[GuardState, str]):
    """An edge without a run of its own, which would show a trace the whole state again."""

    def __init__(self, edge: Edge, policy: GuardPolicy) -> None:
        self.name = edge.__name__
        self._edge = edge
        self._policy = policy

    def invoke(self, input: GuardState, config: RunnableConfig | None = None, **kwargs: Any) -> str:
        return self._edge(input, self._policy.for_run(config))

    async def ainvoke(
        self, input: GuardState, config: RunnableConfig | None = None, **kwargs: Any
    ) -> str:
        return self.invoke(input, config)
