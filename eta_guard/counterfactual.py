"""What another policy would have decided on the scores that a verdict holds.

The request is taken its way again, by the graph's own edges and rules: wherever a node would have
evaluated, the score that it found stands in the verdict, or it is said that there is none.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from eta_guard.decisions import (
    Decision,
    Halt,
    aligns_undrawn,
    decide,
    draft_halt,
    flags,
    flags_evaluated,
    image_halt,
    unscored_halt,
)
from eta_guard.edges import EDGES
from eta_guard.errors import EvaluationError
from eta_guard.panel.evaluation import CombinedEvaluation, ImageEvaluation, Kind
from eta_guard.policy import GuardPolicy

_FIRST_THAT_TELLS_ALL = 3
"""Verdicts of earlier schemas do not say whose thresholds theirs were, and who was not asked."""
_NO_REPAIRS = {"pre_evaluate", "generate", "post_evaluate", "respond"}
"""Nodes that make no other answer."""


class Counterfactual(BaseModel):
    """What another policy would have decided on the same scores."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    decision: Decision | None
    """None where the scores do not tell, and where the policy raises an error."""
    flagged: bool | None
    """As in a verdict; None where the scores do not tell."""
    reason: str | None = None
    """Why it would have refused or blocked."""
    unknown: str | None = None
    """What the scores do not tell: what was not evaluated, or not made."""
    route: tuple[str, ...] = ()
    """The nodes as far as is known, of a draft that is drawn before the search begins."""
    image: ImageEvaluation | None = None
    """Those evaluations that would have counted, held against this policy's thresholds."""
    response: CombinedEvaluation | None = None
    final: CombinedEvaluation | None = None


