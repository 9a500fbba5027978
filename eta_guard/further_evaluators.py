"""Evaluators beside an assembly's own, named by a line of text each: a SPEC of the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal

from eta_guard import embedded
from eta_guard.errors import MissingWeightsError, ModelLoadError, UnsupportedModelError
from eta_guard.model_names import pinned, served

if TYPE_CHECKING:
    import torch

    from eta_guard.evaluators.guard_model.evaluator import GuardModelEvaluator
    from eta_guard.protocols import ImageEvaluator, ResponseEvaluator

Kind = Literal["image", "response"]
Sort = Literal["typographic", "regions", "guard", "classifier"]
ALONE: tuple[Sort, ...] = ("typographic", "regions")
"""Evaluators of pictures that need no further name: they go by the assembly's own models."""

FORMS: dict[Kind, str] = {
    "image": "typographic, regions, guard:NAME, guard:NAME@http://HOST:PORT/v1 or"
    " classifier:NAME=LABEL,LABEL",
    "response": "guard:NAME or guard:NAME@http://HOST:PORT/v1",
}
"""What a SPEC of each kind may look like; a NAME is a repository of the hub (``@REVISION`` pins
it), a directory, or of guard models ``embedded``, the small one that ships."""

EMBEDDED = "embedded"
"""The name of the small guard model that ships with the package."""


@dataclass(frozen=True)
class Spec:
    """One further evaluator, as it was asked for."""

    sort: Sort
    model: str = ""
    """Name or directory; none for those that go by the assembly's models."""
    server: str | None = None
    """Address of the server that runs it."""
    labels: tuple[str, ...] = ()
    """Those of a classifier that are unsafe."""


def read_spec(text: str, kind: Kind) -> Spec:
    """Reads a SPEC.

    Args:
        text: As ``FORMS`` has it.
        kind: What it is to evaluate.

    Raises:
        ModelLoadError: It has none of the forms.
    """
    sort, colon, model = text.strip().partition(":")
    for alone in ALONE if kind == "image" else ():
        if (sort, colon) == (alone, ""):
            return Spec(alone)
    if sort == "guard" and model:
        on_server = served(model)
        return Spec("guard", *on_server) if on_server else Spec("guard", model)
    name, _, labels = model.rpartition("=")
    given = tuple(label.strip() for label in labels.split(",") if label.strip())
    if kind == "image" and sort == "classifier" and name and given:
        return Spec("classifier", name, labels=given)
    raise ModelLoadError(
        f"{text!r} names no further {kind} evaluator.", hint=f"Write {FORMS[kind]}."
    )


@dataclass(frozen=True)
class FurtherEvaluators:
    """What an assembly is given beside its own."""

    images: tuple[Spec, ...] = ()
    responses: tuple[Spec, ...] = ()

    @classmethod
    def read(cls, images: Sequence[str], responses: Sequence[str]) -> FurtherEvaluators:
        """Reads the SPECs of either kind.

        Raises:
            ModelLoadError: One has none of the forms.
        """
        return cls(
            tuple(read_spec(text, "image") for text in images),
            tuple(read_spec(text, "response") for text in responses),
        )

    def load(
        self,
        judge: ResponseEvaluator,
        judge_threshold: float,
        *,
        clip: ImageEvaluator | None = None,
        clip_weights: str | Path = "",
        device: str | None = None,
        dtype: torch.dtype | None = None,
        progress: Callable[[str], None] = lambda what: None,
    ) -> tuple[list[ImageEvaluator], list[ResponseEvaluator]]:
        """Loads them, each once: a guard model may evaluate both kinds.

        Args:
            judge: Of the text in pictures, where that is to be judged and no guard model is there.
            judge_threshold: For its scores, where it has no threshold of its own.
            clip: A ``ClipImageEvaluator``, whose model regions are found by.
            clip_weights: Its directory or name; settings of regions that lie beside count.
            device: Such as ``"cpu"`` or ``"cuda"``; the GPU if there is one.
            dtype: Of guard models; each one's own default without it.
            progress: Is told what is being loaded.

        Raises:
            ModelLoadError: Weights are missing: all that are missing.
            UnsupportedModelError: A model is no guard model or classifier, or not of its kind.
        """
        loaded: dict[Spec, Any] = {}
        missing: dict[str, str] = {}
        # Guard models first: one that reads answers is the better judge of a text in a picture.
        wanted = dict.fromkeys([*self.responses, *self.images])
        for spec in sorted(wanted, key=lambda spec: spec.sort != "guard"):
            progress(f"Loading the {spec.sort} evaluator {spec.model}".rstrip())
            try:
                if spec.sort == "typographic":
                    guards = [one for one in loaded.values() if getattr(one, "reads", False)]
                    loaded[spec] = _typographic(guards[0] if guards else judge, judge_threshold)
                elif spec.sort == "regions":
                    loaded[spec] = _regions(clip, clip_weights)
                elif spec.sort == "classifier":
                    loaded[spec] = _classifier(spec, device, dtype, self._name(spec))
                else:
                    loaded[spec] = _guard_model(spec, device, dtype, self._name(spec))
            except MissingWeightsError as error:
                missing.update(error.wanted)
        if missing:
            raise MissingWeightsError(missing)
        for specs, ability, what in (
            (self.images, "sees", "pictures"),
            (self.responses, "reads", "answers"),
        ):
            for spec in specs:
                _require(spec, loaded[spec], ability, what)
        return [loaded[spec] for spec in self.images], [loaded[spec] for spec in self.responses]

    def _name(self, spec: Spec) -> dict[str, Any]:
        """The name of one of several of a sort; a single one keeps its class's."""
        every = dict.fromkeys([*self.images, *self.responses])
        alike = [one for one in every if one.sort == spec.sort]
        if len(alike) == 1:
            return {}
        lasts = [PurePath(pinned(one.model)[0]).name for one in alike]
        place = alike.index(spec)
        number = f"#{place + 1}" if lasts.count(lasts[place]) > 1 else ""
        return {"name": f"{spec.sort}:{lasts[place]}{number}"}


