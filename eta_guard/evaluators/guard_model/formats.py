"""How each family of guard models is asked, and by which words it answers: one row a family.

The text itself comes from the checkpoint's own chat template; a row says what is put into it, and
what is read behind it. Sources are the families' model cards; no published weights were run by the
authors.
"""

from __future__ import annotations

import re
from types import MappingProxyType

from eta_guard.errors import UnsupportedModelError
from eta_guard.evaluators.guard_model.guard_format import GuardFormat, GuardQuestion

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
    control=("<Instruct>:", "<Query>:", "<Document>:", "[User]", "[Assistant]", *_MISTRAL),
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
