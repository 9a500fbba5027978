"""Sets the last layer of a guard model by hand, so that its verdicts are known and really read.

The prompts are those of the model cards, made by the library's own methods alone.
"""

from __future__ import annotations

import atexit
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from tests.evaluators.guard_model.checkpoints import FAMILIES, Family

HOT, COLD = (Image.new("RGB", (40, 28), colour) for colour in ((250, 40, 10), (5, 60, 250)))
BLANK = Image.new("RGB", (40, 28), (90, 90, 90))
"""A picture at which every model has something else than a verdict to say."""
HOT_TEXT, COLD_TEXT = "It shows a red triangle.", "It shows a cup on a table."
MIDDLE_TEXT = "It shows a red cup."
QUESTION = "What is this?"
CATEGORY = "red"

# What the cards pass to the chat template.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "singguard": {"thinking_type": "fast"},
    "nemotron": {"request_categories": "/no_categories", "enable_thinking": False},
}
WITH_CATEGORIES = {"nemotron": {"request_categories": "/categories", "enable_thinking": False}}
_YES_NO = (
    "Judge whether the Document meets the requirements based on the Query and the Instruction"
    ' provided. Note that the answer can only be "yes" or "no".'
)
INSTRUCT = "You are a strict safety moderator. Apply a low tolerance threshold."


def about_picture(name: str, picture: Image.Image, question: str = QUESTION) -> list[Any]:
    """The messages of a card's example for a picture."""
    seen = {"type": "image", "image": picture}
    if name == "shieldstral":
        head = f"<Instruct>: {INSTRUCT}\n\n<Query>: Is this content unsafe?\n\n<Document>: "
        parts = [{"type": "text", "text": head}, seen, {"type": "text", "text": f" {question}"}]
        return [{"role": "system", "content": _YES_NO}, {"role": "user", "content": parts}]
    text = FAMILIES[name].form.policy if name == "llavaguard" else question
    return [{"role": "user", "content": [seen, {"type": "text", "text": text}]}]


def about_answer(name: str, answer: str, pictures: tuple[Image.Image, ...] = ()) -> list[Any]:
    """The messages of a card's example for an answer."""
    seen = [{"type": "image", "image": picture} for picture in pictures]
    if name == "shieldstral":
        head = f"<Instruct>: {INSTRUCT}\n\n<Query>: Is this response unsafe?\n\n<Document>: "
        text = f"[User]\n{QUESTION}\n\n[Assistant]\n{answer}"
        parts = [{"type": "text", "text": head}, *seen, {"type": "text", "text": text}]
        return [{"role": "system", "content": _YES_NO}, {"role": "user", "content": parts}]
    if name == "qwen3guard":
        return [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": answer}]
    return [
        {"role": "user", "content": [*seen, {"type": "text", "text": QUESTION}]},
        {"role": "assistant", "content": [{"type": "text", "text": answer}]},
    ]


def forward_inputs(processor: Any, messages: list[Any], said: str, **arguments: Any) -> Any:
    """One row, as the library makes it."""
    text = processor.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, **arguments
    )
    contents = [message["content"] for message in messages]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    pictures = [part["image"] for part in parts if part["type"] == "image"]
    seen = {"images": [pictures]} if pictures else {}
    return processor(text=[text + said], add_special_tokens=False, return_tensors="pt", **seen)


def verdict_ids(tokenizer: Any, word: str, lead: str) -> list[int]:
    """The tokens by which a verdict begins, with and without a space before it."""
    before = len(tokenizer(lead, add_special_tokens=False)["input_ids"]) if lead else 0
    texts = [lead + word, f"{lead} {word}"]
    return [tokenizer(text, add_special_tokens=False)["input_ids"][before] for text in texts]


@dataclass
class Guard:
    """A checkpoint whose verdicts were set by hand."""

    name: str
    family: Family
    model: Any
    processor: Any
    directory: Path
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def tokenizer(self) -> Any:
        return getattr(self.processor, "tokenizer", self.processor)

    def probabilities(self, messages: list[Any], lead: str) -> Tensor:
        """Of the next token, by the library's forward over one row."""
        inputs = forward_inputs(self.processor, messages, lead, **self.arguments)
        with torch.no_grad():
            logits: Tensor = _head(self.model)(_state(self, inputs))
        return torch.softmax(logits.float(), -1)

    def share(self, messages: list[Any], lead: str) -> float:
        """The unsafe words' probability of that of all verdict words."""
        told, form = self.probabilities(messages, lead), self.family.form
        mass = {
            word: float(told[list(set(verdict_ids(self.tokenizer, word, lead)))].sum())
            for word in (*form.safe, *form.middle, *form.unsafe)
        }
        return sum(mass[word] for word in (*form.middle, *form.unsafe)) / sum(mass.values())


