"""The guard before models that servers run: the chat model, and a reward model where there is one.

``CHAT_URL`` is the address of the chat model's server up to and with ``/v1``, ``CHAT_MODEL`` the
name under which it serves it. ``REWARD_URL``, ``REWARD_MODEL`` and ``REWARD_TOKENIZER`` say the
same of a one-label reward model, and where its tokenizer is; without them ArmoRM, the paper's, runs
in this process (``REWARD_TOKENIZER`` then names its weights). ``CLIP`` is a directory or an
architecture of open_clip: it runs here in any case, on the processor. ``POLICY`` is a policy file.
"""

from __future__ import annotations

import os

from eta_guard import (
    ArmoRM,
    ClipImageEvaluator,
    EtaGuard,
    GuardPolicy,
    Presentation,
    ResponseEvaluator,
    VllmEngine,
    VllmResponseEvaluator,
)

known = os.environ


def response_evaluator() -> ResponseEvaluator:
    """The reward model on its server, or the paper's here."""
    name = known.get("REWARD_TOKENIZER", "RLHFlow/ArmoRM-Llama3-8B-v0.1")
    if "REWARD_URL" not in known:
        return ArmoRM.from_pretrained(name)
    model = known.get("REWARD_MODEL", "reward")
    return VllmResponseEvaluator(known["REWARD_URL"], model, tokenizer=name)


guard = EtaGuard(
    engine=VllmEngine(
        known["CHAT_URL"],
        known.get("CHAT_MODEL", "llava"),
        presentation=Presentation.llava_1_5(),
    ),
    image_evaluator=ClipImageEvaluator.from_pretrained(
        known.get("CLIP", "ViT-L-14-336"), device="cpu"
    ),
    response_evaluator=response_evaluator(),
    policy=GuardPolicy.from_file(known["POLICY"]) if "POLICY" in known else GuardPolicy(),
)
graph = guard.graph
