"""GuardModelEvaluator: one token of a guard model says whether something is safe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from eta_guard.evaluators.guard_model.formats import find_format
from eta_guard.evaluators.guard_model.guard_evaluator import GuardEvaluator
from eta_guard.evaluators.guard_model.guard_format import GuardFormat

if TYPE_CHECKING:
    import httpx
    import torch

    from eta_guard.evaluators.guard_model.remote import RemoteGuardModelEvaluator


class GuardModelEvaluator(GuardEvaluator):
    """An ``ImageEvaluator`` and a ``ResponseEvaluator`` over a guard model in this process.

    Scores, and what it keeps, are described at ``GuardEvaluator``.

    Example:
        >>> guard_model = GuardModelEvaluator.from_pretrained("meta-llama/Llama-Guard-4-12B")
        >>> guard = EtaGuard(engine=engine, image_evaluator=guard_model, response_evaluator=reward)
    """

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        /,
        format: GuardFormat | None = None,
        *,
        policy: str | Mapping[str, str] | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        revision: str | None = None,
        **settings: Any,
    ) -> Self:
        """Loads a guard model; code from its repository is never run.

        Args:
            name: A directory, or a repository of the hub.
            format: How it is asked; without it, found by configuration and name.
            policy: What counts as unsafe, for families that read it; several by name.
            device: Where to run; without it, the first GPU or else the CPU.
            dtype: Of the weights; without it, float32 on a CPU and as stored elsewhere.
            revision: A commit, tag or branch of the repository.
            settings: Those of the class, as ``threshold``.

        Raises:
            ModelLoadError: The weights are missing, unreachable, damaged or incomplete.
            UnsupportedModelError: The model is of no known family, or not of its format's.
        """
        from eta_guard.evaluators.guard_model.loading import load_guard

        loaded = load_guard(
            name, format, policy=policy, device=device, dtype=dtype, revision=revision
        )
        given = {"cost": loaded.billions, **settings}
        return cls(loaded.reader, loaded.form, fingerprint=loaded.fingerprint, **given)

    @staticmethod
    def from_server(
        base_url: str,
        model: str,
        format: GuardFormat | None = None,
        *,
        policy: str | Mapping[str, str] | None = None,
        api_key: str | None = None,
        timeout: float = 60.0,
        retries: int = 3,
        client: httpx.Client | None = None,
        async_client: httpx.AsyncClient | None = None,
        **settings: Any,
    ) -> RemoteGuardModelEvaluator:
        """A guard model behind a vLLM server, or another with its OpenAI-compatible interface.

        Args:
            base_url: The server's address up to and with ``/v1``.
            model: The name under which it serves the model.
            format: How it is asked; without it, found by that name.
            policy: What counts as unsafe, for families that read it; several by name.
            api_key: Sent as a bearer token.
            timeout: Seconds for an answer, from the request to its last byte.
            retries: How often a request is sent again that found the server busy (status 429 or
                503) or its connection broken; never later than ``timeout`` after the first time.
            client: In place of one of its own, for proxies, certificates and tests.
            async_client: The same for asynchronous requests, of one event loop; without it, each
                loop has one of its own.
            settings: Those of the class, as ``threshold``; the ``cost`` is taken from the model's
                name where it tells.

        Raises:
            UnsupportedModelError: The model is of no known family, or of one that servers do not
                serve.
        """
        from eta_guard.evaluators.guard_model.remote import RemoteGuardModelEvaluator
        from eta_guard.evaluators.model_server import ModelServer

        server = ModelServer(
            base_url,
            model,
            api_key=api_key,
            timeout=timeout,
            retries=retries,
            client=client,
            async_client=async_client,
        )
        form = (format or find_format(model)).with_policy(policy)
        return RemoteGuardModelEvaluator(server, form, **settings)
