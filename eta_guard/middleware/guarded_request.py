"""GuardedRequest: what a middleware further in is handed, which may change all but who answers."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from langchain.agents.middleware import ModelRequest

from eta_guard.errors import EngineError
from eta_guard.guard import EtaGuard
from eta_guard.middleware.guarded_model import GuardedModel


class GuardedRequest(ModelRequest[Any]):
    """A model call within the guard.

    An agent shows a middleware none of its neighbours. One that stands further in, a fallback or a
    router, puts its model into a request by ``override``: a model without a guard is an error
    there, before it is asked anything.
    """

    def __init__(self, **parts: Any) -> None:
        """Takes what ``ModelRequest`` takes.

        Raises:
            EngineError: The model has no guard around it.
        """
        _check(parts["model"])
        super().__init__(**parts)

    def override(self, **overrides: Any) -> ModelRequest[Any]:
        """The request with some of it replaced; raises as the constructor does."""
        model, held = overrides.get("model"), getattr(self.model, "held", None)
        if isinstance(model, GuardedModel):  # a reviewer sees a backup's answers as well
            overrides["model"] = model.model_copy(update={"held": held})
        return super().override(**overrides)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "model":
            _check(value)
        super().__setattr__(name, value)


def within(request: ModelRequest[Any], model: EtaGuard) -> GuardedRequest:
    """The request as those further in are handed it.

    Args:
        request: Of the agent, or of a middleware further out.
        model: Answers, with the guard around it.
    """
    parts = {field.name: getattr(request, field.name) for field in fields(request)}
    return GuardedRequest(**{**parts, "model": model})


def _check(model: object) -> None:
    if not isinstance(model, EtaGuard):
        raise EngineError(
            f"A middleware within the guard asks {type(model).__name__}, which has no guard.",
            hint="Put EtaGuardMiddleware last in the list of middleware, or give the other one a"
            " guarded model: middleware.around(model).",
        )
