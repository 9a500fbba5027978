"""Runs a guard model: what it would say next, of rows that are read whole or go on from others."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from eta_guard import counts
from eta_guard.cache_argument import cache_argument
from eta_guard.evaluators.guard_model.prompts import Inputs, lengths

_KEEPABLE = {"full_attention", "sliding_attention", "chunked_attention"}


@dataclass(frozen=True)
class KeptPrompt:
    """Ids whose keys and values are kept, of one row. Never written to."""

    ids: list[int] = field(repr=False)
    cache: DynamicCache = field(repr=False)
    offset: int | None = None
    """How far positions are from ids behind pictures, in models that count those otherwise."""


class RunningGuard:
    """A guard model and its turn: forwards leave traces on some models, so one runs at a time.

    Args:
        model: Of transformers, in eval mode.
    """

    def __init__(self, model: nn.Module) -> None:
        # ShieldGemma 2 shows two logits of the chat model that it wraps.
        inner: Any = getattr(model, "model", model) if _is_classifier(model) else model
        self._model = inner
        self._cache = cache_argument(type(inner))
        self._holders = [m for m in inner.modules() if hasattr(m, "rope_deltas")]
        _mend(inner)
        text = inner.config.get_text_config()
        self.longest: int | None = getattr(text, "max_position_embeddings", None)
        """Most ids of a row."""
        layers = set(getattr(text, "layer_types", None) or ())
        self.keeps = layers <= _KEEPABLE
        """Whether its layers keep every position, so that rows can go on from a prompt."""
        self._turn = RLock()

    @torch.inference_mode()
    def next_tokens(self, inputs: Inputs) -> Tensor:
        """Probabilities of the token behind each row, [rows, vocabulary], float32 on the CPU."""
        with self._turn:
            return self._read(inputs, lengths(inputs) - 1)

    @torch.inference_mode()
    def keep(self, inputs: Inputs, ids: list[int], before: KeptPrompt | None = None) -> KeptPrompt:
        """Reads one row and keeps it.

        Args:
            inputs: What is new of the row, pictures included.
            ids: The whole row's.
            before: What was kept of its first ids.
        """
        with self._turn:
            cache = copy.deepcopy(before.cache) if before else DynamicCache()
            mask = torch.ones(1, len(ids), dtype=torch.long)
            last = torch.tensor([inputs["input_ids"].shape[1] - 1])
            self._read({**inputs, "attention_mask": mask}, last, cache, before)
            return KeptPrompt(ids, cache, before.offset if before else self._offset())

    @torch.inference_mode()
    def after(self, kept: KeptPrompt, rows: Inputs) -> Tensor:
        """As ``next_tokens``, of rows that go on from what is kept."""
        with self._turn:
            count = rows["input_ids"].shape[0]
            cache = copy.deepcopy(kept.cache)
            copies: Any = torch.zeros(count, dtype=torch.long, device=self.device)
            cache.reorder_cache(copies)
            before = torch.ones(count, len(kept.ids), dtype=torch.long)
            mask = torch.cat([before, rows["attention_mask"]], dim=1)
            last = lengths(rows) - 1
            return self._read({**rows, "attention_mask": mask}, last, cache, kept)

    @torch.inference_mode()
    def draw(self, inputs: Inputs, most: int) -> list[int]:
        """The most probable ids behind one row, up to an end token or ``most``."""
        with self._turn:
            cache = DynamicCache(config=self._model.config.get_text_config())
            ends, kept = _end_tokens(self._model), None
            ids, drawn = inputs["input_ids"][0].tolist(), list[int]()
            while len(drawn) < most:
                last = torch.tensor([inputs["input_ids"].shape[1] - 1])
                found = int(self._read(inputs, last, cache, kept).argmax())
                if found in ends:
                    break
                kept = KeptPrompt([*ids, *drawn], cache, kept.offset if kept else self._offset())
                drawn.append(found)
                mask = torch.ones(1, len(ids) + len(drawn), dtype=torch.long)
                inputs = {"input_ids": torch.tensor([[found]]), "attention_mask": mask}
            return drawn

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        device: torch.device = self._model.device
        return device

    def _read(
        self,
        inputs: Inputs,
        last: Tensor,
        cache: DynamicCache | None = None,
        before: KeptPrompt | None = None,
    ) -> Tensor:
        """One forward; the probabilities behind each row's place in ``last``."""
        counts.add("guard_forwards")
        counts.add("guard_positions", inputs["input_ids"].numel())
        given = {name: self._placed(value) for name, value in inputs.items()}
        if before is None:
            for holder in self._holders:
                holder.rope_deltas = None
        elif before.offset is not None:
            given["position_ids"] = _positions(inputs["input_ids"], before).to(self.device)
        keeping = {"use_cache": False} if cache is None else {self._cache: cache}
        places, rows = torch.unique(last), torch.arange(len(last))
        output = self._model(**given, **keeping, logits_to_keep=places.to(self.device))
        chosen = output.logits[rows, torch.searchsorted(places, last)]
        return torch.softmax(chosen.float(), dim=-1).cpu()

    def _placed(self, value: Tensor) -> Tensor:
        kind = self._model.dtype if value.is_floating_point() else value.dtype
        return value.to(self.device, kind)

    def _offset(self) -> int | None:
        offsets = [h.rope_deltas for h in self._holders if h.rope_deltas is not None]
        return int(offsets[0]) if offsets else None


def _positions(ids: Tensor, before: KeptPrompt) -> Tensor:
    """On the three axes of a model whose pictures take up fewer positions than ids."""
    rows, width = ids.shape
    first = len(before.ids) + (before.offset or 0)
    return (first + torch.arange(width)).expand(3, rows, width)


def _mend(model: Any) -> None:
    """Adds the field that Llama 4 of release 5.24 looks for in what its language model returns."""
    language = getattr(model, "language_model", None)
    if language is None or model.config.model_type != "llama4":
        return

    def add(module: nn.Module, given: Any, output: Any) -> None:
        if not hasattr(output, "image_outputs"):
            output.image_outputs = None

    language.register_forward_hook(add)


def _is_classifier(model: nn.Module) -> bool:
    return hasattr(model, "yes_token_index")


def _end_tokens(model: Any) -> set[int]:
    ends = getattr(model.generation_config, "eos_token_id", None)
    return set(ends if isinstance(ends, list) else [ends] if ends is not None else [])
