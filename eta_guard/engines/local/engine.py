"""LocalEngine: a ``transformers`` image-text-to-text model in this process.

A request's prompt, pictures included, is read once into a KV cache; the plain answer and the
aligned one both go on from it, and the candidates of a sentence decode as one batch. The engine
knows nothing of thresholds, of scores, or of the graph.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, cast

import torch
from langchain_core.messages import BaseMessage
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel

from eta_guard import counts
from eta_guard.engines.local import alternating_mapping as mapping
from eta_guard.engines.local import probe
from eta_guard.engines.local.batch_reader import BatchReader
from eta_guard.engines.local.chat_template import model_inputs, picture_tokens, text_tokens
from eta_guard.engines.local.compiled import CompiledDecoding
from eta_guard.engines.local.picture_sides import picture_sides
from eta_guard.engines.local.running_model import RunningModel
from eta_guard.engines.local.session import LocalSession
from eta_guard.engines.local.tool_calls import knows_tools
from eta_guard.engines.local.tree_reader import TreeReader
from eta_guard.errors import UnsupportedModelError
from eta_guard.loading import (
    load_weights,
    loading,
    loading_options,
    pick_device,
    weights_fingerprint,
)
from eta_guard.protocols import Generation
from eta_guard.request.conversation import Conversation, read_conversation
from eta_guard.request.presentation import AS_IT_IS, Presentation
from eta_guard.request.reading import Reading

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
        presentation: Presentation = AS_IT_IS,
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
            presentation: What the model is shown beyond its chat template and its processor's
                own preprocessing; nothing by default.

        Raises:
            UnsupportedModelError: The model cannot be run in this way.
        """
        _check_model(model)
        self.running = RunningModel(model, processor, maps_images=alternating_mapping)
        """The model, as readers and sessions know it."""
        self.presentation = presentation
        """How conversations are shown to the model."""
        self._weights = fingerprint or str(model.config.name_or_path)
        if alternating_mapping:
            mapping.image_token(self.model)
            self._weights += f"+{mapping.NAME}"
        with self.running.turn, counts.counting():  # what is tried out is nobody's cost
            why_not = self._try_out()
        self._shares_a_row = why_not is None
        if why_not is not None:
            logger.warning(
                "%s: candidates are drawn as a batch over copies of the cache, which is slower%s;"
                " sharing a row was tried out: %s.",
                self.fingerprint,
                ", and steps are not compiled" if compiled else "",
                why_not,
            )
        elif compiled:
            self.running.compiled = CompiledDecoding(self.model)

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
        presentation: Presentation = AS_IT_IS,
    ) -> LocalEngine:
        """Loads a model and its processor; code from its repository is never run.

        Args:
            name: A directory, or a repository of the model hub.
            device: Where to run; without it, the first GPU or else the CPU.
            dtype: Of the weights; without it, float32 on a CPU and as stored elsewhere.
            revision: A commit, tag or branch of the repository; pin one where answers matter.
            compiled: See the class.
            alternating_mapping: See the class.
            presentation: See the class.

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
            presentation=presentation,
        )

    @property
    def fingerprint(self) -> str:
        """Names the model, its weights, and how it is shown conversations."""
        return self._weights + self.presentation.mark

    @property
    def model(self) -> Any:
        """The loaded model."""
        return self.running.model

    @property
    def processor(self) -> Any:
        """Its processor."""
        return self.running.processor

    @property
    def picture_sides(self) -> tuple[int, ...] | None:
        """To which its processor scales the shorter side of a picture; None where that varies."""
        return picture_sides(self.processor)

    def open(self, conversation: Conversation, generation: Generation) -> LocalSession:
        """Begins a request; nothing is computed yet."""
        shown = self.presentation.show(conversation)
        return self.begin(model_inputs(self.processor, shown, generation.tools), generation)

    def begin(self, inputs: dict[str, torch.Tensor], generation: Generation) -> LocalSession:
        """Begins a request from the model's own inputs.

        Args:
            inputs: Keyword arguments of its forward, one row.
            generation: The caller's settings.
        """
        reader = TreeReader if self._shares_a_row else BatchReader
        prompt: list[int] = inputs["input_ids"][0].tolist()
        return LocalSession(self.running, reader(self.running, inputs), prompt, generation)

    def count_tokens(self, messages: Sequence[BaseMessage]) -> int:
        """Tokens of messages: of their texts, and as many as the processor makes of each picture.

        What the chat template writes around them is not counted.

        Args:
            messages: Any; the last one need not be there to be answered. What cannot be read in
                them counts nothing.
        """
        conversation = read_conversation(messages, Reading(unreadable="keep"))
        parts = [part for turn in conversation.turns for part in turn.parts]
        return sum(
            text_tokens(self.processor, part)
            if isinstance(part, str)
            else picture_tokens(self.processor, part.pixels)
            for part in parts
        )

    @property
    def calls_tools(self) -> bool:
        """Whether the model's chat template has a place for tools."""
        return knows_tools(self.processor)

    def _try_out(self) -> str | None:
        """Why the candidates of a sentence cannot share one row; None if they can.

        Raises:
            UnsupportedModelError: The model does not read from left to right.
        """
        texts = [self.running.encode(text) for text in probe.TEXTS]
        if probe.reads_ahead(self.model, texts[0]):
            raise UnsupportedModelError(
                "The model is a prefix language model: its prompt is read in both directions, and"
                " an answer that is begun for it would be read as prompt.",
                hint="Use a decoder that reads from left to right.",
            )
        return probe.why_no_shared_row(self.model, texts, self.running.read_prompt)


def _check_model(model: Any) -> None:
    for setting in ("cache_implementation", "prompt_lookup_num_tokens", "stop_strings"):
        value = getattr(model.generation_config, setting, None)
        if value is not None:
            raise UnsupportedModelError(
                f"The model's generation config sets {setting} = {value!r}, with which one prompt"
                " cannot be answered in more than one way.",
                hint=f"Set `model.generation_config.{setting} = None`.",
            )
