"""Scores answers by a reward model behind a vLLM server (``vllm serve MODEL --runner pooling``)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from PIL.Image import Image

from eta_guard.errors import EvaluationError, UnsupportedModelError
from eta_guard.evaluators.model_server import ModelServer, Request, require_answers
from eta_guard.evaluators.reward.chat_tokens import ChatTokens, lowest
from eta_guard.evaluators.reward.model_files import ModelFiles
from eta_guard.protocols.evaluators import Direction

if TYPE_CHECKING:
    import httpx


class VllmResponseEvaluator:
    """A ``ResponseEvaluator`` over a one-label reward model on a vLLM server.

    Chats are put together and tokenised on this side, just as ``RewardResponseEvaluator`` does it,
    and sent as token ids; so the reward model's ``tokenizer.json`` and configuration have to be at
    hand, not its weights, nor transformers. The candidates of a round are one request, to
    ``/pooling``. The server's prefix cache reads what they have in common once.

    Rewards are the model's own, without an activation; higher is better. Safe to share between
    threads and event loops.

    Example:
        >>> reward = VllmResponseEvaluator("http://localhost:8001/v1", "reward")
        >>> guard = EtaGuard(engine=engine, image_evaluator=clip, response_evaluator=reward)
    """

    remote = True
    unsafe: Direction = "below"
    """Rewards up to the threshold are unsafe."""

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        tokenizer: str | None = None,
        revision: str | None = None,
        name: str = "reward",
        threshold: float | None = None,
        cost: float = 1.0,
        api_key: str | None = None,
        timeout: float = 60.0,
        retries: int = 3,
        client: httpx.Client | None = None,
        async_client: httpx.AsyncClient | None = None,
    ) -> None:
        """Asks the server nothing yet, and loads the tokenizer when it is first needed.

        Args:
            base_url: The server's address up to and with ``/v1``.
            model: The name under which it serves the model.
            tokenizer: A directory, or a repository of the hub, with the reward model's tokenizer,
                chat template and configuration; without it, what the server says it serves.
            revision: A commit, tag or branch of that repository.
            name: Under which its evaluations stand in the verdict.
            threshold: Used where the policy has none for this name; None: the policy's
                ``response_threshold``.
            cost: Parameters in billions.
            api_key: Sent as a bearer token.
            timeout: Seconds for an answer, from the request to its last byte.
            retries: How often a request is sent again that found the server busy (status 429 or
                503) or its connection broken; never later than ``timeout`` after the first time.
            client: In place of one of its own, for proxies, certificates and tests.
            async_client: The same for asynchronous requests, of one event loop; without it, each
                loop has one of its own.
        """
        self.name, self.threshold, self.cost = name, threshold, cost
        self._server = ModelServer(
            base_url,
            model,
            api_key=api_key,
            timeout=timeout,
            retries=retries,
            client=client,
            async_client=async_client,
        )
        self._tokenizer, self._revision = tokenizer, revision

    def __repr__(self) -> str:
        return f"VllmResponseEvaluator({self._server.where!r}, {self._server.model!r})"

    @property
    def fingerprint(self) -> str:
        """The model's name, with what stands behind it if the server tells; asked once."""
        return self._server.fingerprint

    def open(
        self, prompt: str, question: str = "", pictures: Sequence[Image] = ()
    ) -> VllmRewardSession:
        """Begins to score answers to ``prompt``, as [user = prompt, assistant = answer].

        Args:
            prompt: The fixed user turn.
            question: Not read.
            pictures: Not looked at.
        """
        return VllmRewardSession(self, prompt)

    @cached_property
    def chat(self) -> ChatTokens:
        """Makes the token ids of chats.

        Raises:
            ModelLoadError: The tokenizer is missing or unreachable.
            UnsupportedModelError: The model has more than one label, or the tokenizer no chat
                template.
        """
        root = self._tokenizer or str(self._server.card.get("root") or self._server.model)
        found = ModelFiles(root, self._revision)
        if found.config.num_labels != 1:
            raise UnsupportedModelError(
                f"A reward model has one label; this one has {found.config.num_labels}.",
                hint="Serve a sequence-classification model with num_labels=1.",
            )
        return ChatTokens(found.tokenizer, found.config)

    def ask(self, request: Request, rows: int) -> list[float]:
        """Sends one request; returns the reward of each of its rows."""
        return self._rewards(self._server.ask([request]), rows)

    async def aask(self, request: Request, rows: int) -> list[float]:
        """Does as ``ask``."""
        return self._rewards(await self._server.aask([request]), rows)

    def _rewards(self, settled: Sequence[Any], rows: int) -> list[float]:
        require_answers(settled, self._server.model)
        try:
            data = sorted(settled[0]["data"], key=lambda item: int(item["index"]))
            rewards = [float(reward) for item in data for reward in item["data"]]
        except (LookupError, TypeError, ValueError) as error:
            raise EvaluationError(
                f"The server at {self._server.where} tells no rewards ({type(error).__name__}).",
                hint="Serve the reward model by `vllm serve MODEL --runner pooling`.",
            ) from error
        if len(rewards) != rows:
            raise EvaluationError(
                f"The server at {self._server.where} tells {len(rewards)} rewards of {rows} texts.",
                hint="Serve a reward model with one label.",
            )
        return rewards


class VllmRewardSession:
    """A ``ResponseSession`` whose rounds are one request each."""

    def __init__(self, evaluator: VllmResponseEvaluator, prompt: str) -> None:
        self._evaluator, self._prompt, self._accepted = evaluator, prompt, ""

    def __repr__(self) -> str:
        return "<VllmRewardSession: withheld>"

    def score(self, continuations: Sequence[str]) -> list[float]:
        """Scores ``accepted text + continuation`` for each.

        Those that read alike are scored once, and so tie exactly. A text that is longer than the
        model's context is scored in windows that overlap; the lowest counts.

        Raises:
            EvaluationError: The prompt leaves no room in the model's context, or the server fails.
        """
        texts = list(dict.fromkeys(continuations))
        if not texts:
            return []
        request, windows = self._request(texts)
        rewards = self._evaluator.ask(request, sum(windows))
        return _by_text(continuations, texts, rewards, windows)

    async def ascore(self, continuations: Sequence[str]) -> list[float]:
        """Does as ``score``."""
        texts = list(dict.fromkeys(continuations))
        if not texts:
            return []
        # The tokenizer is loaded where it is first needed; its name may be the server's to tell.
        request, windows = await asyncio.to_thread(self._request, texts)
        rewards = await self._evaluator.aask(request, sum(windows))
        return _by_text(continuations, texts, rewards, windows)

    def accept(self, text: str) -> None:
        """Appends ``text`` to the accepted text; asks nothing."""
        self._accepted += text

    async def aaccept(self, text: str) -> None:
        """Does as ``accept``."""
        self.accept(text)

    def _request(self, texts: Sequence[str]) -> tuple[Request, list[int]]:
        """The request, and how many of its rows belong to each text."""
        answers = [self._accepted + text for text in texts]
        rows = [self._evaluator.chat.windows(self._prompt, answer) for answer in answers]
        ids = [row for several in rows for row in several]
        body = {"input": ids, "use_activation": False}
        return Request("/pooling", body, answers), [len(several) for several in rows]


def _by_text(
    continuations: Sequence[str],
    texts: Sequence[str],
    rewards: Sequence[float],
    windows: Sequence[int],
) -> list[float]:
    rest = iter(rewards)
    found = {
        text: lowest([next(rest) for _ in range(count)])
        for text, count in zip(texts, windows, strict=True)
    }
    return [found[text] for text in continuations]