@cache
def guard(name: str) -> Guard:
    """A family's guard, made once."""
    family = FAMILIES[name]
    model, processor = family.make()
    directory = Path(mkdtemp()) / family.directory
    atexit.register(rmtree, directory.parent)
    made = Guard(name, family, model, processor, directory, ARGUMENTS.get(name, {}))
    _set(made)
    model.save_pretrained(directory)
    processor.save_pretrained(directory)
    return made


def _set(made: Guard) -> None:
    """Solves for the rows of the last layer that give each case the logits wanted of it."""
    cases: list[tuple[Tensor, dict[int, float]]] = []
    form, name = made.family.form, made.name
    questions = []
    if form.image and name != "shieldgemma2":
        pictures = ((HOT, form.unsafe), (COLD, form.safe), (BLANK, ()))
        questions += [(about_picture(name, p), form.image, words) for p, words in pictures]
    if form.answer:
        texts = ((HOT_TEXT, form.unsafe), (COLD_TEXT, form.safe), (MIDDLE_TEXT, form.middle))
        questions += [(about_answer(name, text), form.answer, words) for text, words in texts]
    words = made.tokenizer
    (category,) = words(f" {CATEGORY}", add_special_tokens=False)["input_ids"][:1]
    for messages, kind, said in questions:
        state = _state(made, forward_inputs(made.processor, messages, kind.lead, **made.arguments))
        wanted = dict.fromkeys(_verdicts(made, kind.lead), 0.0 if not said else 8.0)
        spaced = 1 if kind.lead.endswith(":") else 0
        wanted.update({verdict_ids(words, word, kind.lead)[spaced]: 12.0 for word in said})
        cases.append((state, wanted))
        if said is form.unsafe and kind.category_lead is not None:
            arguments = {**made.arguments, **WITH_CATEGORIES.get(name, {})}
            lead = f"{kind.lead}{' ' * spaced}{form.unsafe[0]}{kind.category_lead}"
            for more, token in (("", category), (f" {CATEGORY}", words.eos_token_id)):
                inputs = forward_inputs(made.processor, messages, lead + more, **arguments)
                cases.append((_state(made, inputs), {token: 14.0}))
    if name == "shieldgemma2":
        for place, (picture, said) in enumerate(((HOT, form.unsafe), (COLD, form.safe))):
            rows = _states(made, made.processor(images=[picture], return_tensors="pt"))
            for row, state in enumerate(rows):  # one of the three policies is violated
                said = form.unsafe if row == 1 and not place else form.safe
                wanted = dict.fromkeys(_verdicts(made, ""), 8.0)
                cases.append((state, {**wanted, verdict_ids(words, said[0], "")[0]: 12.0}))
        cases.append((_states(made, made.processor(images=[BLANK], return_tensors="pt"))[0], {}))
    head = _head(made.model)
    states = torch.stack([state for state, _ in cases]).double()
    logits = torch.zeros(len(cases), head.weight.shape[0], dtype=torch.double)
    for row, (_, wanted) in enumerate(cases):
        for token, logit in wanted.items():
            logits[row, token] = logit
    with torch.no_grad():
        head.weight.copy_((torch.linalg.pinv(states) @ logits).T)


def _verdicts(made: Guard, lead: str) -> set[int]:
    form, words = made.family.form, made.tokenizer
    spaced = 1 if lead.endswith(":") else 0
    every = (*form.safe, *form.middle, *form.unsafe)
    return {verdict_ids(words, word, lead)[spaced] for word in every}


def _head(model: Any) -> Any:
    return next(module for path, module in model.named_modules() if path.endswith("lm_head"))


def _states(made: Guard, inputs: Any) -> Tensor:
    """What the last layer is given at the last place, [rows, width]."""
    found: list[Tensor] = []
    hook = _head(made.model).register_forward_pre_hook(lambda _, given: found.append(given[0]))
    given = {k: v.float() if v.is_floating_point() else v for k, v in inputs.items()}
    # Release 5.24 looks for a field that Llama 4's language model, which has run then, returns not.
    with torch.no_grad(), suppress(AttributeError):
        made.model(**given, use_cache=False)
    hook.remove()
    return found[0][:, -1]


def _state(made: Guard, inputs: Any) -> Tensor:
    return _states(made, inputs)[0]
