"""A reward model's tokenizer, chat template and configuration, read from its files alone.

Who has the model served needs neither its weights nor transformers, which would bring torch along.
What is read here gives the ids that transformers' own tokenizer gives; a model without a
``tokenizer.json`` is not read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from huggingface_hub import snapshot_download
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Tokenizer

from eta_guard.loading import is_directory, loading, loading_options

FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
UNLIMITED = int(1e30)
"""How long a chat may be where the tokenizer does not say."""


class ModelFiles:
    """The small files of a model: a directory, or a repository of the hub.

    Args:
        name: Directory or repository.
        revision: A commit, tag or branch of the repository.

    Raises:
        ModelLoadError: There is no such directory; or the files are unreachable or incomplete.
    """

    def __init__(self, name: str, revision: str | None = None) -> None:
        options = loading_options(name, revision)
        with loading("reward model's tokenizer", name):
            folder = name
            if not is_directory(name):
                folder = snapshot_download(
                    name,
                    revision=options["revision"],
                    local_files_only=options["local_files_only"],
                    allow_patterns=list(FILES),
                )
            self._folder = Path(folder)
            self.config = ModelConfig(self._json("config.json"))
            self.tokenizer = FileTokenizer(
                Tokenizer.from_file(str(self._folder / "tokenizer.json")),
                self._json("tokenizer_config.json"),
                self._template,
            )

    def _json(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self._folder / name).read_text("utf-8"))
        return found

    @property
    def _template(self) -> str | None:
        path = self._folder / "chat_template.jinja"
        return path.read_text("utf-8") if path.is_file() else None


class ModelConfig:
    """What is asked of a configuration, under transformers' names.

    Args:
        values: Of ``config.json``.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        labels = values.get("id2label")
        self.num_labels: int = len(labels) if labels else int(values.get("num_labels", 2))

    def get_text_config(self) -> Any:
        """That of the language model, where there are several."""
        return SimpleNamespace(**{**self._values, **(self._values.get("text_config") or {})})


class FileTokenizer:
    """What is asked of a tokenizer, under transformers' names.

    Args:
        tokenizer: Of ``tokenizer.json``.
        settings: Of ``tokenizer_config.json``.
        template: Of ``chat_template.jinja``; the one among the settings without it.
    """

    def __init__(
        self, tokenizer: Tokenizer, settings: Mapping[str, Any], template: str | None
    ) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.chat_template = template or _default(settings.get("chat_template"))
        self.model_max_length = int(settings.get("model_max_length") or UNLIMITED)
        self._named = {
            name: _text(token)
            for name, token in settings.items()
            if name.endswith("_token") and isinstance(token, str | dict)
        }
        several = ("extra_special_tokens", "additional_special_tokens")
        more = [token for name in several for token in _listed(settings.get(name))]
        self.all_special_tokens = [*self._named.values(), *map(_text, more)]

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """What makes the ids."""
        return self._tokenizer

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The tokens beside the vocabulary's own, by id."""
        found: dict[int, AddedToken] = self._tokenizer.get_added_tokens_decoder()
        return found

    def apply_chat_template(
        self, chat: Sequence[Mapping[str, str]], **settings: Any
    ) -> dict[str, list[int]]:
        """The ids of a whole chat.

        Args:
            chat: Messages of a ``role`` and a ``content`` each.
            settings: Such as transformers' takes; what they ask for is what is done here.
        """
        text = self._template.render(
            messages=chat, tools=None, documents=None, add_generation_prompt=False, **self._named
        )
        return {"input_ids": self._tokenizer.encode(text, add_special_tokens=False).ids}

    @cached_property
    def _template(self) -> Any:
        # As transformers renders it; a template from the hub is nobody's trusted code.
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        return environment.from_string(self.chat_template or "")


def _to_json(value: Any, **settings: Any) -> str:
    return json.dumps(value, **{"ensure_ascii": False, **settings})


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)


def _text(token: Any) -> str:
    return str(token["content"] if isinstance(token, Mapping) else token)


def _listed(found: Any) -> list[Any]:
    return list(found.values() if isinstance(found, Mapping) else found or ())


def _default(template: Any) -> str | None:
    """Of several templates the one that has no purpose of its own."""
    several = (
        template if isinstance(template, list) else [{"name": "default", "template": template}]
    )
    return next((one["template"] for one in several if one["name"] == "default"), None)
