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
    evaluate: Callable[[E], Steps[list[Evaluation]]],
    policy: GuardPolicy,
) -> Steps[list[list[Evaluation]]]:
    """Asks the evaluators, those over a network at the same time.

    Args:
        evaluators: In the order in which the guard was given them.
        evaluate: Asks one. It raises nothing: what fails is unscored.
        policy: With ``short_circuit`` nobody is asked once something was found that is not safe:
            that decides, whatever the others would say.

    Returns:
        What each found that was asked, in the order of ``evaluators``.
    """
    found: dict[str, list[Evaluation]] = {}
    for asked in _rounds(evaluators):
        answers = yield from together([evaluate(evaluator) for evaluator in asked])
        found |= {one.name: answer for one, answer in zip(asked, answers, strict=True)}
        unsafe = any(one.outcome != "safe" for answer in answers for one in answer)
        if unsafe and policy.short_circuit:
            break
    return [found[evaluator.name] for evaluator in evaluators if evaluator.name in found]


def _rounds(evaluators: Sequence[E]) -> Iterator[list[E]]:
    """Who is asked at the same time: each local one alone, since they share one machine."""
    remote = [one for one in evaluators if getattr(one, "remote", False)]
    rounds = [[one] for one in evaluators if one not in remote] + ([remote] if remote else [])
    # Stable: of equally dear ones the first first.
    yield from sorted(rounds, key=lambda several: min(one.cost for one in several))
