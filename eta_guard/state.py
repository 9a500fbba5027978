"""What a request is known by: the graph's state, and the verdict that the reply carries.

State holds plain values only (strict msgpack reads them back), and nothing that was not let out:
drafts and rejected candidates live in the ``session``, which is never checkpointed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

from langchain_core.messages import BaseMessage
from langgraph.channels import UntrackedValue
from langgraph.graph import MessagesState
from langgraph.managed import RemainingSteps
from pydantic import BaseModel, ConfigDict, model_validator

from eta_guard.counterfactual import Counterfactual, under
from eta_guard.decisions import Decision, Halt
from eta_guard.panel.evaluation import CombinedEvaluation, ImageEvaluation
from eta_guard.panel.masking import Masked
from eta_guard.policy import GuardPolicy
from eta_guard.runs.telemetry import RequestSeen
from eta_guard.session import GuardSession

SCHEMA_VERSION = 3


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class CandidateScore(_Record):
    """How one candidate of a round did. Its text is told only where the policy records it."""

    reward: float | None
    """Score of prefix, accepted text and candidate together, turned over where high scores are the
    unsafe ones; None where it has none."""
    similarity: float | None
    """Cosine of the image and the candidate sentence; None in rounds without it."""
    utility: float | None
    """reward + alpha / sentence number * similarity."""
    ended: bool
    """The answer is over after this candidate: end token, stop text, or budget spent."""


class SentenceRound(_Record):
    """One round of best-of-N."""

    sentence: int
    """Number of the sentence, from 1."""
    candidates: tuple[CandidateScore, ...]
    pick: int | None
    """Index of the candidate that was kept; None where none could be scored."""
    reason: str | None = None
    """Why candidates lack a score or a likeness that they should have: what failed, and how."""
    text: str
    """The accepted text of this round, as it stands in the answer; empty where stopping was best,
    and in the verdict of an answer that was refused (unless ``record_rejected``)."""


class Verdict(_Record):
    """What the guard found and did: ``response_metadata["eta_guard"]`` of the reply."""

    schema_version: int = SCHEMA_VERSION
    decision: Decision
    reason: str | None = None
    """Why the answer was refused or blocked, or why it ends early."""
    route: tuple[str, ...]
    """Names of the nodes, in the order in which they ran; empty where nothing was asked of the chat
    model (``evaluate``)."""
    image: ImageEvaluation | None = None
    """The most unsafe of the images; what could not be scored comes first."""
    images: tuple[ImageEvaluation, ...] = ()
    response: CombinedEvaluation | None = None
    """Of the plain answer; None where it was not needed."""
    drawn: tuple[CombinedEvaluation, ...] = ()
    """Of the pictures in the plain answer, each held against the threshold of images."""
    final: CombinedEvaluation | None = None
    """Of the repaired answer; None where none was made. Where the answer to masked pictures was
    still unsafe, and was repaired in its turn, of that."""
    masked: Masked | None = None
    """What was covered of which picture; None where nothing was (``aligner``)."""
    rounds: tuple[SentenceRound, ...] = ()
    flagged: bool = False
    """Whether the policy lets something else out than the plain answer, or would if it did not only
    observe."""
    policy: str = ""
    """Name and digest of the policy."""
    calls_tools: bool = False
    """The plain answer calls tools."""
    halted_at: str | None = None
    """The node at which the request ended for another reason than what was evaluated: something
    failed, or was not to be had. ``reason`` tells."""
    counts: dict[str, int | float] = {}
    """What the request cost: forwards, positions (rows x new tokens) and encodes by model, and what
    each evaluator was asked to evaluate (``evaluations_clip``)."""
    models: dict[str, str] = {}
    """Fingerprints of chat model, image evaluator and response evaluator."""
    draft: str | None = None
    """The plain answer that was not let out; only with ``record_rejected``."""
    masked_draft: str | None = None
    """The answer to masked pictures, whether or not it was let out; only with
    ``record_rejected``."""
    rejected: tuple[tuple[str, ...], ...] | None = None
    """Texts of all candidates of each round; only with ``record_rejected``."""

    @model_validator(mode="before")
    @classmethod
    def _of_schema_1(cls, told: Any) -> Any:
        """Verdicts from before evaluators had directions: the paper's two have theirs."""
        if not isinstance(told, Mapping) or told.get("schema_version") != 1:
            return told
        above, below = {"unsafe": "above"}, {"unsafe": "below"}
        read = dict(told)
        for name, known in (("image", above), ("response", below), ("final", below)):
            read[name] = told.get(name) and {**known, **told[name]}
        for name in ("images", "drawn"):
            read[name] = [{**above, **one} for one in told.get(name) or ()]
        return read

    def under(self, policy: GuardPolicy) -> Counterfactual:
        """What another policy would have decided on the same scores.

        Those of its fields count that decide (``decisions.SAME_SCORES``); what the others would
        have had drawn or evaluated otherwise is taken as it was.

        Args:
            policy: Any; under the verdict's own the decision is the verdict's.

        Returns:
            The decision, as far as the scores tell: ``unknown`` says what is lacking where they do
            not. What was not evaluated is never taken for safe.
        """
        return under(self, policy)

    @property
    def sentences(self) -> int:
        """How many the search added whose text is told; a round that stops adds none."""
        return sum(bool(record.text.strip()) for record in self.rounds)