def load_guard_model(
    name: str,
    /,
    *,
    device: str | None = None,
    dtype: torch.dtype | None = None,
    **settings: Any,
) -> GuardModelEvaluator:
    """Loads a guard model by name.

    Args:
        name: ``"embedded"``, the small one that ships with the package; a directory; or a
            repository of the hub, whose revision it may pin (``NAME@COMMIT``).
        device: Such as ``"cpu"`` or ``"cuda"``; the GPU if there is one.
        dtype: Of the weights; its own default without it.
        settings: Those of ``GuardModelEvaluator``.

    Raises:
        ModelLoadError: The weights are missing, unreachable, damaged or incomplete.
        UnsupportedModelError: The model is of no known family.
    """
    from eta_guard.evaluators.guard_model.evaluator import GuardModelEvaluator
    from eta_guard.evaluators.guard_model.guard_format import GuardFormat, GuardQuestion

    if name != EMBEDDED:
        model, revision = pinned(name)
        return GuardModelEvaluator.from_pretrained(
            model, device=device, dtype=dtype, revision=revision, **settings
        )
    form = GuardFormat(
        EMBEDDED,
        safe=("safe",),
        unsafe=("unsafe",),
        answer=GuardQuestion((("user", "{question}"), ("assistant", "{answer}")), most_pictures=0),
        kind="causal",
        model_types=("llama",),
    )
    return GuardModelEvaluator.from_pretrained(
        str(embedded.path("guard")), form, device=device, dtype=dtype, **settings
    )


def _guard_model(
    spec: Spec, device: str | None, dtype: torch.dtype | None, name: dict[str, Any]
) -> Any:
    from eta_guard.evaluators.guard_model.evaluator import GuardModelEvaluator

    if spec.server is not None:
        return GuardModelEvaluator.from_server(spec.server, spec.model, **name)
    return load_guard_model(spec.model, device=device, dtype=dtype, **name)


def _classifier(
    spec: Spec, device: str | None, dtype: torch.dtype | None, name: dict[str, Any]
) -> Any:
    from eta_guard.evaluators.classifier import ClassifierImageEvaluator

    model, revision = pinned(spec.model)
    return ClassifierImageEvaluator.from_pretrained(
        model,
        unsafe_labels=list(spec.labels),
        device=device,
        dtype=dtype,
        revision=revision,
        **name,
    )


def _typographic(judge: ResponseEvaluator, judge_threshold: float) -> Any:
    from eta_guard.evaluators.typographic import TypographicEvaluator

    threshold = judge_threshold if judge.threshold is None else judge.threshold
    return TypographicEvaluator(judge=judge, threshold=threshold)


def _regions(clip: ImageEvaluator | None, weights: str | Path) -> Any:
    from eta_guard.evaluators.clip import ClipImageEvaluator
    from eta_guard.evaluators.regions.evaluator import RegionImageEvaluator
    from eta_guard.evaluators.regions.settings import RegionSettings

    if not isinstance(clip, ClipImageEvaluator):
        raise UnsupportedModelError(
            "Regions are found by the assembly's CLIP, and there is none.",
            hint="Leave out the evaluator regions, or name a CLIP model.",
        )
    return RegionImageEvaluator(clip, RegionSettings.beside(weights))


def _require(spec: Spec, evaluator: Any, ability: str, what: str) -> None:
    """Guard models say which of the two they can do."""
    if not getattr(evaluator, ability, True):
        raise UnsupportedModelError(
            f"The guard model {spec.model} evaluates no {what}.",
            hint="Name it for what it evaluates, and another for the rest.",
        )
