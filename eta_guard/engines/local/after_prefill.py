"""The loop of ``generate`` as it goes after its first forward, whose logits are given.

``generate`` itself begins with a forward, for which an id would have to be left unread: in half
precision, a prompt that is read in two parts is answered with other tokens now and then.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from transformers import LogitsProcessorList, StoppingCriteriaList
from transformers.generation.utils import GenerateDecoderOnlyOutput

from eta_guard.cache_argument import generation_argument


def after_prefill(
    first: torch.Tensor,
    model: Any,
    input_ids: torch.Tensor,
    logits_processor: LogitsProcessorList,
    stopping_criteria: StoppingCriteriaList,
    **settings: Any,
) -> Any:
    """Draws greedily, to where every row ends; stands in the place of the library's own loop.

    Args:
        first: Logits [vocabulary] after the ids, float32.
        model: Reads on.
        input_ids: [rows, length], all of them in the cache.
        logits_processor: What the generation config and the caller ask for.
        stopping_criteria: Likewise.
        settings: What else ``generate`` has made ready, its cache among it.

    Returns:
        The ids [rows, longer] and the cache, as ``generate`` returns them.
    """
    next_given = partial(model._update_model_kwargs_for_generation, is_encoder_decoder=False)
    ids: Any = input_ids
    logits = first.repeat(len(input_ids), 1)
    cache = {generation_argument(): settings[generation_argument()]}
    read: Any = GenerateDecoderOnlyOutput(sequences=ids, **cache)
    while True:
        tokens = logits_processor(ids, logits).argmax(dim=-1)
        ids = torch.cat([ids, tokens[:, None]], dim=1)
        if stopping_criteria(ids, None).all():
            return GenerateDecoderOnlyOutput(sequences=ids, **cache)
        settings = next_given(read, settings)
        given = model.prepare_inputs_for_generation(ids, next_sequence_length=1, **settings)
        read = model(**given, return_dict=True)
        logits = read.logits[:, -1].to(ids.device, torch.float32, copy=True)
