"""VllmEngine: a vLLM server, asked over its OpenAI-compatible HTTP API.

Tested against vLLM 0.32 over the shipped weights (``pytest -m vllm``), and against a played server
that answers in the same form.

``httpx`` is the client, and not the ``openai`` package: one request form with fields of vLLM's own
and a stream that is closed early are little code, retries that draw twice are unwanted, and
LangGraph brings it along anyhow. ``vllm`` itself is not imported.
"""

from __future__ import annotations

from eta_guard.engines.vllm.asking import Asking
from eta_guard.engines.vllm.server import Server
from eta_guard.engines.vllm.session import VllmSession
from eta_guard.protocols import Generation
from eta_guard.request.conversation import Conversation
from eta_guard.request.presentation import AS_IT_IS, Presentation
from eta_guard.server.clients import httpx
from eta_guard.server.connection import Connection


class VllmEngine:
    """An engine over a vLLM server that runs the chat model (``vllm serve MODEL``).

    The server's assistant prefill continues the answer so far, and all candidates of a sentence
    come from one request, each cut at its first sentence end on this side; once all have ended the
    stream is closed, which has the server stop. One that has ended early is drawn on by the server
    until then: those tokens are counted too, as far as they arrive.

    The server's prefix caching, which is on by default and covers images, makes it one prefill a
    request: every sentence sends the conversation anew, and its tokens are found in the cache, as
    far as they fill whole blocks. With ``--enable-prompt-tokens-details`` the verdict's counts tell
    how many were found.

    The answer so far is sent as text, and read into tokens anew; spacing is kept as the model drew
    it, and no accepted sentence ends in white space, since chat templates may trim it. Text that
    spells out a control token is read as one by the server, in a question as in an answer.

    Draws are a function of seed, sentence and candidate as far as the server's are: its batches
    may move a logit.

    Asynchronously, requests wait on the event loop and not in threads; one that is cancelled closes
    its stream, and the server aborts what it was drawing. A request is sent again where the server
    was busy or the connection broke before the first token, and never after it.

    Calls of tools are read by the server (``--enable-auto-tool-choice --tool-call-parser …``).

    The server has a processor of its own, so what the paper's code showed LLaVA-1.5 is prepared on
    this side: with ``presentation=Presentation.llava_1_5()`` every picture is sent padded and
    scaled as published, and the conversation begins with the published system sentence after the
    ``<s>`` that the server would leave out.

    Example:
        >>> engine = VllmEngine("http://localhost:8000/v1", "llava-hf/llava-1.5-7b-hf")
        >>> guard = EtaGuard(engine=engine, image_evaluator=clip, response_evaluator=reward)
    """

    calls_tools = True

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout: float = 120.0,
        retries: int = 3,
        picture_ids: bool = True,
        client: httpx.Client | None = None,
        async_client: httpx.AsyncClient | None = None,
        presentation: Presentation = AS_IT_IS,
    ) -> None:
        """Asks the server nothing yet.

        Args:
            base_url: The server's address up to and with ``/v1``.
            model: The name under which it serves the model.
            api_key: Sent as a bearer token.
            timeout: Seconds to wait for a connection, and for each next piece of an answer.
            retries: How often a request is sent again that found the server busy (status 429 or
                503) or its connection broken, before the first token; never later than ``timeout``
                after the first time.
            picture_ids: Send a picture once a request, and from then on the id under which a vLLM
                server keeps it. Ids hold for this engine alone, so that nobody else can put another
                picture under one; two engines do not find each other's pictures in the server's
                prefix cache.
            client: In place of one of its own, for proxies, certificates and tests.
            async_client: The same for asynchronous requests, of one event loop; without it, each
                loop has one of its own.
            presentation: What the model is shown beyond the server's chat template and processor;
                nothing by default.
        """
        self.model = model
        self._connection = Connection(
            base_url,
            model,
            api_key=api_key,
            timeout=timeout,
            retries=retries,
            client=client,
            async_client=async_client,
        )
        self._server = Server(
            self._connection, special_tokens=presentation.special_tokens, by_id=picture_ids
        )
        self.presentation = presentation
        """How conversations are shown to the model."""

    def __repr__(self) -> str:
        return f"VllmEngine({self._connection.where!r}, {self.model!r})"

    @property
    def fingerprint(self) -> str:
        """The model's name, with what stands behind it if the server tells (``/v1/models``).

        Asked once; a server that tells nothing is known by the model's name.
        """
        return self._connection.fingerprint + self.presentation.mark

    def open(self, conversation: Conversation, generation: Generation) -> VllmSession:
        """Begins a request; the server is asked nothing yet."""
        return VllmSession(Asking(self._server, self.presentation.show(conversation)), generation)
