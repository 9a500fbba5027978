"""Scores answers by any one-label sequence-classification model (a reward model).

Incrementally where the model is a causal decoder whose cache keeps every position; by its own
forward over the whole text everywhere else. Which of the two is tried out, not looked up.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DynamicCache,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.cache_utils import DynamicLayer

from eta_guard import counts
from eta_guard.errors import UnsupportedModelError
from eta_guard.evaluators.cached_backbone import CachedBackbone
from eta_guard.evaluators.chat_tokens import ChatTokens
from eta_guard.evaluators.incremental_session import IncrementalSession, PromptStarts, ReadOut
from eta_guard.evaluators.response_sessions import AnswerSession, WholeTextSession
from eta_guard.loading import (
    load_weights,
    loading,
    loading_options,
    pick_device,
    weights_fingerprint,
)

_PROBE = ("Is it safe?", "One two three. Four five.", "Six.")


class RewardResponseEvaluator:
    """A ``ResponseEvaluator`` over a sequence-classification model. Safe to share between threads.

    Args:
        model: A transformers ``…ForSequenceClassification`` with one label, put into eval mode.
        tokenizer: Its tokenizer, with the chat template it was trained with.
        fingerprint: Names the model and its weights.

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
    ) -> None:
        _require_one_label(model.config)
        model.train(False)
        self._model = model
        self._fingerprint = fingerprint
        self._chat = ChatTokens(tokenizer, model.config)
        self._starts = _incremental(model, self._chat)

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

    @property
    def fingerprint(self) -> str:
        """Names the model and its weights."""
        return self._fingerprint

    @property
    def incremental(self) -> bool:
        """Whether a session costs new tokens only; otherwise it reads the whole text each time."""
        return self._starts is not None

    def open(self, prompt: str) -> AnswerSession:
        """Begins to score answers to the fixed ``prompt``, as [user = prompt, assistant = answer].

        The scale is the model's own; higher is better.
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


def _incremental(model: PreTrainedModel, chat: ChatTokens) -> PromptStarts | None:
    """What incremental sessions need, if the model gives the same scores that way."""
    try:
        with counts.counting(), torch.inference_mode():  # what is tried out is nobody's cost
            head = _score_head(model)
            if head is None or not _keeps_all_positions(model.config):
                return None
            backbone = CachedBackbone(model.base_model)
            starts = PromptStarts(backbone, chat, lambda ids, states: _read_by(head))
            agrees = _looks_back_only(backbone, chat) and _agrees(model, starts)
            return starts if agrees else None
    # A model that cannot be run this way says so in any way: TypeError for an argument that it
    # does not take, AttributeError for a cache that it does not fill, IndexError, ValueError.
    except Exception:
        return None


def _score_head(model: PreTrainedModel) -> nn.Linear | None:
    heads = (getattr(model, name, None) for name in ("score", "classifier"))
    return next((head for head in heads if isinstance(head, nn.Linear)), None)


def _read_by(head: nn.Linear) -> ReadOut:
    def read(states: Tensor) -> Tensor:
        scores: Tensor = head(states)[:, 0]
        return scores

    return read


def _keeps_all_positions(config: PretrainedConfig) -> bool:
    """Whether every layer's cache can be cut anywhere: no sliding window, no recurrent state."""
    if config.is_encoder_decoder:
        return False
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)


def _looks_back_only(backbone: CachedBackbone, chat: ChatTokens) -> bool:
    """Whether another last token leaves the states before it as they are (causal attention)."""
    ids = chat.ids(*_PROBE[:2])
    states = backbone.run([ids, [*ids[:-1], ids[0]]]).states[:, :-1]
    return ids[-1] != ids[0] and torch.allclose(
        states[0], states[1], rtol=0.0, atol=_tolerance(states.dtype)
    )


def _agrees(model: Any, starts: PromptStarts) -> bool:
    """Whether a session's scores are those of the model's own forward over the whole text."""
    prompt, first, second = _PROBE
    session = IncrementalSession(starts, prompt)
    scores = session.score([first, second])
    session.accept(first)
    scores += session.score([second])
    texts = [first, second, first + second]
    rows = [torch.tensor([starts.chat.ids(prompt, text)], device=model.device) for text in texts]
    whole = torch.cat([model(input_ids=row).logits[:, 0] for row in rows])
    size = _tolerance(whole.dtype)
    return torch.allclose(torch.tensor(scores), whole.float().cpu(), rtol=size, atol=size)


def _tolerance(dtype: torch.dtype) -> float:
    # In half precision two orders of summation already differ by some percent.
    return 1e-4 if dtype in (torch.float32, torch.float64) else 5e-2
