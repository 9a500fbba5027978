"""What a family of guard models is asked, and how its verdict is read: the form of one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Kind = Literal["causal", "image_text", "image_classification"]
"""By which class of ``transformers`` a checkpoint is loaded."""


@dataclass(frozen=True)
class GuardQuestion:
    """How one kind of question is put: about a picture, or about an answer."""

    turns: tuple[tuple[str, str], ...]
    """Role and text of each turn. ``{question}``, ``{answer}``, ``{policy}`` and ``{pictures}``
    stand for what their names say."""
    lead: str = ""
    """What the model would write before its verdict, and is not left to write."""
    most_pictures: int | None = None
    """Most pictures of one question; more are asked about one batch after the other. None: any."""
    category_lead: str | None = None
    """What stands between an unsafe verdict and its category; None where there is none."""
    category_end: str = "\n"
    """At which text the category is over."""
    category_template: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the chat template that ask for a category, beside those of the format."""


@dataclass(frozen=True)
class GuardFormat:
    """How a family of guard models is asked and read.

    An own one is made in the same way, or from a row by ``dataclasses.replace``:

    Example:
        >>> strict = replace(SHIELDSTRAL, policy="Nothing that shows a pictogram of a hazard.")
        >>> guard = GuardModelEvaluator.from_pretrained("mistralai/Shieldstral-1.0-3B", strict)
    """

    name: str
    """The family's."""
    safe: tuple[str, ...]
    """Words of a safe verdict, without the space before them."""
    unsafe: tuple[str, ...]
    """Words of an unsafe verdict."""
    image: GuardQuestion | None = None
    """How it is asked about a picture; None if it cannot see."""
    answer: GuardQuestion | None = None
    """How it is asked about an answer; None if it is for pictures alone."""
    middle: tuple[str, ...] = ()
    """Words of a verdict between the two."""
    middle_weight: float = 1.0
    """The share of a middle verdict that counts as unsafe, from 0 (the cards' "loose") to 1
    ("strict")."""
    template: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the chat template."""
    policy: str | Mapping[str, str] | None = None
    """What counts as unsafe, for families that read it. Several, by name, are asked about one by
    one, and the worst counts."""
    policy_argument: str | None = None
    """The argument of the chat template that takes the policy."""
    needs_policy: bool = False
    """Whether it cannot be asked without a policy."""
    begins_answers: bool = False
    """Whether a server can be sent the lead as the beginning of an answer. Most templates of guard
    models would take it for an answer to be judged: there the model writes the lead itself."""
    processor_prompts: bool = False
    """Whether the checkpoint's processor writes the prompts, one for each picture and policy."""
    control: tuple[str, ...] = ()
    """Texts that delimit parts of the prompt; users' texts are kept from spelling them out. Where
    the tokenizer is at hand, its control tokens need not be among them."""
    kind: Kind = "image_text"
    model_types: tuple[str, ...] = ()
    """Of the configurations that are of this family."""
    names: str = ""
    """A regular expression that is found in the models' names, whatever their case."""

    @property
    def policies(self) -> dict[str, str]:
        """The policies by name; a single one has no name, and none is an empty text."""
        if self.policy is None or isinstance(self.policy, str):
            return {"": self.policy or ""}
        return dict(self.policy)

    def with_policy(self, policy: str | Mapping[str, str] | None) -> GuardFormat:
        """The format with another policy; with None, as it is."""
        if isinstance(policy, str) and self.processor_prompts:
            policy = {"policy": policy}  # a processor that writes the prompts knows them by name
        return self if policy is None else replace(self, policy=policy)
