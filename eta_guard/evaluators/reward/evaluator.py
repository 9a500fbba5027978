"""Scores answers by any one-label sequence-classification model (a reward model).

Incrementally where the model is a causal decoder whose cache keeps every position; by its own
forward over the whole text everywhere else. Which of the two is tried out, not looked up.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Self

import torch
from PIL.Image import Image
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from eta_guard.errors import UnsupportedModelError
from eta_guard.evaluators.reward.chat_tokens import ChatTokens
from eta_guard.evaluators.reward.exactness import incremental_starts
from eta_guard.evaluators.reward.incremental_session import IncrementalSession
from eta_guard.evaluators.reward.response_sessions import AnswerSession, WholeTextSession
from eta_guard.loading import (
    load_weights,
    loading,
    loading_options,
    parameters,
    pick_device,
    weights_fingerprint,
)
from eta_guard.protocols import Direction

logger = logging.getLogger(__name__)


class RewardResponseEvaluator:
    """A ``ResponseEvaluator`` over a sequence-classification model. Safe to share between threads.

    Args:
        model: A transformers ``…ForSequenceClassification`` with one label, put into eval mode.
        tokenizer: Its tokenizer, with the chat template it was trained with.
        fingerprint: Names the model and its weights.
        name: Under which it stands in verdict and policy.

    Raises:
        UnsupportedModelError: The model has another number of labels, or the tokenizer no chat
            template.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        fingerprint: str,
        name: str = "reward",
    ) -> None:
        _require_one_label(model.config)
        model.train(False)
        self._model = model
        self._fingerprint = fingerprint
        self.name = name
        self.cost = parameters(model)
        self._chat = ChatTokens(tokenizer, model.config)
        found = incremental_starts(model, self._chat)
        self._starts = None if isinstance(found, str) else found
        if isinstance(found, str):
            logger.warning(
                "%s: every score reads a whole text, which is slower; reading new tokens alone was"
                " tried out: %s.",
                fingerprint,
                found,
            )

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        revision: str | None = None,
    ) -> Self:
        """Loads a reward model; code from its repository is never run.

        Args:
            name: A directory, or a repository of the hub.
            device: Where to run; without it, the first GPU or else the CPU.
            dtype: Of the weights; without it, float32 on a CPU and as stored elsewhere.
            revision: A commit, tag or branch of the repository.

        Raises:
            ModelLoadError: The weights are missing, unreachable, damaged, or lack the score head.
            UnsupportedModelError: See the class.
        """
        target, options = pick_device(device), loading_options(name, revision)
        wanted: Any = dtype or (torch.float32 if target.type == "cpu" else "auto")
        with loading("reward model", name):
            # The configuration first: the wrong kind of model should not cost its download.
            _require_one_label(AutoConfig.from_pretrained(name, **options))
            tokenizer = AutoTokenizer.from_pretrained(name, **options)
            model = load_weights(AutoModelForSequenceClassification, name, dtype=wanted, **options)
        return cls(model.to(target), tokenizer, fingerprint=weights_fingerprint(name, model))

    threshold = None
    """The policy's ``response_threshold`` is on the scale of the paper's."""
    unsafe: Direction = "below"

    @property
    def fingerprint(self) -> str:
        """Names the model and its weights."""
        return self._fingerprint

    @property
    def incremental(self) -> bool:
        """Whether a session costs new tokens only; otherwise it reads the whole text each time."""
        return self._starts is not None

    def open(
        self, prompt: str, question: str = "", pictures: Sequence[Image] = ()
    ) -> AnswerSession:
        """Begins to score answers to the fixed ``prompt``, as [user = prompt, assistant = answer].

        The scale is the model's own; higher is better. Question and pictures are not read: the
        paper scores the answer alone.
        """
        if self._starts is not None:
            return IncrementalSession(self._starts, prompt)
        return WholeTextSession(self._chat, prompt, self._model)


def _require_one_label(config: PretrainedConfig) -> None:
    if config.num_labels != 1:
        raise UnsupportedModelError(
            f"A reward model has one label; this one has {config.num_labels}.",
            hint="Pass a sequence-classification model with num_labels=1.",
        )
