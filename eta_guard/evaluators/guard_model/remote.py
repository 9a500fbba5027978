"""The same guard models behind a server: its most probable tokens tell the verdict."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from PIL.Image import Image

from eta_guard.errors import UnsupportedModelError
from eta_guard.evaluators.guard_model.asking import Asked, Category, Message
from eta_guard.evaluators.guard_model.guard_evaluator import GuardEvaluator
from eta_guard.evaluators.guard_model.guard_format import GuardFormat
from eta_guard.evaluators.guard_model.session import GuardSession
from eta_guard.evaluators.guard_model.verdict import first_category, told_verdict
from eta_guard.evaluators.model_server import ModelServer, Request, require_answers
from eta_guard.protocols.evaluators import Finding
from eta_guard.request.encoding import as_png

_MOST_CATEGORY = 24
_PATH = "/v1/chat/completions"
# What a request leaves out, the server takes from the model's generation_config.
_GREEDY = {
    "temperature": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}


class RemoteReader:
    """Asks a guard model over a server.

    Args:
        server: Serves it.
        form: How the family is asked.
    """

    control_tokens: Sequence[str] = ()
    """Of the server's tokenizer nothing is known: the format's own have to do."""

    def __init__(self, server: ModelServer, form: GuardFormat) -> None:
        self._server, self._form = server, form

    def plain(self, text: str) -> str:
        """The text as it is."""
        return text

    def holds(self, asked: Asked) -> bool:
        """Not known here: what does not fit, the server refuses, and it is unscored."""
        return True

    def begin(self, stem: Asked) -> None:
        """The server's own prefix cache keeps what questions begin with."""

    def scores(self, asked: Sequence[Asked], chain: None = None) -> list[float]:
        """The score of each question; NaN where the server gives no verdict on it.

        Raises:
            EvaluationError: It fails with all of them.
        """
        return self._scores(asked, self._server.ask([self._verdict(one) for one in asked]))

    async def ascores(self, asked: Sequence[Asked]) -> list[float]:
        """Does as ``scores``."""
        # To encode the pictures takes long enough for others to notice.
        requests = await asyncio.to_thread(lambda: [self._verdict(one) for one in asked])
        return self._scores(asked, await self._server.aask(requests))

    def category(self, question: Category) -> str | None:
        """The category that the model names; None if it names none."""
        return self._category(question, self._server.ask([self._listing(question)]))

    async def acategory(self, question: Category) -> str | None:
        """Does as ``category``."""
        return self._category(question, await self._server.aask([self._listing(question)]))

    def _verdict(self, asked: Asked) -> Request:
        told = {"logprobs": True, "top_logprobs": 20}
        sent = self._form.begins_answers
        # Where the lead cannot be sent, the model writes it, in half as many tokens as letters.
        most = 1 if sent or not asked.lead else 2 + len(asked.lead) // 2
        return self._request(asked, asked.lead if sent else "", {**told, "max_tokens": most})

    def _listing(self, question: Category) -> Request:
        sent = self._form.begins_answers
        most = _MOST_CATEGORY if sent else _MOST_CATEGORY + len(question.said) // 2
        return self._request(question.asked, question.said if sent else "", {"max_tokens": most})

    def _request(self, asked: Asked, begun: str, settings: Mapping[str, Any]) -> Request:
        messages = [{**message, "content": _sent(message["content"])} for message in asked.messages]
        body: dict[str, Any] = {**_GREEDY, **settings, "messages": messages}
        if begun:
            messages.append({"role": "assistant", "content": begun})
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        if asked.template:
            body["chat_template_kwargs"] = dict(asked.template)
        return Request(_PATH, body, _texts(asked.messages))

    def _scores(self, asked: Sequence[Asked], settled: Sequence[Any]) -> list[float]:
        require_answers(settled, self._form.name)
        return [
            math.nan if isinstance(answer, Exception) else self._score(one, answer)
            for one, answer in zip(asked, settled, strict=True)
        ]

    def _score(self, asked: Asked, answer: Any) -> float:
        lead = "" if self._form.begins_answers else asked.lead.strip().rpartition("\n")[2]
        written = ""
        for place in _told(answer):
            if written.strip().endswith(lead) and (place["token"].strip() or not asked.lead):
                top = [(one["token"], math.exp(one["logprob"])) for one in place["top_logprobs"]]
                return told_verdict(self._form, top)
            written += place["token"]
        return math.nan

    def _category(self, question: Category, settled: Sequence[Any]) -> str | None:
        require_answers(settled, self._form.name)
        text = str(settled[0]["choices"][0]["message"]["content"] or "")
        if not self._form.begins_answers:
            mark = question.mark
            text = text.partition(mark)[2] if mark else text.strip().partition("\n")[2]
        return first_category(text, question.end)


