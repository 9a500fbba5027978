"""Writes a policy as a file that ``GuardPolicy.from_file`` reads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import yaml

from eta_guard.policy import GuardPolicy


def policy_text(policy: GuardPolicy, remarks: Sequence[str]) -> str:
    """The fields that are not the defaults, and both thresholds, as YAML.

    Args:
        policy: What to write.
        remarks: Lines that say where it comes from.
    """
    defaults = GuardPolicy()
    fields = policy.model_dump(mode="json")
    fields["overridable"] = sorted(policy.overridable)
    always = {"image_threshold", "response_threshold"}
    kept = {
        name: value
        for name, value in fields.items()
        if name in always or getattr(policy, name) != getattr(defaults, name)
    }
    head = "".join(f"# {' '.join(remark.split())}\n" for remark in remarks)
    return head + yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)


def write_policy(path: Path, policy: GuardPolicy, remarks: Sequence[str]) -> None:
    """Writes ``policy_text``.

    Args:
        path: Replaced whole or not at all.
        policy: What to write.
        remarks: Lines that say where it comes from.
    """
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(policy_text(policy, remarks))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
