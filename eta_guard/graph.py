"""The state machine: which node follows which, and why. The nodes know nothing of each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args, get_type_hints

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.graph import END, START, StateGraph

from eta_guard.admission import UnderWay
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
from eta_guard.state import GuardMessages, GuardState, can_mask, passes, still_unsafe

GuardGraph = StateGraph[GuardState, None, GuardMessages, GuardMessages]
Condition = Callable[[GuardState, RunnableConfig], str]


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
    """Draws the edges; each condition is a threshold's outcome or a setting of the policy."""

    def after_pre_evaluate(
        state: GuardState, config: RunnableConfig
    ) -> Literal["generate", "respond"]:
        return "respond" if state["halt"] else "generate"

    def after_generate(
        state: GuardState, config: RunnableConfig
    ) -> Literal["post_evaluate", "respond", "prefix_align"]:
        if state["halt"]:
            return "respond"
        if state["drafting"]:
            return "prefix_align"
        unread = policy.for_run(config).passes_unread(state["image"])
        return "respond" if unread and not state["pictured"] else "post_evaluate"

    def after_post_evaluate(
        state: GuardState, config: RunnableConfig
    ) -> Literal["mask_align", "prefix_align", "respond", "best_of_n", "post_evaluate"]:
        rules = policy.for_run(config)
        if state["halt"] or rules.mode == "observe":
            return "respond"
        if state["final"]:
            on = rules.aligner == "mask+eta" and still_unsafe(state)
            return "prefix_align" if on else "respond"
        if state["calls_tools"]:  # no sentence could take its place
            return "respond"
        always = state["image"] is None and rules.on_no_image == "align"
        if passes(state, rules) and not always:
            return "respond"
        if state["repaired"]:
            return "post_evaluate"
        if rules.aligner != "eta" and can_mask(state):
            return "mask_align"
        if rules.aligner == "mask":  # there is nothing to cover
            return "respond"
        return "best_of_n" if state["rounds"] else "prefix_align"

    def after_mask_align(
        state: GuardState, config: RunnableConfig
    ) -> Literal["post_evaluate", "respond"]:
        return "respond" if state["halt"] else "post_evaluate"

    def after_prefix_align(
        state: GuardState, config: RunnableConfig
    ) -> Literal["best_of_n", "post_evaluate", "respond"]:
        if state["halt"]:
            return "post_evaluate" if state["drafting"] else "respond"
        session = state["session"]
        drafted = state["drafting"] and session is not None and session.draft_is_whole
        return "post_evaluate" if state["repaired"] or drafted else "best_of_n"

    graph.add_edge(START, "pre_evaluate")
    ways: dict[str, Condition] = {
        "pre_evaluate": after_pre_evaluate,
        "generate": after_generate,
        "post_evaluate": after_post_evaluate,
        "mask_align": after_mask_align,
        "prefix_align": after_prefix_align,
        # The search goes on until its answer is whole: the same three ways as into it.
        "best_of_n": after_prefix_align,
    }
    unasked = _unasked(policy)
    for node, condition in ways.items():
        if node in unasked:
            continue
        ends = [
            end
            for end in get_args(get_type_hints(condition)["return"])
            if end not in unasked
            if policy.draft_with_candidates or (node, end) not in ALONGSIDE
        ]
        graph.add_conditional_edges(node, _Edge(condition), ends)
    graph.add_edge("respond", END)


class _Edge(Runnable[GuardState, str]):
    """A condition without a run of its own, which would show a trace the whole state again."""

    def __init__(self, condition: Condition) -> None:
        self.name = condition.__name__
        self._condition = condition

    def invoke(self, input: GuardState, config: RunnableConfig | None = None, **kwargs: Any) -> str:
        return self._condition(input, config or {})

    async def ainvoke(
        self, input: GuardState, config: RunnableConfig | None = None, **kwargs: Any
    ) -> str:
        return self.invoke(input, config)
