"""What is read from a model's files, against what transformers reads from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoTokenizer

from eta_guard.embedded import path as weights
from eta_guard.errors import ModelLoadError
from eta_guard.evaluators.reward.chat_tokens import ChatTokens
from eta_guard.evaluators.reward.model_files import ModelConfig, ModelFiles
from eta_guard.prompts import POST_PROMPT, SEARCH_PROMPT
from tests.evaluators.tiny_models import chat_tokenizer, llama3_tokenizer

TEXTS = [
    "",
    "A cup.",
    " It is red.\n\nAnd  blue.\t",
    "Ünïcödé, 漢字 and 🙂.",
    "It ends <|eot_id|><|end|> here</s>.",
    "<b>1 &lt; 2</b> {{ messages }} {% if %}",
]
BLOCKS = """
{% for message in messages %}
  {%- if message['role'] not in ['user', 'assistant'] %}
    {{ raise_exception('no such role') }}
  {%- endif %}
{{ bos_token if loop.first else '' }}[{{ message['role'] | tojson }}]{{ message['content'] | trim }}
{% if loop.last %}{% break %}{% endif %}
{% endfor %}
{% if add_generation_prompt %}[assistant]{% endif %}
"""
CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "num_labels": 1,
    "pad_token_id": 3,
    "max_position_embeddings": 4096,
}


def saved(tokenizer: Any, folder: Path, template: str | None = None) -> str:
    if template:
        tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return str(folder)


def within_settings(folder: str, *, several: bool) -> str:
    """The chat template among the settings, as older releases saved it."""
    template = Path(folder, "chat_template.jinja")
    path = Path(folder, "tokenizer_config.json")
    one: Any = template.read_text("utf-8")
    named = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": one}]
    settings = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**settings, "chat_template": named if several else one}))
    template.unlink()
    return folder


KINDS: dict[str, Any] = {
    "shipped": lambda folder: str(weights("reward")),
    "llama 3": lambda folder: saved(llama3_tokenizer(), folder),
    "words": lambda folder: saved(chat_tokenizer(), folder),
    "words without padding": lambda folder: saved(chat_tokenizer(pad=None), folder),
    "blocks of a template": lambda folder: saved(llama3_tokenizer(), folder, BLOCKS),
    "template in the settings": lambda folder: within_settings(
        saved(llama3_tokenizer(), folder), several=False
    ),
    "one of several templates": lambda folder: within_settings(
        saved(chat_tokenizer(), folder), several=True
    ),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_ids_are_those_of_transformers(kind: Any, tmp_path: Path) -> None:
    name = kind(tmp_path / "model")
    theirs = ChatTokens(AutoTokenizer.from_pretrained(name), AutoConfig.from_pretrained(name))
    files = ModelFiles(name)
    ours = ChatTokens(files.tokenizer, files.config)
    for prompt in (POST_PROMPT, SEARCH_PROMPT, *TEXTS):
        for answer in TEXTS:
            assert ours.ids(prompt, answer) == theirs.ids(prompt, answer)
    assert ours.prompt_ids(POST_PROMPT) == theirs.prompt_ids(POST_PROMPT)
    assert (ours.pad_id, ours._longest) == (theirs.pad_id, theirs._longest)
    assert len({tuple(ours.ids(POST_PROMPT, answer)) for answer in TEXTS}) == len(TEXTS)


@pytest.mark.parametrize("part", ["reward", "guard", "chat"])
def test_a_configuration_reads_like_transformers_own(part: Any) -> None:
    theirs = AutoConfig.from_pretrained(str(weights(part)))
    ours = ModelConfig(json.loads((Path(weights(part)) / "config.json").read_text("utf-8")))
    assert ours.num_labels == theirs.num_labels
    for name in ("pad_token_id", "max_position_embeddings"):
        wanted = getattr(theirs.get_text_config(), name)
        assert getattr(ours.get_text_config(), name, None) == wanted


@pytest.mark.parametrize("missing", ["tokenizer.json", "config.json", "tokenizer_config.json"])
def test_a_file_that_is_missing_is_named(missing: str, tmp_path: Path) -> None:
    folder = saved(llama3_tokenizer(), tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(ModelLoadError, match=f"tokenizer that can be loaded: .*{missing}|No such"):
        ModelFiles(folder)


def test_a_template_cannot_reach_what_is_around_it(tmp_path: Path) -> None:
    template = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    files = ModelFiles(saved(llama3_tokenizer(), tmp_path, template))
    with pytest.raises(Exception, match="unsafe"):
        ChatTokens(files.tokenizer, files.config).ids("a", "b")
