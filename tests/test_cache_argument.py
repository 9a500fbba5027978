"""The argument of a KV cache is spelt as the installed transformers spells it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from eta_guard import cache_argument as module
from eta_guard.cache_argument import cache_argument, generation_argument


class New:
    def forward(self, input_ids: Any, cache: Any = None, **kwargs: Any) -> None: ...


class Old:
    def forward(self, input_ids: Any, past_key_values: Any = None, **kwargs: Any) -> None: ...


class Neither:
    def forward(self, input_ids: Any, **kwargs: Any) -> None: ...


def test_the_class_itself_says_it() -> None:
    assert cache_argument(New) == "cache"
    assert cache_argument(Old) == "past_key_values"
    assert cache_argument(Neither) == generation_argument()


def test_a_release_that_calls_it_something_else_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NAMES", ("another",))
    with pytest.raises(RuntimeError, match="another"):
        module.generation_argument.__wrapped__()


def test_forward_and_generate_of_the_installed_release_take_it_without_a_warning() -> None:
    """Warnings are errors here."""
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    model: Any = LlamaForCausalLM(config)
    ids = torch.tensor([[3, 4, 5]])
    given: Any = DynamicCache()
    model(input_ids=ids, use_cache=True, **{cache_argument(type(model)): given})
    assert given.get_seq_length() == 3
    given = DynamicCache()
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=1,
        do_sample=False,
        pad_token_id=0,
        return_dict_in_generate=True,
        **{generation_argument(): given},
    )
    assert out[generation_argument()] is given
    assert given.get_seq_length() == 3