class RemoteGuardModelEvaluator(GuardEvaluator):
    """A ``GuardModelEvaluator`` over a vLLM server; see ``GuardModelEvaluator.from_server``.

    Only the twenty most probable tokens are told. What lacks to 1 counts as unsafe, so that nothing
    is called safe that the rest could make unsafe. Pictures and answers are asked about at the same
    time.

    Which texts the server reads as control tokens is known by the format's row alone.
    """

    remote = True
    _reader: RemoteReader

    def __init__(self, server: ModelServer, form: GuardFormat, **settings: Any) -> None:
        """Asks the server nothing yet.

        Args:
            server: Serves the model.
            form: How it is asked.
            settings: Those of ``GuardEvaluator``; the ``cost`` is taken from the model's name
                where it tells.

        Raises:
            UnsupportedModelError: Servers do not serve models of this form, or it lacks a policy.
        """
        if form.kind == "image_classification":
            raise UnsupportedModelError(
                f"{form.name} is no chat model, which is what servers are asked for.",
                hint="Load it here, by GuardModelEvaluator.from_pretrained.",
            )
        given = {"cost": _billions(server.model), **settings}
        super().__init__(RemoteReader(server, form), form, fingerprint="", **given)
        self._server = server

    @property
    def fingerprint(self) -> str:
        """The model's name, with what stands behind it if the server tells; asked once."""
        return self._server.fingerprint

    async def aevaluate(
        self, images: Sequence[Image], prompt: str, question: str = ""
    ) -> Sequence[Finding]:
        """Does as ``evaluate``."""
        plan = await asyncio.to_thread(self._plan, images, question)
        return plan.findings(await self._reader.ascores(plan.asked) if plan.asked else [])

    async def acategorize(self, image: Image, question: str = "") -> str | None:
        """Does as ``categorize``."""
        found = self._category(image, question)
        return await self._reader.acategory(found) if found else None

    def open(
        self, prompt: str, question: str = "", pictures: Sequence[Image] = ()
    ) -> RemoteGuardSession:
        """Begins to score answers to ``question``; see ``GuardEvaluator.open``."""
        return RemoteGuardSession(self._reader, self._asking, question, pictures)


class RemoteGuardSession(GuardSession):
    """A ``GuardSession`` whose questions all go out at the same time."""

    _reader: RemoteReader

    async def ascore(self, continuations: Sequence[str]) -> list[float]:
        """Does as ``score``."""
        texts, lines = self._lines(continuations)
        asked = [one for line in lines for one in line]
        return self._scores(continuations, texts, _parted(await self._reader.ascores(asked), lines))

    async def acategorize(self, continuation: str) -> str | None:
        """Does as ``categorize``."""
        found = self._category(continuation)
        return await self._reader.acategory(found) if isinstance(found, Category) else found

    def _told(self, lines: Sequence[Sequence[Asked]]) -> list[list[float]]:
        return _parted(self._reader.scores([one for line in lines for one in line]), lines)


def _parted(scores: Sequence[float], lines: Sequence[Sequence[Asked]]) -> list[list[float]]:
    rest = iter(scores)
    return [[next(rest) for _ in line] for line in lines]


def _billions(model: str) -> float:
    """The parameters as the model's name tells them; 1 where it does not."""
    told = re.search(r"(\d+(?:\.\d+)?)b\b", model.lower())
    return float(told[1]) if told else 1.0


def _sent(content: str | list[Message]) -> str | list[Message]:
    return content if isinstance(content, str) else [_part(part) for part in content]


def _part(part: Message) -> Message:
    if part["type"] == "text":
        return part
    return {"type": "image_url", "image_url": {"url": as_png(part["image"]).data_url}}


def _texts(messages: Sequence[Message]) -> list[str]:
    contents = [message["content"] for message in messages]
    texts = [content for content in contents if isinstance(content, str)]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return [*texts, *(part["text"] for part in parts if part["type"] == "text")]


def _told(answer: Any) -> list[Any]:
    """The tokens of an answer, each with the most probable ones at its place."""
    told = (answer["choices"][0].get("logprobs") or {}).get("content")
    return told or []
