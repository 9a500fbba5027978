"""RunningModel: a loaded model with its tokenizer, run under a lock.

What readers and sessions need of a model, and all that they know of it; ``LocalEngine`` makes one
and decides how it is to be read.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.cache_utils import Cache

from eta_guard.cache_argument import generation_argument
from eta_guard.engines.local import alternating_mapping as mapping
from eta_guard.engines.local.after_prefill import after_prefill
from eta_guard.engines.local.caches import ModelState, plain_attention
from eta_guard.engines.local.compiled import CompiledDecoding, CompiledTree
from eta_guard.engines.local.model_work import count_work
from eta_guard.engines.local.sampling import Sampler, sampler
from eta_guard.engines.local.tree import Tree
from eta_guard.engines.local.turns import Turns
from eta_guard.errors import EngineError

_turns: WeakKeyDictionary[Any, Turns] = WeakKeyDictionary()


class RunningModel:
    """Reads prompts and draws tokens; threads may share it and take turns."""

    sampler: Sampler
    """How tokens are drawn; another may stand in its place, as where sentences have forced
    lengths."""

    def __init__(self, model: PreTrainedModel, processor: Any, *, maps_images: bool) -> None:
        """Takes over a loaded model.

        Args:
            model: A generating image-text-to-text model, on its device and in its dtype.
            processor: Its processor.
            maps_images: Read every visual embedding as the nearest text-token embedding.
        """
        self.model = cast(Any, model).eval()
        self.processor = processor
        self.sampler = sampler
        self._maps_images = maps_images
        if model not in _turns:  # once a model, however often wrapped
            _turns[model] = Turns()
            count_work(self.model)
        self.turn = _turns[model]
        """Held while the model runs: what hooks and offsets tell belongs to one request. Between
        two steps it is handed on (``between_steps``)."""
        # Some families keep the offset between text and picture positions on the model itself.
        self._offset_holders = [m for m in model.modules() if hasattr(m, "rope_deltas")]
        self.compiled: CompiledDecoding | None = None
        """Runs the steps of trees, where they are to be compiled."""

    @property
    def end_tokens(self) -> frozenset[int]:
        """Ids that end an answer."""
        found = self.model.generation_config.eos_token_id
        if found is None:
            found = self.processor.tokenizer.eos_token_id
        return frozenset([found] if isinstance(found, int) else found or ())

    @property
    def context(self) -> int:
        """How many positions the model holds."""
        text_config: Any = self.model.config.get_text_config()
        return int(getattr(text_config, "max_position_embeddings", None) or sys.maxsize)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text within an answer."""
        ids: list[int] = self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids of an answer."""
        text: str = self.processor.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    @contextmanager
    def reading(self, inputs: dict[str, torch.Tensor]) -> Iterator[None]:
        """Is entered by whoever reads a prompt, whole, in one forward."""
        with self.turn:
            if not self._maps_images:
                yield
                return
            with mapping.images_as_tokens(self.model, inputs["input_ids"]):
                yield

    @property
    def _offsets(self) -> list[Any]:
        return [holder.rope_deltas for holder in self._offset_holders]

    @_offsets.setter
    def _offsets(self, offsets: list[Any]) -> None:
        for holder, offset in zip(self._offset_holders, offsets, strict=False):
            holder.rope_deltas = offset

    def between_steps(self) -> None:
        """Lets other requests run a step of theirs, and ends one that nobody waits for any more.

        Raises:
            Cancelled: That is so.
        """
        offsets = self._offsets
        self.turn.let_others()
        self._offsets = offsets

    def read(self, inputs: dict[str, torch.Tensor]) -> ModelState:
        """Reads a whole prompt, pictures included, and keeps what may come next."""
        state = ModelState()
        with self.reading(inputs):
            # The token drawn here is not used.
            out = self._run(state, **inputs, max_new_tokens=1, output_logits=True)
        state.logits = out.logits[0][0].float()
        return state

    def generate(
        self, state: ModelState, *, first: torch.Tensor | None = None, **arguments: Any
    ) -> torch.Tensor:
        """Generates greedily; other ways of drawing come in as logits processors.

        Args:
            state: What the run starts from; its cache grows, and it is left as it stands after.
            first: Logits [vocabulary] of the first token, where the cache covers all ids.
            arguments: Of the model's own ``generate``.

        Returns:
            Ids [rows, length], those that went in included.
        """
        loop = {} if first is None else {"custom_generate": partial(after_prefill, first)}
        arguments["stopping_criteria"] = StoppingCriteriaList(
            [*arguments.get("stopping_criteria", ()), _BetweenSteps(self)]
        )
        ids: torch.Tensor = self._run(state, **loop, **arguments).sequences
        return ids.cpu()

    @torch.no_grad()
    def _run(self, state: ModelState, **arguments: Any) -> Any:
        with self.turn:
            self._offsets = state.offsets
            out = self._generate(**{generation_argument(): state.cache}, **arguments)
            state.cache = out[generation_argument()]
            state.offsets = self._offsets
        return out

    @torch.no_grad()
    def read_prompt(self, inputs: dict[str, torch.Tensor]) -> Tree:
        """Reads a whole prompt, pictures included.

        Raises:
            EngineError: The cache cannot hold a tree, nothing tells the tokens' positions, or the
                prompt ends with a picture.
        """
        found: list[torch.Tensor | None] = []
        with self.reading(inputs):
            hook = self.model.get_decoder().register_forward_pre_hook(
                lambda _, __, given: found.append(given.get("position_ids")), with_kwargs=True
            )
            try:
                out = self._generate(**inputs, max_new_tokens=1, output_logits=True)
            finally:
                hook.remove()
            # The last: a prompt may be read in chunks.
            position = found[-1] if found else None
            cache: Cache = out[generation_argument()]
            if position is None or not plain_attention(cache):
                raise EngineError(
                    "The model keeps more of this prompt than plain attention does.",
                    hint="Report the model; its other prompts are not affected.",
                )
            axes = position[-3:, 0, -1] if position.ndim == 3 else position[0, -1:]
            if len(set(axes.tolist())) > 1:
                raise EngineError(
                    "The prompt ends with a picture, after which positions are not counted on.",
                    hint="Use a chat template that puts some text at the prompt's end.",
                )
            read = (self.model, cache, position[..., -1:], out.logits[0][0].float())
            return CompiledTree(self.compiled, *read) if self.compiled else Tree(*read)

    @torch.no_grad()
    def prepare(
        self,
        take: Callable[..., torch.Tensor],
        cache: Cache,
        ids: list[int],
        rows: int,
        *,
        limit: int,
        sampler: LogitsProcessor | None,
        ends: StoppingCriteria,
    ) -> None:
        """Makes ready all that the model's generation config asks for, as ``generate`` does.

        Args:
            take: Is given the model, the ids, the logits processors and the stopping criteria, and
                returns the ids.
            cache: Has read ``ids``.
            ids: Of one row.
            rows: How many equal rows to begin with.
            limit: Most new tokens.
            sampler: Comes after the config's own logits processors.
            ends: Stop rows.
        """
        with self.turn:
            self._generate(
                custom_generate=take,
                input_ids=torch.tensor([ids] * rows),
                attention_mask=torch.ones(rows, len(ids), dtype=torch.long),
                max_new_tokens=limit,
                logits_processor=LogitsProcessorList([sampler] if sampler else []),
                stopping_criteria=StoppingCriteriaList([ends]),
                **{generation_argument(): cache},
            )

    def _generate(self, **arguments: Any) -> Any:
        return self.model.generate(
            **{name: _on(value, self.model.device) for name, value in arguments.items()},
            # What a model's own generation config may say, and this way of working cannot.
            do_sample=False,
            use_cache=True,
            num_beams=1,
            num_return_sequences=1,
            return_dict_in_generate=True,
        )


class _BetweenSteps(StoppingCriteria):  # type: ignore[misc, unused-ignore]
    """The place in the library's own loop at which others are let through; stops nothing."""

    def __init__(self, running: RunningModel) -> None:
        self._running = running

    def __call__(self, input_ids: torch.Tensor, scores: object, **kwargs: object) -> torch.Tensor:
        self._running.between_steps()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def _on(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, torch.Tensor) else value
