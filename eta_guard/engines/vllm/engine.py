"""VllmEngine: a vLLM server, asked over its OpenAI-compatible HTTP API.

Written from vLLM's documentation and source (0.33) and tested against a played server; the authors
have not run it against a real one.

``httpx`` is the client, and not the ``openai`` package: one request form with fields of vLLM's own
and a stream that is closed early are little code, retries that draw twice are unwanted, and
LangGraph brings it along anyhow. ``vllm`` itself is not imported.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Generator, Mapping
from functools import cached_property
from typing import Any

from eta_guard.engines.vllm.session import VllmSession
from eta_guard.engines.vllm.stream import broken_off, read_events, refusal
from eta_guard.errors import EngineError, UnsupportedModelError
from eta_guard.protocols import Generation
from eta_guard.request.conversation import Conversation
from eta_guard.request.presentation import AS_IT_IS, Presentation

try:
    import httpx
except ImportError as missing:
    raise ImportError("VllmEngine asks over HTTP: pip install 'eta_guard[vllm]'.") from missing

logger = logging.getLogger(__name__)

_FINGERPRINT_TIMEOUT = 5.0


class VllmEngine:
    """An engine over a vLLM server that runs the chat model (``vllm serve MODEL``).

    The server's assistant prefill continues the answer so far, and all candidates of a sentence
    come from one request, each cut at its first sentence end on this side; once all have ended the
    stream is closed, which has the server stop. One that has ended early is drawn on by the server
    until then: those tokens are counted too, as far as they arrive.

    The server's prefix caching, which is on by default and covers images, makes it one prefill a
    request: every sentence sends the conversation anew, and its tokens are found in the cache.

    The answer so far is sent as text, and read into tokens anew; spacing is kept as the model drew
    it, and no accepted sentence ends in white space, since chat templates may trim it. Text that
    spells out a control token is read as one by the server, in a question as in an answer.

    Draws are a function of seed, sentence and candidate as far as the server's are: its batches
    may move a logit. Tools are not offered.

    The server has a processor of its own, so what the paper's code showed LLaVA-1.5 is prepared on
    this side: with ``presentation=Presentation.llava_1_5()`` every picture is sent padded and
    scaled as published, and the conversation begins with the published system sentence after the
    ``<s>`` that the server would leave out.

    Example:
        >>> engine = VllmEngine("http://localhost:8000/v1", "llava-hf/llava-1.5-7b-hf")
        >>> guard = EtaGuard(engine=engine, image_evaluator=clip, response_evaluator=reward)
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout: float = 120.0,
        client: httpx.Client | None = None,
        presentation: Presentation = AS_IT_IS,
    ) -> None:
        """Asks the server nothing yet.

        Args:
            base_url: The server's address up to and with ``/v1``.
            model: The name under which it serves the model.
            api_key: Sent as a bearer token.
            timeout: Seconds to wait for a connection, and for each next piece of an answer.
            client: In place of one of its own, for proxies, certificates and tests.
            presentation: What the model is shown beyond the server's chat template and processor;
                nothing by default.
        """
        self.base_url, self.model = base_url.rstrip("/"), model
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout = timeout
        self._client = client or httpx.Client()
        self.presentation = presentation
        """How conversations are shown to the model."""

    def __repr__(self) -> str:
        return f"VllmEngine({self._where!r}, {self.model!r})"

    @cached_property
    def fingerprint(self) -> str:
        """The model's name, with what stands behind it if the server tells (``/v1/models``).

        Asked once; a server that does not answer then is known by the model's name.
        """
        try:
            response = self._client.get(
                f"{self.base_url}/models", headers=self._headers, timeout=_FINGERPRINT_TIMEOUT
            )
            cards = response.raise_for_status().json()["data"]
            root = next((card.get("root") for card in cards if card["id"] == self.model), None)
        except (httpx.HTTPError, ValueError, LookupError, TypeError, AttributeError) as error:
            logger.warning(
                "%s does not tell what stands behind %s (%s); it is known by that name.",
                self._where,
                self.model,
                type(error).__name__,
            )
            root = None
        named = f"{self.model} ({root})" if root and root != self.model else self.model
        return named + self.presentation.mark

    def open(self, conversation: Conversation, generation: Generation) -> VllmSession:
        """Begins a request; the server is asked nothing yet.

        Raises:
            UnsupportedModelError: There are tools to be called.
        """
        if generation.tools:
            raise UnsupportedModelError(
                f"{self.model} is not offered tools: VllmEngine reads no calls.",
                hint="Bind none, or use a ChatModelEngine over the server's LangChain chat model.",
            )
        return VllmSession(self, self.presentation.show(conversation), generation)

    def stream(self, asked: Mapping[str, Any], secret: str = "") -> Generator[dict[str, Any]]:
        """Asks for answers; yields the events of the stream, which closes with the iterator.

        Args:
            asked: The request, but for what every request has.
            secret: A text that no error may quote.

        Raises:
            EngineError: The server cannot be reached, refuses, or breaks off.
        """
        body = {
            **asked,
            "model": self.model,
            "stream": True,
            # Counts in every event: those of a stream that is closed early have come, too.
            "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        }
        if self.presentation.special_tokens:
            body["add_special_tokens"] = True
        url = f"{self.base_url}/chat/completions"
        try:
            with self._client.stream(
                "POST", url, json=body, headers=self._headers, timeout=self._timeout
            ) as response:
                if response.status_code != httpx.codes.OK:
                    raise refusal(_said(response.read()), secret, response.status_code)
                yield from read_events(response.iter_bytes(), secret)
        except (httpx.RemoteProtocolError, httpx.ReadError) as error:
            raise broken_off() from error
        except httpx.HTTPError as error:
            raise EngineError(
                f"The server at {self._where} does not answer ({type(error).__name__}).",
                hint="See whether `vllm serve` runs there and is ready, or raise the timeout.",
            ) from error

    @property
    def _where(self) -> str:
        # Without user and password.
        return httpx.URL(self.base_url).netloc.decode()


def _said(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
