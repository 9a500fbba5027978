"""A question to a guard model, as messages for its chat template."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL.Image import Image

from eta_guard.errors import UnsupportedModelError
from eta_guard.evaluators.guard_model.guard_format import GuardFormat, GuardQuestion

Message = dict[str, Any]
"""Role and content; parts of a content are ``{"type": "text", "text": …}`` and
``{"type": "image", "image": …}``."""

_PLACE = re.compile(r"\{(question|answer|policy|pictures)\}")


@dataclass(frozen=True)
class Asked:
    """One question, whose verdict is one token."""

    messages: list[Message] = field(repr=False)
    lead: str
    """What stands before the verdict."""
    template: Mapping[str, Any]
    """Arguments of the chat template."""
    policy: str = ""
    """The name of the policy that it is about."""

    @property
    def pictures(self) -> list[Image]:
        """Those in the messages, in their order."""
        contents = [message["content"] for message in self.messages]
        parts = [part for content in contents if isinstance(content, list) for part in content]
        return [part["image"] for part in parts if part["type"] == "image"]


@dataclass(frozen=True)
class Category:
    """A question that goes on behind an unsafe verdict."""

    asked: Asked
    said: str
    """What the model is taken to have said, from the lead to what stands before the category."""
    mark: str
    """The last of that, by which a category is found in an answer; empty where it is the second
    line that has it."""
    end: str
    """At which text the category is over."""


class Asking:
    """Makes questions of a format.

    Args:
        form: How the family is asked.
        plain: Keeps texts of users and models from spelling out control tokens.

    Raises:
        UnsupportedModelError: The format lacks a policy that it needs.
    """

    def __init__(self, form: GuardFormat, plain: Callable[[str], str]) -> None:
        require_policy(form)
        self._form, self._plain = form, plain

    def about_picture(self, picture: Image, question: str) -> list[Asked]:
        """Asks whether a picture, shown with a question, is safe: one question a policy."""
        return list(self._each(self.image, (picture,), question, ""))

    def about_answer(self, pictures: Sequence[Image], question: str, answer: str) -> list[Asked]:
        """Asks whether an answer is safe, of at most ``most_pictures`` at once.

        Returns:
            One question for each lot of pictures and each policy.
        """
        most = self.answer.most_pictures
        size = len(pictures) if most is None else most
        lots = [pictures[i : i + size] for i in range(0, len(pictures), size)] if size else []
        return [
            asked
            for lot in lots or [()]
            for asked in self._each(self.answer, lot, question, answer)
        ]

    def category(self, asked: Asked, kind: GuardQuestion) -> Category | None:
        """Asks for the category of what was found unsafe; None if the format has none."""
        if kind.category_lead is None:
            return None
        template = {**asked.template, **kind.category_template}
        said = f"{asked.lead}{_joined(asked.lead, self._form.unsafe[0])}{kind.category_lead}"
        mark = kind.category_lead.strip()
        return Category(Asked(asked.messages, "", template), said, mark, kind.category_end)

    @property
    def image(self) -> GuardQuestion:
        """How it is asked about pictures.

        Raises:
            UnsupportedModelError: It cannot see.
        """
        if self._form.image is None:
            raise UnsupportedModelError(
                f"{self._form.name} reads text alone and cannot evaluate pictures.",
                hint="Use it as response_evaluator, and a guard model that sees for pictures.",
            )
        return self._form.image

    @property
    def answer(self) -> GuardQuestion:
        """How it is asked about answers.

        Raises:
            UnsupportedModelError: It is for pictures alone.
        """
        if self._form.answer is None:
            raise UnsupportedModelError(
                f"{self._form.name} judges pictures alone and cannot evaluate answers.",
                hint="Use it as image_evaluator, and a guard model that reads for answers.",
            )
        return self._form.answer

    def _each(
        self, kind: GuardQuestion, pictures: Sequence[Image], question: str, answer: str
    ) -> Iterator[Asked]:
        texts = {"question": self._plain(question), "answer": self._plain(answer)}
        for name, policy in self._form.policies.items():
            argument = self._form.policy_argument
            given = {argument: policy} if argument and policy else {}
            filled = {**texts, "policy": policy}
            messages = [
                {"role": role, "content": self._content(role, text, filled, pictures)}
                for role, text in kind.turns
            ]
            yield Asked(messages, kind.lead, {**self._form.template, **given}, name)

    def _content(
        self, role: str, text: str, filled: Mapping[str, str], pictures: Sequence[Image]
    ) -> str | list[Message]:
        pieces = text.split("{pictures}")
        # In one pass: what is filled in may spell out a place, too.
        texts = [_PLACE.sub(lambda found: filled[found[1]], piece) for piece in pieces]
        if role == "system" or self._form.image is None:
            return "".join(texts)
        if not pictures:
            return [_text("".join(texts))]
        seen = [{"type": "image", "image": picture} for picture in pictures]
        parts: list[Message] = []
        for place, piece in enumerate(texts):
            parts += [*(seen if place else ()), *([_text(piece)] if piece.strip() else ())]
        return parts or [_text("")]


def require_policy(form: GuardFormat) -> None:
    """Checks that a format has the policy that it needs.

    Raises:
        UnsupportedModelError: It lacks one.
    """
    if form.needs_policy and not any(form.policies.values()):
        raise UnsupportedModelError(
            f"{form.name} has to be told what counts as unsafe.",
            hint="Pass policy=, the text of its model card.",
        )


def _text(text: str) -> Message:
    return {"type": "text", "text": text}


def _joined(lead: str, word: str) -> str:
    """The word as it stands behind a lead: a label is followed by a space."""
    return f" {word}" if lead.endswith(":") else word