class Scored(Protocol):
    """What is read of a ``Verdict``."""

    @property
    def schema_version(self) -> int: ...  # noqa: D102
    @property
    def decision(self) -> Decision: ...  # noqa: D102
    @property
    def reason(self) -> str | None: ...  # noqa: D102
    @property
    def route(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def images(self) -> tuple[ImageEvaluation, ...]: ...  # noqa: D102
    @property
    def response(self) -> CombinedEvaluation | None: ...  # noqa: D102
    @property
    def drawn(self) -> tuple[CombinedEvaluation, ...]: ...  # noqa: D102
    @property
    def final(self) -> CombinedEvaluation | None: ...  # noqa: D102
    @property
    def calls_tools(self) -> bool: ...  # noqa: D102
    @property
    def halted_at(self) -> str | None: ...  # noqa: D102


def under(verdict: Scored, policy: GuardPolicy) -> Counterfactual:
    """What a policy would have decided on a verdict's scores; see ``Verdict.under``."""
    if verdict.schema_version < _FIRST_THAT_TELLS_ALL:
        old = f"a verdict of schema {verdict.schema_version} does not tell enough"
        return Counterfactual(decision=None, flagged=None, unknown=old)
    return _Way(verdict, policy).taken() if verdict.route else _evaluated_alone(verdict, policy)


class _UnknownError(Exception):
    """The scores do not tell what comes next."""

    def __init__(self, what: str, *, flagged: bool | None = None) -> None:
        super().__init__(what)
        self.flagged = flagged


class _Way:
    """The way of one request, taken again under another policy."""

    def __init__(self, verdict: Scored, policy: GuardPolicy) -> None:
        self._verdict, self._policy = verdict, policy
        self._route: list[str] = []
        self._found: dict[str, Any] = {}
        self._known: dict[str, Any] = {
            "halt": None,
            "image": None,
            "response": None,
            "drawn": [],
            "final": None,
            "repaired": False,
            "rounds": [],
            "drafting": False,
            "pictured": bool(verdict.drawn),
            "calls_tools": verdict.calls_tools,
        }

    def taken(self) -> Counterfactual:
        node = "pre_evaluate"
        try:
            while node != "respond":
                self._enter(node)
                node = EDGES[node](self._known, self._policy)
                if node not in _NO_REPAIRS:
                    node = self._repair()
        except _UnknownError as missing:
            observing = self._policy.mode == "observe"
            return self._told(
                decision="observed" if observing else None,
                flagged=missing.flagged,
                unknown=str(missing),
            )
        except EvaluationError as error:
            return self._told(decision=None, flagged=True, unknown=f"it raises: {error.message}")
        self._route.append("respond")
        decision, reason = decide(self._known, self._policy)
        flagged = flags(decision, self._known, self._policy)
        return self._told(decision=decision, flagged=flagged, reason=reason)

    def _told(self, **more: Any) -> Counterfactual:
        return Counterfactual(route=tuple(self._route), **self._found, **more)

    def _enter(self, node: str) -> None:
        self._route.append(node)
        drawn = node != "generate" or not self._undrawn()
        if drawn and node == self._verdict.halted_at and self._is_last(node):
            self._known["halt"] = self._halt()
        if node == "pre_evaluate":
            self._pre_evaluate()
        elif node == "generate":
            self._generate()
        elif self._known["repaired"]:
            self._evaluate_final()
        else:
            self._evaluate_draft()

    def _is_last(self, node: str) -> bool:
        return self._route.count(node) == self._verdict.route.count(node)

    def _halt(self) -> Halt:
        """What failed then fails again."""
        return Halt(decision=self._verdict.decision, reason=self._verdict.reason or "")

    def _pre_evaluate(self) -> None:
        images = [_scores(one, "image", self._policy) for one in self._verdict.images]
        worst = max(images, key=lambda image: image.unsafety, default=None)
        self._keep("image", worst)
        self._known["halt"] = self._known["halt"] or image_halt(worst, self._policy)

    def _generate(self) -> None:
        verdict = self._verdict
        evaluated = bool(verdict.images or verdict.response or verdict.drawn)
        drawn = evaluated or "post_evaluate" not in verdict.route
        if ("generate" not in verdict.route or not drawn) and not self._undrawn():
            raise _UnknownError("there was no plain answer")

    def _undrawn(self) -> bool:
        return aligns_undrawn(self._known, self._policy, calls_tools=self._verdict.calls_tools)

    def _evaluate_draft(self) -> None:
        verdict, policy, found = self._verdict, self._policy, self._verdict.response
        if self._undrawn():
            if found and found.outcome == "unscored" and policy.on_unscored != "unsafe":
                raise _UnknownError("it may refuse before it aligns", flagged=True)
            return
        response = None
        if not policy.passes_unread(self._known["image"]) and not (found is None and self._halted):
            if found is None:
                raise _UnknownError("the plain answer was not evaluated")
            response = _scores(found, "response", policy)
            if response.outcome == "safe" and response.score is not None and response.reason:
                raise _UnknownError("of the plain answer only the beginning was evaluated")
        drawn = [_scores(one, "image", policy) for one in verdict.drawn]
        self._keep("response", response)
        self._known["drawn"] = [_plain(one) for one in drawn]
        if response and response.outcome == "safe" and found and found.outcome != "safe":
            self._known["halt"] = None  # it was the search alongside that failed
        self._known["halt"] = draft_halt(response, drawn, policy) or self._known["halt"]

    @property
    def _halted(self) -> bool:
        return self._known["halt"] is not None

    def _repair(self) -> str:
        """Goes through the repair as it was made, up to its evaluation."""
        repairs = [node for node in self._verdict.route if node not in _NO_REPAIRS]
        if not repairs:
            raise _UnknownError("no repaired answer was made", flagged=True)
        self._route += repairs
        if self._verdict.halted_at in repairs:
            self._known["halt"] = self._halt()
            return "respond"
        self._known["repaired"] = True
        return "post_evaluate"

    def _evaluate_final(self) -> None:
        if self._halted:
            return
        if self._verdict.final is None:
            raise _UnknownError("the repaired answer was not evaluated", flagged=True)
        try:
            final = _scores(self._verdict.final, "response", self._policy)
        except _UnknownError as missing:
            raise _UnknownError(str(missing), flagged=True) from None
        asks_all = self._policy.on_unrepaired == "return"
        if asks_all and final.spared and final.outcome == "unsafe":
            raise _UnknownError(_not_asked(final), flagged=True)
        self._keep("final", final)
        self._known["halt"] = unscored_halt(final, self._policy, "The answer", "refused")

    def _keep(self, name: str, found: CombinedEvaluation | None) -> None:
        self._found[name] = found
        self._known[name] = found and _plain(found)


def _evaluated_alone(verdict: Scored, policy: GuardPolicy) -> Counterfactual:
    """Of what was evaluated and not generated."""
    answered = verdict.response is not None
    try:
        images = [_scores(one, "image", policy) for one in verdict.images]
        image = max(images, key=lambda one: one.unsafety, default=None)
        found = verdict.response
        plain = None if image is None else _plain(image)
        unread = policy.passes_unread(plain)
        response = None if found is None or unread else _scores(found, "response", policy)
        drawn = [_scores(one, "image", policy) for one in verdict.drawn]
    except _UnknownError as missing:
        return Counterfactual(decision="observed", flagged=None, unknown=str(missing))
    known = {
        "image": plain,
        "response": response and _plain(response),
        "drawn": [_plain(one) for one in drawn],
    }
    flagged = flags_evaluated(known, policy, answered=answered)
    return Counterfactual(decision="observed", flagged=flagged, image=image, response=response)


E = TypeVar("E", bound=CombinedEvaluation)


def _scores(found: E, kind: Kind, policy: GuardPolicy) -> E:
    """An evaluation under this policy.

    Raises:
        _UnknownError: It would ask others than those who were asked, and that may matter.
    """
    known = found.under(policy, kind)
    if known.spared and known.outcome == "safe":
        raise _UnknownError(_not_asked(known))
    if policy.on_unscored != "unsafe":  # then it matters who fails
        not_safe = [one.outcome for one in known.findings if one.outcome != "safe"]
        if policy.short_circuit and len(not_safe) > 1 and "unscored" in not_safe:
            raise _UnknownError("it depends on which evaluator is asked first")
        if known.spared and not policy.short_circuit:
            raise _UnknownError(_not_asked(known))
    return known


def _not_asked(found: CombinedEvaluation) -> str:
    return f"not asked: {', '.join(found.spared)}"


def _plain(found: CombinedEvaluation) -> dict[str, Any]:
    return found.model_dump(mode="json")
