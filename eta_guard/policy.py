"""GuardPolicy: every decision of the guard that is a setting."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args

import yaml
from langchain_core.runnables import RunnableConfig
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from eta_guard import prompts
from eta_guard.errors import PolicyError
from eta_guard.view_names import DEFAULT_VIEWS, VIEW_NAMES, ViewName

CONFIG_KEY = "eta_guard"
"""Key of ``configurable`` under which a caller may override the fields named ``overridable``."""

_LABEL = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_HOST = re.compile(rf"({_LABEL}|\*\.{_LABEL}\.{_LABEL})(\.{_LABEL})*")

Finite = Annotated[float, Field(allow_inf_nan=False)]


V = TypeVar("V")


class ByName(dict[str, V], Generic[V]):
    """Values by an evaluator's name that never change, as no policy does."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError("A policy never changes; `updated` makes one that differs.")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type[ByName[V]], tuple[dict[str, V]]]:
        return type(self), (dict(self),)


Aligner = Literal["eta", "mask", "mask+eta"]
OnUnscored = Literal["unsafe", "refuse", "raise"]
_BY_STRICTNESS: tuple[OnUnscored, ...] = get_args(OnUnscored)


class GuardPolicy(BaseModel):
    """Thresholds, prompts, search settings, and what to do where the paper leaves it open.

    The defaults are the paper's constants, with three exceptions: an answer that is still unsafe
    after repair is refused, where the paper returns it (``on_unrepaired``); pictures are looked at
    in more than the published view (``views``); and an answer that hides something is evaluated as
    it can be read (``decode_answers``).
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    name: str = ""
    """Stands in the verdict, beside a digest of the whole policy."""
    mode: Literal["enforce", "observe"] = "enforce"
    """``"observe"`` evaluates and reports, and lets every answer out unchanged."""

    # Evaluating
    image_threshold: float = Field(default=0.16, ge=0.0, le=1.0)
    """An image is unsafe when its score, a clipped cosine in [0, 1], is >= this (paper). It
    holds for evaluators that have no threshold of their own, as does the next."""
    response_threshold: Finite = 0.06
    """An answer is unsafe when its score, on the reward model's own scale, is <= this (paper)."""
    thresholds: Annotated[dict[str, Finite], AfterValidator(ByName)] = Field(default_factory=ByName)
    """Thresholds by an evaluator's ``name``, each on its own scale, in place of its own or of the
    paper's two. A name that no evaluator of the guard has is an error."""
    short_circuit: bool = True
    """Of several evaluators the cheap ones are asked first, and no more once one has found what is
    not safe. False: all are always asked, so that each stands in the verdict."""
    on_unsafe_image: Literal["align", "block"] = "align"
    """An image is not safe: evaluate the answer and repair it where it is unsafe too (paper), or
    ``"block"``: reply with ``refusal_message`` and generate nothing (decision ``blocked``)."""
    decode_answers: bool = True
    """Evaluate an answer also as it can be read: as it looks, where it has invisible characters or
    letters of another alphabet in Latin words, and decoded, where it holds base64, hex, escapes,
    rot13 or the like. The worst reading counts, and is named in the verdict; an answer that can
    be read in too many ways, each within the other, is unscored. The model is shown and the user
    is sent the answer as it is. Prose has one reading, and costs nothing more; any other at most
    six evaluations for one. False: the answer as it stands alone (paper)."""
    sentences_alone: bool = False
    """Evaluate each sentence of an answer by itself as well, and each candidate of the search: the
    worst sentence counts, and is named in the verdict, so that nothing is outweighed by what
    stands around it. It costs an evaluation a sentence, in one batch, on top of that of the whole;
    and a reward model, which knows whole answers, finds fault with more single sentences than
    answers: calibrate with it before you rely on it. False: answers whole (paper)."""
    safety_prompt: str = Field(default=prompts.SAFETY_PROMPT, min_length=1)
    """What images are compared with."""
    post_prompt: str = Field(default=prompts.POST_PROMPT, min_length=1)
    """The user turn under which whole answers are scored."""
    image_scope: Literal["conversation", "last_turn"] = "conversation"
    """Which images the model is shown, and which therefore count: all, those in earlier turns and
    in tool messages included, or only those of the last user message (several in a row count as
    one) and since; a short text then stands in place of each earlier one. Of several, the most
    unsafe counts. ``mode="observe"`` changes nothing that the model is shown, and evaluates all. A
    provider that keeps the history itself (``previous_response_id``) shows its model what it has
    kept."""
    image_hosts: tuple[str, ...] = ()
    """Hosts from which pictures are fetched that a message gives by an ``https://`` address: names
    such as ``"images.example.org"``, or ``"*.example.org"`` for all under one. Everyone is then
    given the bytes that were fetched, once a request; addresses that are not public are refused.
    None by default: such a picture is input that cannot be read."""
    max_image_side: int | None = Field(default=None, ge=64)
    """Pictures with a longer side, in pixels, are scaled down to it, for evaluators and model
    alike. None: as they are. Not under ``mode="observe"`` in front of a provider."""
    views: tuple[ViewName, ...] = DEFAULT_VIEWS
    """In which views pictures are looked at by evaluators that can (CLIP); ``"all"`` stands for
    every one. A view counts as far as it exceeds its offset, which is fitted for the weights and
    the safety prompt (``eta-guard views``); one without an offset is not used. What each costs and
    catches is told by ``eta-guard views``, and by ``eta_guard.view_names``. ``("whole",)``: the
    published view alone (paper), with the squares that cover a picture that is not square. It is
    part of any choice."""
    look_closer: Literal["in_doubt", "always"] = "in_doubt"
    """Which pictures are looked at in more views than the published one, and than those that their
    layout or the chat model's scaling gives cause for. ``"in_doubt"``: those whose embedding lies
    where hidden hazards do, by a direction and a margin that are fitted with the offsets so that a
    safe request costs twice the published view's encodes at most. ``"always"``: all; what is hidden
    so well that the whole looks clearly safe is found as well, at the cost of every view of every
    picture, and of more false alarms."""
    on_no_image: Literal["post_only", "pass", "align"] = "post_only"
    """No image in scope. ``"post_only"``: the answer's own score decides whether to align.
    ``"pass"``: the plain answer goes out unevaluated. ``"align"``: every answer is aligned."""

    draft_stop_margin: Finite | None = Field(default=None, ge=0.0)
    """Stop the draft of a flagged request as soon as its text so far, scored at each sentence end,
    lies this far below ``response_threshold``. None: every draft is drawn to its end (paper). It
    saves the rest of an unsafe draft, and costs a reward forward at each sentence end until then.
    Decision, route and texts stay as they are but for two things. A draft whose beginning is unsafe
    by the margin is repaired, also where the whole of it would have been scored safe or not at all;
    the higher the margin, the rarer that is. And of a draft that was stopped, ``response`` in the
    verdict evaluates the beginning (``reason`` says how far), and ``record_rejected`` shows it."""

    draft_with_candidates: bool = False
    """Draw the draft of a flagged request in the same steps as the candidates that may replace it,
    where the engine can: the search begins before the draft is evaluated. False: the search begins
    once the draft is known to be unsafe (paper). Decision and texts stay as they are. It saves the
    steps of the draft, which a GPU would spend on one row; if the draft turns out safe, the search
    so far was in vain. The route differs, and shows it. Cannot be overridden per request, nor be
    combined with ``draft_stop_margin``, which would have nothing to save."""

    # Aligning
    aligner: Aligner = "eta"
    """How an answer is repaired where image and answer are unsafe. ``"eta"``: by prefix and search
    (paper). ``"mask"``: the model is shown the pictures with their unsafe regions covered (set to
    0, as in GuardAlign, ICLR 2026) and answers anew, in text alone; that answer is evaluated like
    any other, and ``on_unrepaired`` decides where it is still unsafe. ``"mask+eta"``: prefix and
    search follow where it is, and go on from the covered pictures. All pictures that are not safe
    are covered: in the regions of each evaluator that found them unsafe and says where, and whole
    where none does, or where they could not be evaluated; so no evaluator of pictures is spared
    (``short_circuit``). What the covered pictures score is not asked: a black one may look like a
    hazard to CLIP. It costs the prompt read anew and one more answer. Where there is no picture
    to cover, ``"mask+eta"`` does as ``"eta"`` does, and ``"mask"`` refuses; so ``"mask"`` and
    ``on_no_image="align"`` exclude each other. Not with ``draft_with_candidates``. A provider that
    keeps the history itself shows its model the pictures that it has kept."""
    prefix: str = prompts.PREFIX
    """The interference prefix; the paper's figure shows it with a comma, which is put here.
    White space at its end is dropped, since a lone space token derails most tokenizers; the model
    continues with the space itself. Empty: no shallow alignment, the search alone."""
    search: bool = True
    """Deep alignment. False: the answer is simply continued after the prefix."""
    search_prompt: str = Field(default=prompts.SEARCH_PROMPT, min_length=1)
    """The user turn under which candidates are scored."""
    candidates: int = Field(default=5, ge=1, le=64)
    """N: how many continuations are drawn for each sentence (paper)."""
    accept_above: tuple[Finite, Finite] | None = None
    """Keep the first candidate of a sentence that is good enough, instead of the best of N: one
    whose reward is >= ``last - (last - first) / i`` in sentence i, where ``(first, last)`` is this
    pair. The threshold is ``first`` in the first sentence and rises towards ``last``. It is on the
    scale of ``reward`` in the verdict's ``rounds``, where high is good whatever the evaluator's
    direction; the image's likeness is not asked. Where no candidate passes, all N are drawn and
    the best is kept. Servers and providers are asked for two at a time, so that most candidates
    are neither drawn nor scored, at the cost of a further request where none of the two passes; a
    candidate has the same text as in the whole search. An engine whose candidates share the steps
    (``LocalEngine``) draws all N nevertheless. What is kept is good enough, not the best: a pair
    as low as the threshold of answers lets more unsafe sentences by, so take one from the rewards
    that ``rounds`` show, and measure the unsafe rate with it (``evaluate --method
    accept_early/FIRST,LAST``). After Cascade Reward Sampling (CARDS, arXiv 2406.16306), whose
    threshold rises in a line with the tokens drawn, from the prompt's reward. None: always the best
    of N (paper)."""
    search_top_k: int = Field(default=5, ge=1)
    """Candidates are drawn from the k most likely tokens (published code)."""
    search_temperature: float = Field(default=1.5, gt=0.0, le=10.0)
    """Softmax temperature of the candidates (published code)."""
    alpha: float = Field(default=1.0, ge=0.0)
    """Weight of a candidate's likeness to the image; 0 leaves the reward alone (paper)."""
    clip_from_sentence: int = Field(default=2, ge=1)
    """First sentence whose candidates are compared with the image: 2 as in the published code,
    1 as in the paper's text."""
    max_sentence_tokens: int = Field(default=70, ge=1)
    """Most tokens of a candidate; one that has no end by then is cut there (published code). Where
    a character takes several, as in scripts that a tokenizer writes byte by byte, a candidate may
    have so many characters instead, if the engine sees that."""
    max_tokens: int = Field(default=1024, ge=1)
    """Most tokens of an answer, kept to the token, the prefix included (published code)."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Every random draw is a function of seed, sentence, candidate and step."""

    # When something is missing or fails
    on_unscored: OnUnscored | Annotated[dict[str, OnUnscored], AfterValidator(ByName)] = "unsafe"
    """What could not be evaluated is treated as unsafe, or refused, or raises
    ``EvaluationError``. It is never treated as safe. By an evaluator's ``name``, as
    ``{"clip": "refuse"}``, it holds for those that are named, and ``"unsafe"`` for the others; a
    name that no evaluator of the guard has is an error. Where several fail, the strictest
    holds."""
    on_unrepaired: Literal["refuse", "return"] = "refuse"
    """The repaired answer still scores unsafe: say ``refusal_message``, or return it (paper). One
    that could not be scored is never returned."""
    on_unreadable: Literal["raise", "refuse", "omit"] = "raise"
    """Input that cannot be read: a PDF, sound, a picture that is damaged or stands elsewhere. Raise
    ``InputError``; or reply with ``refusal_message`` (decision ``blocked``) and put the reason in
    the verdict; or ``"omit"`` the block: model and evaluators alike read in its place that an
    attachment was left out, and the log says which; where there is nothing that could be omitted
    (no message to answer), the request is refused. ``mode="observe"`` raises only what the model
    without a guard would: a provider is sent the block as it came, and in the verdict it is
    unscored."""
    on_error: Literal["raise", "refuse"] = "raise"
    """An engine that fails: raise its error, or reply with ``refusal_message`` (decision
    ``refused``) and put the reason in the verdict. ``PolicyError``, ``EvaluationError`` and
    ``OverloadedError`` are raised in either case."""
    timeout: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None
    """Seconds for a whole request. When nine tenths of them are over, nothing more is drawn: the
    plain answer or the repaired one, as far as it has come, is evaluated as it stands, goes out if
    it is safe (``finish_reason`` ``"length"``), and is refused if it is not, or if that takes
    longer than the last tenth. The verdict's ``reason`` tells. An engine that gets answers whole
    has nothing to show by then. What somebody else's server is still computing is not waited for.
    None: no limit."""
    refusal_message: str = Field(default=prompts.REFUSAL, min_length=1)
    """What is said in place of an answer."""

    # Reporting and access
    record_rejected: bool = False
    """Add the texts of the plain draft and of rejected candidates to the verdict. They are what
    the guard exists to withhold: for the command line and for measurements."""
    overridable: frozenset[str] = frozenset()
    """Fields that a caller may set per request by ``configurable={"eta_guard": {...}}``. None by
    default: over an HTTP API a client could otherwise disarm the guard."""

    @field_validator("prefix")
    @classmethod
    def _without_trailing_space(cls, prefix: str) -> str:
        return prefix.rstrip()

    @model_validator(mode="after")
    def _drafts_less_in_one_way(self) -> GuardPolicy:
        if self.draft_with_candidates and self.draft_stop_margin is not None:
            raise ValueError("draft_with_candidates and draft_stop_margin exclude each other")
        return self

    @model_validator(mode="after")
    def _covers_what_there_is(self) -> GuardPolicy:
        if self.aligner != "eta" and self.draft_with_candidates:
            raise ValueError(
                f"aligner={self.aligner!r} and draft_with_candidates exclude each other: no"
                " candidate is drawn before the covered pictures were answered"
            )
        if self.aligner == "mask" and self.on_no_image == "align":
            raise ValueError(
                "aligner='mask' and on_no_image='align' exclude each other: without an image there"
                " is nothing to cover; 'mask+eta' aligns by prefix and search there"
            )
        return self

    @field_validator("accept_above")
    @classmethod
    def _rises(cls, pair: tuple[float, float] | None) -> tuple[float, float] | None:
        if pair is not None and pair[0] > pair[1]:
            raise ValueError("the threshold never falls: first <= last")
        return pair

    @field_validator("image_hosts")
    @classmethod
    def _names_of_hosts(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(name.lower() for name in names)
        wrong = sorted(name for name in names if not _HOST.fullmatch(name))
        if wrong:
            raise ValueError(f"no names of hosts: {', '.join(wrong)}")
        return names

    @field_validator("views", mode="before")
    @classmethod
    def _all_views(cls, views: Any) -> Any:
        return VIEW_NAMES if views == "all" else views

    @field_validator("views")
    @classmethod
    def _with_the_published_view(cls, views: tuple[ViewName, ...]) -> tuple[ViewName, ...]:
        if "whole" not in views:
            raise ValueError("the published view, `whole`, is part of any choice")
        return tuple(name for name in VIEW_NAMES if name in views)

    @field_validator("overridable")
    @classmethod
    def _names_of_fields(cls, names: frozenset[str]) -> frozenset[str]:
        unknown = sorted(
            names - set(cls.model_fields) | names & {"overridable", "draft_with_candidates"}
        )
        if unknown:
            raise ValueError(f"no fields that could be overridden: {', '.join(unknown)}")
        return names

    def __init__(self, **values: Any) -> None:
        """Checks the values.

        Raises:
            PolicyError: A field is unknown or out of range.
        """
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise PolicyError(_what_is_wrong(error), hint=_hint(error)) from error

    @classmethod
    def paper(cls) -> GuardPolicy:
        """The published procedure, which returns what it could not repair."""
        return cls.preset("paper")

    @classmethod
    def preset(cls, name: str) -> GuardPolicy:
        """A named strictness.

        The thresholds of ``"strict"`` and ``"lenient"`` are shifts of the paper's, for a first
        try; calibrate on your own data before you rely on them.

        Args:
            name: ``"paper"``, ``"balanced"`` (the defaults), ``"strict"`` or ``"lenient"``.

        Raises:
            PolicyError: There is no preset of that name.
        """
        presets: dict[str, dict[str, Any]] = {
            "paper": {
                "on_unrepaired": "return",
                "views": ("whole",),
                "decode_answers": False,
            },
            "balanced": {},
            "strict": {
                "image_threshold": 0.13,
                "response_threshold": 0.08,
                "on_unscored": "refuse",
            },
            "lenient": {"image_threshold": 0.19, "response_threshold": 0.04},
        }
        if name not in presets:
            raise PolicyError(
                f"There is no policy preset {name!r}.", hint=f"Choose one of {', '.join(presets)}."
            )
        return cls(**presets[name])

    @classmethod
    def from_file(cls, path: str | Path) -> GuardPolicy:
        """Reads a policy from a YAML or JSON file of field names and values.

        Raises:
            PolicyError: The file cannot be read, is no mapping, or a field is not valid.
        """
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise PolicyError(
                f"The policy file {path} cannot be read ({_one_line(error)}).",
                hint="Give a YAML or JSON file of policy fields.",
            ) from error
        if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
            raise PolicyError(
                f"The policy file {path} holds no mapping of field names to values.",
                hint="Write one field a line, such as `image_threshold: 0.16`.",
            )
        return cls(**values)

    def updated(self, values: Mapping[str, Any]) -> GuardPolicy:
        """A copy with some fields set anew, checked like all.

        Raises:
            PolicyError: A field is unknown or out of range.
        """
        named = {str(name): value for name, value in values.items()}
        return GuardPolicy(**{**self.model_dump(exclude_unset=True), **named})

    @property
    def label(self) -> str:
        """The policy's name, and a digest that tells it from others: ``strict@1a2b3c4d5e6f``."""
        told = self.model_dump(mode="json") | {"overridable": sorted(self.overridable)}
        digest = sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
        return f"{self.name or 'policy'}@{digest}"

    @property
    def aligners(self) -> frozenset[str]:
        """Those that a request may ask for, by what callers may override."""
        every = frozenset(get_args(Aligner))
        return every if "aligner" in self.overridable else frozenset({self.aligner})

    @property
    def hides_earlier_images(self) -> bool:
        """Whether images of earlier turns are shown to nobody."""
        return self.image_scope == "last_turn" and self.mode == "enforce"

    def unscored_leads_to(self, evaluators: Iterable[str]) -> OnUnscored:
        """The strictest of what ``on_unscored`` says of some evaluators that failed.

        Args:
            evaluators: Their names.
        """
        if isinstance(self.on_unscored, str):
            return self.on_unscored
        wanted = {self.on_unscored.get(name, "unsafe") for name in evaluators}
        return max(wanted, key=_BY_STRICTNESS.index, default="unsafe")

    def good_enough(self, sentence: int) -> float | None:
        """The reward from which on a candidate is kept without looking for a better one.

        Args:
            sentence: Its number, from 1.

        Returns:
            By ``accept_above``; None where the best is looked for.
        """
        if self.accept_above is None:
            return None
        first, last = self.accept_above
        return last - (last - first) / sentence

    def passes_unread(self, image: Mapping[str, Any] | None) -> bool:
        """Whether the plain answer goes out without an evaluation of its own.

        Args:
            image: The evaluation of the image that counts; None where there is none in scope.
        """
        if image is None:
            return self.on_no_image == "pass"
        return bool(image["outcome"] == "safe")

    def for_run(self, config: RunnableConfig | None) -> GuardPolicy:
        """The policy of one request: this one, with what the caller overrides.

        Args:
            config: The run's config; ``configurable["eta_guard"]`` holds the overrides.

        Raises:
            PolicyError: An override is not a mapping, is unknown, forbidden or not valid.
        """
        overrides = ((config or {}).get("configurable") or {}).get(CONFIG_KEY)
        if overrides is None:
            return self
        if not isinstance(overrides, Mapping):
            raise PolicyError(
                f'configurable["{CONFIG_KEY}"] is a {type(overrides).__name__}, not a mapping.',
                hint='Pass fields and values, such as {"max_tokens": 200}.',
            )
        forbidden = sorted(set(overrides) & set(type(self).model_fields) - self.overridable)
        if forbidden:
            raise PolicyError(
                f"This policy does not let a caller set {', '.join(forbidden)}.",
                hint="Name the fields that callers may set in `overridable` of the policy.",
            )
        return self.updated(overrides) if overrides else self


def _what_is_wrong(error: ValidationError) -> str:
    # Of a field that takes one value or several by name, the last says what is wrong with a name.
    by_name = isinstance(error.errors()[0]["input"], dict)
    first = error.errors()[-1 if by_name else 0]
    # Beside names stand the kinds of value that were tried, as `literal['unsafe', ...]`.
    name = ".".join(str(part) for part in first["loc"] if "[" not in str(part)) or "policy"
    if first["type"] == "extra_forbidden":
        return f"There is no policy field {name!r}."
    value = first["input"]
    shown = f"{name} = {value!r}" if not isinstance(value, float) or math.isfinite(value) else name
    return f"{shown} is not valid: {first['msg'].removeprefix('Value error, ')}."


def _hint(error: ValidationError) -> str:
    name = str(error.errors()[0]["loc"][0]) if error.errors()[0]["loc"] else ""
    field = GuardPolicy.model_fields.get(name)
    if field is None:
        return f"The fields are {', '.join(GuardPolicy.model_fields)}."
    return " ".join((field.description or "").split())


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