METADATA_KEY = "eta_guard"
"""Key of a reply's ``response_metadata`` under which its verdict stands."""


def withheld(message: BaseMessage) -> bool:
    """Whether the guard let out something else than the model's own answer."""
    verdict = message.response_metadata.get(METADATA_KEY, {})
    return verdict.get("decision") in ("aligned", "refused", "blocked")


def without_texts(verdict: Verdict) -> Verdict:
    """The verdict without any text of an answer."""
    rounds = tuple(record.model_copy(update={"text": ""}) for record in verdict.rounds)
    withheld: dict[str, Any] = {"draft": None, "masked_draft": None, "rejected": None}
    return verdict.model_copy(update={"rounds": rounds, **withheld})


class Repaired(TypedDict):
    """A repaired answer, once it is whole."""

    text: str
    """From the first character of the prefix."""
    finish_reason: str


class GuardState(MessagesState):
    """State of the graph. Input and output are ``messages`` alone."""

    session: Annotated[GuardSession | None, UntrackedValue]
    """Pixels, drafts and candidates of the request. None after a resume: rebuilt where needed."""
    request: Annotated[RequestSeen | None, UntrackedValue]
    """What those who run the service see of it. A run that is resumed begins another one."""
    deadline: Annotated[float | None, UntrackedValue]
    """When the policy's ``timeout`` is over, by ``time.monotonic()``. None after a resume, which
    begins its time anew."""
    remaining_steps: RemainingSteps
    route: list[str]
    """Names of the nodes that have run."""
    counts: dict[str, int | float]
    images: list[dict[str, Any]]
    """An ``ImageEvaluation`` each."""
    image: dict[str, Any] | None
    response: dict[str, Any] | None
    drafting: bool
    """The plain answer is drawn alongside the search, and not evaluated yet."""
    scored: str | None
    """Digest of the plain answer that ``response`` speaks of."""
    calls_tools: bool
    """The plain answer calls tools: it goes out as it is, or is refused, but is never searched."""
    pictured: bool
    """The plain answer shows pictures: they are evaluated, whatever the images of the request."""
    drawn: list[dict[str, Any]]
    """A ``CombinedEvaluation`` of each picture in the plain answer."""
    masked: dict[str, Any] | None
    """A ``Masked``, once the model was shown what it describes. The answer to it is in the session:
    like a plain one, it is not fit to be kept before it was evaluated."""
    masked_scored: str | None
    """Digest of the answer that ``masked["response"]`` speaks of."""
    final: dict[str, Any] | None
    rounds: list[dict[str, Any]]
    """A ``SentenceRound`` each."""
    accepted: list[list[int]]
    """Token ids of the accepted sentences, so that a resumed search goes on exactly."""
    repaired: Repaired | None
    cut_short: bool
    """The time was over before the answer that goes out was whole."""
    halt: Halt | None


class GuardMessages(MessagesState):
    """Input and output of the graph."""


def fresh() -> dict[str, Any]:
    """What every request starts from, so that a second turn on one thread starts clean."""
    return {
        "session": None,
        "request": None,
        "deadline": None,
        "route": [],
        "counts": {},
        "images": [],
        "image": None,
        "response": None,
        "drafting": False,
        "scored": None,
        "calls_tools": False,
        "pictured": False,
        "drawn": [],
        "masked": None,
        "masked_scored": None,
        "final": None,
        "rounds": [],
        "accepted": [],
        "repaired": None,
        "cut_short": False,
        "halt": None,
    }
