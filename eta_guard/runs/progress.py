"""How far a request has come: what each node found, in numbers, without a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.types import StreamWriter

from eta_guard.policy import GuardPolicy


def findings(update: Mapping[str, Any]) -> dict[str, Any]:
    """What a node's update says, without texts, messages and session."""
    found = {name: update[name] for name in ("image", "response", "final") if update.get(name)}
    if update.get("images"):
        found["images"] = update["images"]
    if masked := update.get("masked"):
        found["masked"] = masked["pictures"]
    if update.get("rounds") and "messages" not in update:
        found |= {key: value for key, value in update["rounds"][-1].items() if key != "text"}
    if halt := update.get("halt"):
        found |= {"halt": halt["decision"], "reason": halt["reason"]}
    for message in update.get("messages", ())[-1:]:
        verdict = message.response_metadata["eta_guard"]
        told = ("decision", "reason", "image", "response", "final")
        found |= {name: verdict[name] for name in told if verdict[name] is not None}
        if verdict["masked"]:
            found["masked"] = verdict["masked"]["pictures"]
    return found


def report(writer: StreamWriter, node: str, update: Mapping[str, Any], policy: GuardPolicy) -> None:
    """Writes a ``custom`` event for those who stream them: ``{"eta_guard": node, ...}``.

    Beside what the node found, a sentence of the search says of how many at most it is: every
    sentence to come takes a token of the budget at least. Where the policy records rejected texts,
    it says what its candidates are, too.
    """
    found = findings(update)
    if "sentence" in found:
        spent = sum(map(len, update["accepted"]))
        more = 0 if update.get("repaired") or update.get("halt") else policy.max_tokens - spent
        found["at_most"] = found["sentence"] + max(more, 0)
        session = update.get("session")
        if policy.record_rejected and session is not None:
            found["texts"] = list(session.proposed[-1])
    writer({"eta_guard": node, **found})
