"""ArmoRM, the paper's reward model, without the code that its repository brings along.

Nineteen objectives are read at the end of the answer and weighted by a gate that is read at the
end of the prompt (Wang et al., "Interpretable Preferences via Multi-Objective Reward Modeling and
Mixture-of-Experts", 2024). The model is causal and the prompt fixed, so that the gate is constant
and the whole head folds into one linear read-out a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

import torch
from PIL.Image import Image
from torch import Tensor, nn
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaModel,
    LlamaPreTrainedModel,
    PreTrainedTokenizerBase,
)

from eta_guard.errors import UnsupportedModelError
from eta_guard.evaluators.reward.cached_backbone import CachedBackbone
from eta_guard.evaluators.reward.chat_tokens import ChatTokens
from eta_guard.evaluators.reward.exactness import reads_trees
from eta_guard.evaluators.reward.incremental_session import (
    IncrementalSession,
    PromptStarts,
    ReadOut,
)
from eta_guard.loading import (
    load_weights,
    loading,
    loading_options,
    parameters,
    pick_device,
    weights_fingerprint,
)
from eta_guard.protocols import Direction

ARCHITECTURE = "LlamaForRewardModelWithGating"
"""What the published configuration calls its class."""

GATE_PATTERN = (128009, 128006, 78191, 128007, 271)
"""``<|eot_id|><|start_header_id|>assistant<|end_header_id|>\\n\\n``: the gate is read at its first
id, the end of the user's turn (published model code)."""

_FLOAT32_HEADS = ("regression_layer", "reward_transform_matrix", "gating")


class _Gating(nn.Module):
    """An MLP: hidden state at the end of the prompt [width] → weights of the objectives [n]."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        hidden = [config.gating_hidden_dim] * config.gating_n_hidden
        widths = [config.hidden_size, *hidden, config.num_objectives]
        self.temperature = float(config.gating_temperature)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.logit_scale = nn.Parameter(torch.ones(1))

    def forward(self, state: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            state = torch.relu(layer(state))
        weights = torch.softmax(self.layers[-1](state) / self.temperature, dim=-1)
        return weights * self.logit_scale


class ArmoRMModel(LlamaPreTrainedModel):  # type: ignore[no-untyped-call]
    """The weights of ArmoRM under their published names: a Llama backbone and float32 heads."""

    # In bfloat16 the heads would shift a score by about 0.01, a sixth of the paper's threshold.
    _keep_in_fp32_modules_strict = set(_FLOAT32_HEADS)  # noqa: RUF012 (so declared in the base)

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        objectives: int = config.num_objectives
        self.model = LlamaModel(config)
        self.regression_layer = nn.Linear(config.hidden_size, objectives, bias=False)
        self.reward_transform_matrix = nn.Parameter(torch.eye(objectives))
        self.gating = _Gating(config)
        self.post_init()  # type: ignore[no-untyped-call]

    def read_out(self, prompt_ids: list[int], states: Tensor) -> ReadOut:
        """The head for one prompt, folded into one vector.

        Σ gate · (rewards @ transform) with rewards = regression(state) is
        state · (regressionᵀ (transform gate)).

        Args:
            prompt_ids: The ids that every answer to the prompt begins with.
            states: Their last hidden states, [ids, width].

        Raises:
            UnsupportedModelError: The ids hold no beginning of an assistant's turn.
        """
        gate = self.gating(states[_gate_index(prompt_ids)].float())
        direction = self.regression_layer.weight.T @ (self.reward_transform_matrix @ gate)
        return lambda last: last.float() @ direction


class ArmoRM:
    """A ``ResponseEvaluator`` over ArmoRM. Safe to share between threads.

    The score is the published model's ``score``; the paper's threshold on it is 0.06.

    Args:
        model: The weights, heads in float32; put into eval mode.
        tokenizer: Its tokenizer, with the Llama 3 chat template.
        fingerprint: Names the model and its weights.
        name: Under which it stands in verdict and policy.

    Raises:
        UnsupportedModelError: The heads are not float32, the attention takes no masks, or the
            tokenizer has no chat template.
    """

    def __init__(
        self,
        model: ArmoRMModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        fingerprint: str,
        name: str = "reward",
    ) -> None:
        heads = [p for n, p in model.named_parameters() if n.startswith(_FLOAT32_HEADS)]
        if any(parameter.dtype != torch.float32 for parameter in heads):
            raise UnsupportedModelError(
                "ArmoRM's heads were cast down from float32, which shifts its scores.",
                hint="Load it with ArmoRM.from_pretrained(..., dtype=...) and do not cast it.",
            )
        self._fingerprint = fingerprint
        self.name = name
        self.cost = parameters(model)
        model.train(False)
        self.model = model
        chat = ChatTokens(tokenizer, model.config)
        if not reads_trees(model.model, chat):
            raise UnsupportedModelError(
                "ArmoRM's attention does not keep the candidates of a round apart.",
                hint='Load it with attn_implementation="sdpa".',
            )
        self._starts = PromptStarts(CachedBackbone(model.model), chat, model.read_out)

    @classmethod
    def from_pretrained(
        cls,
        name: str = "RLHFlow/ArmoRM-Llama3-8B-v0.1",
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype = torch.bfloat16,
        revision: str | None = None,
    ) -> Self:
        """Loads ArmoRM; the code in its repository is never run.

        Args:
            name: A directory in the published layout, or a repository of the hub.
            device: Where to run; without it, the first GPU or else the CPU.
            dtype: Of the backbone; the heads stay float32.
            revision: A commit, tag or branch of the repository; pin one in production.

        Raises:
            ModelLoadError: The weights are missing, unreachable, damaged or incomplete.
        """
        options = loading_options(name, revision)
        with loading("reward model", name):
            tokenizer = AutoTokenizer.from_pretrained(name, **options)
            model = load_weights(ArmoRMModel, name, dtype=dtype, **options)
        model.to(pick_device(device))
        return cls(model, tokenizer, fingerprint=weights_fingerprint(name, model))

    threshold = None
    """The policy's ``response_threshold`` is on this scale."""
    unsafe: Direction = "below"

    @property
    def fingerprint(self) -> str:
        """Names the model and its weights."""
        return self._fingerprint

    def open(
        self, prompt: str, question: str = "", pictures: Sequence[Image] = ()
    ) -> IncrementalSession:
        """Begins to score answers to the fixed ``prompt``; higher is better.

        Question and pictures are not read: the paper scores the answer alone.
        """
        return IncrementalSession(self._starts, prompt)


def _gate_index(ids: list[int]) -> int:
    """The first index of the last occurrence of the gate pattern.

    Only the prompt's ids are searched: an answer cannot move the gate, whatever it says.
    """
    size = len(GATE_PATTERN)
    for index in range(len(ids) - size, -1, -1):
        if tuple(ids[index : index + size]) == GATE_PATTERN:
            return index
    raise UnsupportedModelError(
        "The chat holds no beginning of an assistant's turn as ArmoRM knows it.",
        hint="Use the tokenizer and chat template that came with ArmoRM.",
    )
