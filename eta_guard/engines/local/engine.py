"""LocalEngine: a ``transformers`` image-text-to-text model in this process.

A request's prompt, pictures included, is read once into a KV cache; the plain answer and the
aligned one both go on from it, and the candidates of a sentence decode as one batch. The engine
knows nothing of thresholds, of scores, or of the graph.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.cache_utils import Cache

from eta_guard import counts
from eta_guard.engines.local import alternating_mapping as mapping
from eta_guard.engines.local import probe
from eta_guard.engines.local.batch_reader import BatchReader
from eta_guard.engines.local.caches import ModelState, plain_attention
from eta_guard.engines.local.chat_template import model_inputs
from eta_guard.engines.local.compiled import CompiledDecoding, CompiledTree
from eta_guard.engines.local.model_work import count_work
from eta_guard.engines.local.sampling import InverseTransform, uniforms
from eta_guard.engines.local.session import LocalSession
from eta_guard.engines.local.tool_calls import knows_tools
from eta_guard.engines.local.tree import Tree
from eta_guard.engines.local.tree_reader import TreeReader
from eta_guard.errors import EngineError, UnsupportedModelError
from eta_guard.loading import (
    load_weights,
    loading,
    loading_options,
    pick_device,
    weights_fingerprint,
)
from eta_guard.protocols import Generation, Sampling
from eta_guard.request.conversation import Conversation

_turns: WeakKeyDictionary[Any, threading.RLock] = WeakKeyDictionary()

logger = logging.getLogger(__name__)


class LocalEngine:
    """Runs one loaded model for many requests; threads may share it and take turns."""

    def __init__(
        self,
        model: PreTrainedModel,
        processor: Any,
        *,
        fingerprint: str | None = None,
        compiled: bool = False,
        alternating_mapping: bool = False,
    ) -> None:
        """Wraps a loaded model.

        Args:
            model: A generating image-text-to-text model, on its device and in its dtype.
            processor: Its processor, with a chat template.
            fingerprint: Names model and weights in the verdict; the model's own name without one.
            compiled: Run decode steps through ``torch.compile``, on a GPU as CUDA graphs. The
                first requests take minutes longer; worth it where many follow.
            alternating_mapping: Read every visual embedding as the text-token embedding that is
                nearest to it (a finding of the ETA paper); the fingerprint says so.

        Raises:
            UnsupportedModelError: The model cannot be run in this way.
        """
        self.model = cast(Any, model).eval()
        _check_model(self.model)
        self.processor = processor
        self.fingerprint = fingerprint or str(model.config.name_or_path)
        self._maps_images = alternating_mapping
        if alternating_mapping:
            mapping.image_token(self.model)
            self.fingerprint += f"+{mapping.NAME}"
        if model not in _turns:  # once a model, however often wrapped
            _turns[model] = threading.RLock()
            count_work(self.model)
        self.turn = _turns[model]
        """Held while the model runs: what hooks and offsets tell belongs to one request."""
        # Some families keep the offset between text and picture positions on the model itself.
        self._offset_holders = [m for m in model.modules() if hasattr(m, "rope_deltas")]
        self._compiled: CompiledDecoding | None = None
        with self.turn, counts.counting():  # what is tried out is nobody's cost
            self._shares_a_row = self._try_out()
        if compiled and not self._shares_a_row:
            logger.warning(
                "The model's candidates cannot share a row, so that its steps are not compiled."
            )
        if compiled and self._shares_a_row:
            self._compiled = CompiledDecoding(self.model)

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        revision: str | None = None,
        compiled: bool = False,
        alternating_mapping: bool = False,
    ) -> LocalEngine:
        """Loads a model and its processor; code from its repository is never run.

        Args:
            name: A directory, or a repository of the model hub.
            device: Where to run; without it, the first GPU or else the CPU.
            dtype: Of the weights; without it, float32 on a CPU and as stored elsewhere.
            revision: A commit, tag or branch of the repository; pin one where answers matter.
            compiled: See the class.
            alternating_mapping: See the class.

        Raises:
            ModelLoadError: The weights are missing, unreachable, damaged, or of another kind.
        """
        target = pick_device(device)
        wanted: Any = dtype or (torch.float32 if target.type == "cpu" else "auto")
        with loading("chat model", name):
            source = loading_options(name, revision)
            processor = cast(Any, AutoProcessor).from_pretrained(name, **source)
            model = load_weights(AutoModelForImageTextToText, name, dtype=wanted, **source)
        fingerprint = weights_fingerprint(name, model)
        return cls(
            model.to(target),
            processor,
            fingerprint=fingerprint,
            compiled=compiled,
            alternating_mapping=alternating_mapping,
        )

    def open(self, conversation: Conversation, generation: Generation) -> LocalSession:
        """Begins a request; nothing is computed yet."""
        inputs = model_inputs(self.processor, conversation, generation.tools)
        return LocalSession(self, inputs, generation)

    @property
    def calls_tools(self) -> bool:
        """Whether the model's chat template has a place for tools."""
        return knows_tools(self.processor)

    def reader(self, inputs: dict[str, torch.Tensor]) -> TreeReader | BatchReader:
        """What reads a request's prompt and draws its answers: the fast way where it is exact."""
        return TreeReader(self, inputs) if self._shares_a_row else BatchReader(self, inputs)

    def _try_out(self) -> bool:
        """Whether the candidates of a sentence can share one row.

        Raises:
            UnsupportedModelError: The model does not read from left to right.
        """
        ids = self.encode(probe.WORDS)
        if probe.reads_ahead(self.model, ids):
            raise UnsupportedModelError(
                "The model is a prefix language model: its prompt is read in both directions, and"
                " an answer that is begun for it would be read as prompt.",
                hint="Use a decoder that reads from left to right.",
            )
        return probe.branches_in_one_row(self.model, ids, self.read_prompt)

    def sampler(
        self,
        generation: Generation,
        *,
        sentence: int,
        rows: int,
        steps: int,
        start: int,
        sampling: Sampling | None,
    ) -> LogitsProcessor | None:
        """How tokens are drawn; None is greedily.

        Args:
            generation: The caller's settings.
            sentence: Number of the sentence, or ``PLAIN_ANSWER``.
            rows: Candidates.
            steps: Most tokens that will be drawn.
            start: Length of the ids at which the first one is drawn.
            sampling: The search's settings; None outside a search.
        """
        temperature = sampling.temperature if sampling else generation.temperature
        if temperature == 0:
            return None
        draws = uniforms(generation.seed, sentence, rows, steps)
        top_k = sampling.top_k if sampling else None
        return InverseTransform(draws, start=start, temperature=temperature, top_k=top_k)

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

    @torch.no_grad()
    def generate(self, state: ModelState, **arguments: Any) -> torch.Tensor:
        """Generates greedily; other ways of drawing come in as logits processors.

        Args:
            state: What the run starts from; its cache grows, and it is left as it stands after.
            arguments: Of the model's own ``generate``.

        Returns:
            Ids [rows, length], those that went in included.
        """
        with self.turn:
            for holder, offset in zip(self._offset_holders, state.offsets, strict=False):
                holder.rope_deltas = offset
            out = self._generate(past_key_values=state.cache, **arguments)
            state.cache = out.past_key_values
            state.offsets = [holder.rope_deltas for holder in self._offset_holders]
        ids: torch.Tensor = out.sequences
        return ids.cpu()

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
            if position is None or not plain_attention(out.past_key_values):
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
            read = (self.model, out.past_key_values, position[..., -1:], out.logits[0][0].float())
            return CompiledTree(self._compiled, *read) if self._compiled else Tree(*read)

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
                past_key_values=cache,
                input_ids=torch.tensor([ids] * rows),
                attention_mask=torch.ones(rows, len(ids), dtype=torch.long),
                max_new_tokens=limit,
                logits_processor=LogitsProcessorList([sampler] if sampler else []),
                stopping_criteria=StoppingCriteriaList([ends]),
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


def _on(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, torch.Tensor) else value


def _check_model(model: Any) -> None:
    for setting in ("cache_implementation", "prompt_lookup_num_tokens", "stop_strings"):
        value = getattr(model.generation_config, setting, None)
        if value is not None:
            raise UnsupportedModelError(
                f"The model's generation config sets {setting} = {value!r}, with which one prompt"
                " cannot be answered in more than one way.",
                hint=f"Set `model.generation_config.{setting} = None`.",
            )
