"""The settings of the page, to be taken along: as Python, or as a policy file."""

from __future__ import annotations

from collections.abc import Mapping
from pprint import pformat
from typing import Any

from eta_guard.evaluation.policy_file import policy_text
from eta_guard.play.settings import Chosen
from eta_guard.policy import GuardPolicy

_ALL_PARTS = "guard = EtaGuard(**parts, policy=policy)\n"
_SOME_PARTS = """\
panel = EtaGuard(**parts).panel
guard = EtaGuard(
    engine=parts["engine"],
    image_evaluator=[one for one in panel.images if one.name in {images}],
    response_evaluator=[one for one in panel.responses if one.name in {responses}],
    likeness=panel.likeness,
    policy=policy,
)
"""


def as_policy_file(chosen: Chosen) -> str:
    """The policy as ``GuardPolicy.from_file`` reads it."""
    return policy_text(chosen.policy, ["The settings of eta-guard play."])


def as_python(chosen: Chosen, models: Mapping[str, Any], *, all_on: bool) -> str:
    """The policy and the guard as Python.

    Args:
        chosen: The settings.
        models: Arguments of ``load_parts`` that load the models of the page, ``dtype`` by name.
        all_on: Whether every evaluator that is loaded is on.
    """
    fields = "".join(f"    {name}={_shown(value)},\n" for name, value in _set(chosen.policy))
    policy = f"policy = GuardPolicy(\n{fields})\n" if fields else "policy = GuardPolicy()\n"
    given = {name: repr(value) for name, value in models.items()}
    torch = ""
    if dtype := models.get("dtype"):
        torch, given["dtype"] = "import torch\n", f"torch.{dtype}"
    loaded = ", ".join(f"{name}={value}" for name, value in given.items())
    parts = _ALL_PARTS
    if not all_on:
        parts = _SOME_PARTS.format(images=chosen.images, responses=chosen.responses)
    return (
        f"{torch}from eta_guard import EtaGuard, GuardPolicy\n"
        "from eta_guard.pretrained import load_parts\n\n"
        f"{policy}parts = load_parts({loaded})\n{parts}"
    )


def _set(policy: GuardPolicy) -> list[tuple[str, Any]]:
    defaults = GuardPolicy()
    return [(name, value) for name, value in policy if value != getattr(defaults, name)]


def _shown(value: Any) -> str:
    plain = dict(value) if isinstance(value, dict) else value
    return pformat(plain, width=88, compact=True).replace("\n", "\n    ")
