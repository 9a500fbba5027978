"""Several evaluators of one kind: the cheap ones first, and no more than the outcome needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from eta_guard.panel.evaluation import Evaluation
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Evaluator
from eta_guard.steps import Steps, together

E = TypeVar("E", bound=Evaluator)


def in_turn(
    evaluators: Sequence[E],
    evaluate: Callable[[E, list[int]], Steps[list[Evaluation]]],
    count: int,
    policy: GuardPolicy,
) -> Steps[list[list[Evaluation]]]:
    """Asks the evaluators about some things, those over a network at the same time.

    Args:
        evaluators: In the order in which the guard was given them.
        evaluate: Asks one about the things of these numbers. It raises nothing: what fails is
            unscored.
        count: How many things there are.
        policy: With ``short_circuit`` nobody is asked about a thing of which something was found
            that is not safe: that decides, whatever the others would say. What is called safe has
            been before them all.

    Returns:
        Of each thing what was found, in the order of ``evaluators``.
    """
    found: list[dict[str, Evaluation]] = [{} for _ in range(count)]
    for asked in _rounds(evaluators):
        open_ones = [
            number
            for number, known in enumerate(found)
            if not policy.short_circuit or all(one.outcome == "safe" for one in known.values())
        ]
        if not open_ones:
            break
        answers = yield from together([evaluate(evaluator, open_ones) for evaluator in asked])
        for evaluator, of_one in zip(asked, answers, strict=True):
            for number, evaluation in zip(open_ones, of_one, strict=True):
                found[number][evaluator.name] = evaluation
    names = [evaluator.name for evaluator in evaluators]
    return [[known[name] for name in names if name in known] for known in found]


def spared(evaluators: Sequence[Evaluator], found: Sequence[Evaluation]) -> tuple[str, ...]:
    """Names of those whom nobody had to ask any more."""
    asked = {one.evaluator for one in found}
    return tuple(one.name for one in evaluators if one.name not in asked)


def _rounds(evaluators: Sequence[E]) -> Iterator[list[E]]:
    """Who is asked at the same time: each local one alone, since they share one machine."""
    remote = [one for one in evaluators if getattr(one, "remote", False)]
    rounds = [[one] for one in evaluators if one not in remote] + ([remote] if remote else [])
    # Stable: of equally dear ones the first first.
    yield from sorted(rounds, key=lambda several: min(one.cost for one in several))
