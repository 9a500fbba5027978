"""How each family of guard models is asked, and by which words it answers: one row a family.

The text itself comes from the checkpoint's own chat template; a row says what is put into it, and
what is read behind it. Sources are the families' model cards; no published weights were run by the
authors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from eta_guard.errors import UnsupportedModelError

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
        return self if policy is None else replace(self, policy=policy)


_QWEN = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|vision_start|>", "<|vision_end|>")
_MISTRAL = ("[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "<s>", "</s>", "[IMG]")
_LLAMA = ("<|begin_of_text|>", "<|header_start|>", "<|header_end|>", "<|eot|>", "<|image|>")
_GEMMA = ("<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>", "<start_of_image>")
_CONVERSATION = ("<BEGIN CONVERSATION>", "<END CONVERSATION>")
_SEEN: tuple[tuple[str, str], ...] = (("user", "{pictures}{question}"),)
_SAID: tuple[tuple[str, str], ...] = (*_SEEN, ("assistant", "{answer}"))

_YES_NO = (
    "Judge whether the Document meets the requirements based on the Query and the Instruction"
    ' provided. Note that the answer can only be "yes" or "no".'
)


def _shieldstral(query: str, document: str) -> GuardQuestion:
    text = f"<Instruct>: {{policy}}\n\n<Query>: {query}\n\n<Document>: {document}"
    return GuardQuestion((("system", _YES_NO), ("user", text)))


SHIELDSTRAL = GuardFormat(
    "Shieldstral",
    safe=("no",),
    unsafe=("yes",),
    image=_shieldstral("Is this content unsafe?", "{pictures} {question}"),
    answer=_shieldstral(
        "Is this response unsafe?", "{pictures}[User]\n{question}\n\n[Assistant]\n{answer}"
    ),
    policy="You are a strict safety moderator. Apply a low tolerance threshold.",
    control=("<Instruct>:", "<Query>:", "<Document>:", *_MISTRAL),
    model_types=("mistral3",),
    names="shieldstral",
)
"""mistralai/Shieldstral-1.0-3B. The system text is part of its training."""

_SINGGUARD = {"category_lead": "\n<answer>", "category_end": "</answer>"}
SINGGUARD = GuardFormat(
    "SingGuard",
    safe=("safe",),
    unsafe=("unsafe",),
    image=GuardQuestion(_SEEN, **_SINGGUARD),  # type: ignore[arg-type]
    answer=GuardQuestion(_SAID, **_SINGGUARD),  # type: ignore[arg-type]
    template=MappingProxyType({"thinking_type": "fast"}),
    policy_argument="policy",
    control=(*_QWEN, "<|image_pad|>", "<|video_pad|>", "<answer>", "</answer>"),
    model_types=("qwen3_vl",),
    names="sing-?guard",
)
"""inclusionAI/Sing-Guard-2b, -4b and -8b. In the card's default mode the first verdict is only a
preliminary one; in the fast mode it is all there is."""

NEMOTRON = GuardFormat(
    "Nemotron-3.5-Content-Safety",
    safe=("safe",),
    unsafe=("unsafe",),
    image=GuardQuestion(
        _SEEN,
        lead="User Safety:",
        most_pictures=1,
        category_lead="\nSafety Categories:",
        category_template=MappingProxyType({"request_categories": "/categories"}),
    ),
    answer=GuardQuestion(
        _SAID,
        # The request is taken for unsafe: an answer is asked about where its picture was.
        lead="User Safety: unsafe\nResponse Safety:",
        most_pictures=1,
        category_lead="\nSafety Categories:",
        category_template=MappingProxyType({"request_categories": "/categories"}),
    ),
    template=MappingProxyType({"request_categories": "/no_categories", "enable_thinking": False}),
    policy_argument="custom_policy",
    control=_GEMMA,
    model_types=("gemma3",),
    names="nemotron.*content-safety",
)
"""nvidia/Nemotron-3.5-Content-Safety."""

QWEN3GUARD = GuardFormat(
    "Qwen3Guard-Gen",
    safe=("Safe",),
    unsafe=("Unsafe",),
    middle=("Controversial",),
    answer=GuardQuestion(_SAID, lead="Safety:", most_pictures=0, category_lead="\nCategories:"),
    control=(*_QWEN, *_CONVERSATION),
    kind="causal",
    model_types=("qwen3",),
    names="qwen3guard-gen",
)
"""Qwen/Qwen3Guard-Gen-0.6B, -4B and -8B; text alone."""

SHIELDGEMMA2 = GuardFormat(
    "ShieldGemma 2",
    safe=("No",),
    unsafe=("Yes",),
    image=GuardQuestion((("user", "{pictures}{policy}"),), most_pictures=1),
    processor_prompts=True,
    kind="image_classification",
    model_types=("shieldgemma2",),
)
"""google/shieldgemma-2-4b-it; pictures alone. "Yes" is "it violates the policy" and stands first in
the ``probabilities`` of its class, whose docstring says that it was second."""

LLAMA_GUARD_4 = GuardFormat(
    "Llama Guard 4",
    safe=("safe",),
    unsafe=("unsafe",),
    image=GuardQuestion(_SEEN, lead="\n\n", category_lead="\n"),
    answer=GuardQuestion(_SAID, lead="\n\n", category_lead="\n"),
    control=(*_CONVERSATION, *_LLAMA),
    model_types=("llama4",),
    names="llama-guard-4",
)
"""meta-llama/Llama-Guard-4-12B. Its categories are codes such as ``S9``."""

LLAVAGUARD = GuardFormat(
    "LlavaGuard",
    safe=("Safe",),
    unsafe=("Unsafe",),
    image=GuardQuestion(
        (("user", "{pictures}{policy}"),),
        lead='{\n    "rating": "',
        most_pictures=1,
        category_lead='",\n    "category": "',
        category_end='"',
    ),
    needs_policy=True,
    begins_answers=True,
    control=(*_QWEN, "<image>", "<video>"),
    model_types=("llava_onevision",),
    names="llavaguard",
)
"""AIML-TUDA/LlavaGuard-v1.2-7B-OV-hf and -0.5B-OV-hf; pictures alone. The policy is the whole text
of its model card, categories and JSON template included."""

FORMATS = (
    SHIELDSTRAL,
    SINGGUARD,
    NEMOTRON,
    QWEN3GUARD,
    SHIELDGEMMA2,
    LLAMA_GUARD_4,
    LLAVAGUARD,
)
"""The rows that a model's format is looked for in."""


def find_format(name: str, model_type: str | None = None) -> GuardFormat:
    """The row of a model.

    Args:
        name: A directory, or a name on the hub; of a directory, its own name is looked at.
        model_type: Of its configuration; None where only the name is known, as of a server's.

    Raises:
        UnsupportedModelError: It is in none of the rows.
    """
    last = "/".join(name.rstrip("/").split("/")[-2:])
    for row in FORMATS:
        if model_type is not None and model_type not in row.model_types:
            continue
        # A type of its own says enough.
        alone = model_type is not None and not row.names
        if alone or (row.names and re.search(row.names, last, re.IGNORECASE)):
            return row
    kind = f" ({model_type})" if model_type else ""
    raise UnsupportedModelError(
        f"{last!r}{kind} is not known as a guard model.",
        hint="Pass format=, one of " + ", ".join(row.name for row in FORMATS) + " or an own one.",
    )
