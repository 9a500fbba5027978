"""What a request is known by: the graph's state, and the verdict that the reply carries.

State holds plain values only (strict msgpack reads them back), and nothing that was not let out:
drafts and rejected candidates live in the ``session``, which is never checkpointed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypedDict

from langchain_core.messages import BaseMessage
from langgraph.channels import UntrackedValue
from langgraph.graph import MessagesState
from langgraph.managed import RemainingSteps
from pydantic import BaseModel, ConfigDict, model_validator

from eta_guard.panel.evaluation import CombinedEvaluation, ImageEvaluation
from eta_guard.panel.masking import MaskedPicture
from eta_guard.policy import GuardPolicy
from eta_guard.runs.telemetry import RequestSeen
from eta_guard.session import GuardSession

SCHEMA_VERSION = 3

Decision = Literal["passed", "aligned", "refused", "blocked", "observed"]


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


class Masked(_Record):
    """The pictures as the chat model was shown them once more, and what it answered to them."""

    pictures: tuple[MaskedPicture, ...]
    """Those of which something was covered."""
    response: CombinedEvaluation | None = None
    """Of the answer; None where there was none, or not yet."""


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


class Halt(TypedDict):
    """Why no answer goes out."""

    decision: Decision
    reason: str


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


def passes(state: Mapping[str, Any], policy: GuardPolicy) -> bool:
    """Whether the plain answer may go out, by what is known of it and of the images.

    Args:
        state: Of the graph, once the answer was drawn and, where it had to be, evaluated.
        policy: Says what goes out without an evaluation of its own.
    """
    if any(found["outcome"] != "safe" for found in state["drawn"]):
        return False
    if state["response"] is not None:
        return bool(state["response"]["outcome"] == "safe")
    return policy.passes_unread(state["image"])


def intervenes(state: Mapping[str, Any], policy: GuardPolicy) -> bool:
    """Whether a policy that enforces lets something else out than the plain answer.

    Args:
        state: As for ``passes``.
        policy: Whatever its mode.
    """
    if state["image"] is None:
        return policy.on_no_image == "align" or not passes(state, policy)
    gate = policy.on_unsafe_image == "block" and state["image"]["outcome"] != "safe"
    return gate or not passes(state, policy)


def aligns_undrawn(state: Mapping[str, Any], policy: GuardPolicy, session: GuardSession) -> bool:
    """Whether no plain answer could go out, whatever it said: then none is drawn or evaluated.

    A call of a tool could, since no sentence takes its place.

    Args:
        state: As for ``passes``.
        policy: Of the request.
        session: Knows whether tools may be called.
    """
    asked = policy.mode != "observe" and policy.on_no_image == "align"
    return asked and state["image"] is None and not session.may_call_tools


def can_mask(state: Mapping[str, Any]) -> bool:
    """Whether there is a picture to cover: one that is not safe, and was not covered before."""
    unsafe = any(found["outcome"] != "safe" for found in state["images"])
    return unsafe and state["masked"] is None


def still_unsafe(state: Mapping[str, Any]) -> bool:
    """Whether the answer to masked pictures is not safe either, and was not repaired so far."""
    masked = state["masked"] is not None and state["repaired"] is None
    return masked and state["final"] is not None and state["final"]["outcome"] != "safe"


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
