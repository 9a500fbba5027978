"""What the graph itself costs: requests whose models cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import median
from time import process_time

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, MessagesState, StateGraph
from PIL.Image import Image

from eta_guard.bench.guarded import FLAGS_ALL
from eta_guard.guard import OTHER_STEPS, EtaGuard
from eta_guard.protocols import (
    Candidate,
    Completion,
    Direction,
    Finding,
    FinishReason,
    Generation,
    Sampling,
    Watch,
)
from eta_guard.request.conversation import Conversation

_LONG, _SHORT = 21, 1


@dataclass
class _Constant:
    """Engine, its session, evaluator and its session: each answers at once, and always alike."""

    sentences: int
    fingerprint: str = "constant"
    sentence: int = 0

    name = "constant"
    threshold = None
    unsafe: Direction = "below"
    cost = 0.0

    def open(self, *_: Conversation | Generation | str | Sequence[Image]) -> _Constant:
        return _Constant(self.sentences)

    def answer(self, watch: Watch | None = None) -> Completion:
        return Completion("Words.", "stop")

    def prefill(self, prefix: str, accepted: Sequence[Candidate] = ()) -> None:
        self.sentence = 0

    def propose(self, n: int, sampling: Sampling) -> list[Candidate]:
        self.sentence += 1
        ended: FinishReason | None = "stop" if self.sentence == self.sentences else None
        return [Candidate(" Words.", (1, 2), ended)] * n

    def accept(self, kept: int | str) -> None:
        """Takes any."""

    def finish(self) -> Completion:
        return self.answer()

    def score(self, continuations: Sequence[str]) -> list[float]:
        return [0.0] * len(continuations)

    def evaluate(self, images: Sequence[Image], prompt: str, question: str = "") -> list[Finding]:
        return [Finding(0.0)] * len(images)

    def likeness(self, image: Image, texts: Sequence[str]) -> list[float]:
        return [0.5] * len(texts)


def constant(sentences: int) -> _Constant:
    """A part of every kind that costs nothing: a repair by it has so many sentences."""
    return _Constant(sentences)


def graph_overhead(repeats: int = 30) -> dict[str, float]:
    """Milliseconds of a request beside its sentences, and of each sentence.

    The line through requests of one sentence and of twenty-one; medians of ``repeats`` each. They
    are the processor's, so that other work on the machine does not count, and the request has no
    picture, whose reading is not the graph's. ``empty_ms`` is what LangGraph itself takes for as
    many nodes that do nothing.
    """
    short, long = (_milliseconds(_request(sentences), repeats) for sentences in (_SHORT, _LONG))
    a_sentence = (long - short) / (_LONG - _SHORT)
    return {
        "request_ms": short - a_sentence * _SHORT,
        "sentence_ms": a_sentence,
        "empty_ms": _milliseconds(_empty_nodes(), repeats),
    }


def _request(sentences: int) -> Callable[[], object]:
    part = _Constant(sentences)
    policy = FLAGS_ALL.updated({"on_no_image": "align"})
    guard = EtaGuard(engine=part, image_evaluator=part, response_evaluator=part, policy=policy)
    config: RunnableConfig = {"recursion_limit": sentences + OTHER_STEPS}
    return lambda: guard.graph.invoke({"messages": [HumanMessage("Words?")]}, config)


def _empty_nodes() -> Callable[[], object]:
    """As many nodes as a request has beside its sentences, each with a conditional edge."""
    graph = StateGraph(MessagesState)
    names = [f"node_{number}" for number in range(6)]
    for name in names:
        graph.add_node(name, lambda _: {})
    for name, after in pairwise([*names, END]):
        graph.add_conditional_edges(name, partial(_to, after), [after])
    graph.add_edge(START, names[0])
    compiled = graph.compile(checkpointer=False)
    return lambda: compiled.invoke({"messages": [HumanMessage("Words?")]})


def _to(after: str, _: MessagesState) -> str:
    return after


def _milliseconds(work: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats + 2):
        begun = process_time()
        work()
        seconds.append(process_time() - begun)
    return 1000 * median(seconds[2:])  # the first ones compile and warm up
