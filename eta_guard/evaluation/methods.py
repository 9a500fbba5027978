"""The methods that are measured side by side."""

from __future__ import annotations

from eta_guard.policy import GuardPolicy

PAPER = GuardPolicy.paper()

METHODS: dict[str, GuardPolicy | None] = {
    "plain": None,
    "prefix_only": PAPER.updated({"search": False}),
    "search_only": PAPER.updated({"prefix": ""}),
    "full": PAPER,
}
"""Policy of each method; None is the model without a guard.

All of them return what they could not repair, as the paper does, so that the unsafe rate is
measured before any canned refusal steps in.
"""
