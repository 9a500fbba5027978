"""Evaluates pictures and answers by a guard model: one token says whether something is safe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

from PIL.Image import Image

from eta_guard.evaluators.bounded_cache import BoundedCache
from eta_guard.evaluators.guard_model.asking import Asked, Asking, Category
from eta_guard.evaluators.guard_model.formats import find_format
from eta_guard.evaluators.guard_model.guard_format import GuardFormat
from eta_guard.evaluators.guard_model.pictures import KeptFindings, PicturePlan
from eta_guard.evaluators.guard_model.session import GuardSession
from eta_guard.protocols.evaluators import Direction, Finding
from eta_guard.text.plain_text import PlainText

if TYPE_CHECKING:
    import httpx
    import torch

    from eta_guard.evaluators.guard_model.remote import RemoteGuardModelEvaluator


class Reader(Protocol):
    """Asks a guard model, here or over a server."""

    @property
    def control_tokens(self) -> Sequence[str]:
        """Texts that users' texts are kept from spelling out."""
        ...

    def begin(self, stem: Asked) -> Any:
        """What it keeps of questions that begin alike; None if it keeps nothing."""
        ...

    def scores(self, asked: Sequence[Asked], chain: Any = None) -> list[float]:
        """The score of each question, NaN where there is none."""
        ...

    def category(self, question: Category) -> str | None:
        """The category that the model names."""
        ...


class GuardModelEvaluator:
    """An ``ImageEvaluator`` and a ``ResponseEvaluator`` over a guard model.

    A score is the probability of an unsafe verdict among the verdicts, in [0, 1]; NaN where the
    model has something else than a verdict to say. Scores of pictures are kept, by pixels and
    question. Safe to share between threads.

    A family that sees nothing raises ``UnsupportedModelError`` as image evaluator, and one that is
    for pictures alone as response evaluator; ``sees`` and ``reads`` say so beforehand.

    Example:
        >>> guard_model = GuardModelEvaluator.from_pretrained("meta-llama/Llama-Guard-4-12B")
        >>> guard = EtaGuard(engine=engine, image_evaluator=guard_model, response_evaluator=reward)
    """

    unsafe: Direction = "above"
    """Scores from the threshold up are unsafe."""

    def __init__(
        self,
        reader: Reader,
        form: GuardFormat,
        *,
        fingerprint: str,
        name: str = "guard_model",
        threshold: float | None = 0.5,
        cost: float = 1.0,
        kept_pictures: int = 256,
    ) -> None:
        """Wraps what asks the model; ``from_pretrained`` and ``from_server`` make it.

        Args:
            reader: Asks the model.
            form: How it is asked.
            fingerprint: Names the model and its weights.
            name: Under which its evaluations stand in the verdict.
            threshold: Used where the policy has none for this name; in [0, 1].
            cost: Parameters in billions.
            kept_pictures: Most scores of pictures kept.

        Raises:
            UnsupportedModelError: The format lacks a policy that it needs.
        """
        self.name, self.threshold, self.cost = name, threshold, cost
        self._fingerprint = fingerprint
        self.format = form
        self._reader = reader
        self._asking = Asking(form, PlainText([*reader.control_tokens, *form.control]))
        self._kept: KeptFindings = BoundedCache(kept_pictures)

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
            timeout: Seconds to wait for a connection, and for an answer.
            client: In place of one of its own, for proxies, certificates and tests.
            async_client: The same for asynchronous requests.
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
            client=client,
            async_client=async_client,
        )
        form = (format or find_format(model)).with_policy(policy)
        return RemoteGuardModelEvaluator(server, form, **settings)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.fingerprint!r}, {self.format.name!r})"

    @property
    def fingerprint(self) -> str:
        """Names the model and its weights."""
        return self._fingerprint

    @property
    def sees(self) -> bool:
        """Whether it can evaluate pictures."""
        return self.format.image is not None

    @property
    def reads(self) -> bool:
        """Whether it can evaluate answers."""
        return self.format.answer is not None

    def evaluate(
        self, images: Sequence[Image], prompt: str, question: str = ""
    ) -> Sequence[Finding]:
        """Scores each picture, together with the question that it was shown with.

        Args:
            images: RGB images of any size; those that were not asked about yet are one batch.
            prompt: Not read: a guard model has its own instruction.
            question: The text of the turn that is answered.

        Returns:
            One finding a picture, with the policy that it violates most where there are several.

        Raises:
            UnsupportedModelError: The model cannot see.
        """
        plan = self._plan(images, question)
        return plan.findings(self._reader.scores(plan.asked) if plan.asked else [])

    def categorize(self, image: Image, question: str = "") -> str | None:
        """The category that the model puts an unsafe picture into; None if it has none."""
        found = self._category(image, question)
        return self._reader.category(found) if found else None

    def open(self, prompt: str, question: str = "", pictures: Sequence[Image] = ()) -> GuardSession:
        """Begins to score answers to ``question``.

        Args:
            prompt: Not read: it is the turn under which reward models score an answer.
            question: The text of the turn that is answered.
            pictures: Those that the model was shown; left out by a guard model that cannot see.

        Raises:
            UnsupportedModelError: The model is for pictures alone.
        """
        return GuardSession(self._reader, self._asking, question, pictures)

    def _category(self, image: Image, question: str) -> Category | None:
        (asked, *_) = self._asking.about_picture(image, question)
        return self._asking.category(asked, self._asking.image)

    def _plan(self, images: Sequence[Image], question: str) -> PicturePlan:
        _ = self._asking.image  # or the mistake would show with the first picture
        return PicturePlan.of(images, question, self._asking, self._kept)
