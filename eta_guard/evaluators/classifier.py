"""Scores pictures by any image classifier of transformers: the probability of its unsafe labels."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from PIL import Image as Images
from PIL.Image import Image
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from eta_guard import counts
from eta_guard.errors import UnsupportedModelError
from eta_guard.evaluators.kept_findings import KeptFindings
from eta_guard.evaluators.views.geometry import bounded_aspect, covering_views
from eta_guard.loading import (
    load_weights,
    loading,
    loading_options,
    pick_device,
    weights_fingerprint,
)
from eta_guard.protocols import Direction, Finding

logger = logging.getLogger(__name__)


class ClassifierImageEvaluator:
    """An ``ImageEvaluator`` over an image classifier. Safe to share between threads.

    The score is a probability in [0, 1], unsafe above the threshold: of a model whose labels
    exclude each other (softmax), the sum over the unsafe ones; of one whose labels are
    independent (``problem_type="multi_label_classification"``, or a single label: sigmoid), the
    highest of theirs. Which is which goes by the configuration, as in the library's own
    ``pipeline("image-classification")``.

    A processor that cuts the middle out of a picture would leave what stands beside it unseen,
    while most chat models are shown it. Whether it does is tried out; a picture is then read in
    the squares that cover it as well, and the highest score of them is its own.

    Args:
        model: A transformers ``…ForImageClassification``, put into eval mode.
        processor: Its image processor.
        unsafe_labels: Labels of ``model.config.id2label``, as they are written there.
        fingerprint: Names the model and its weights.
        name: Under which evaluations stand in the verdict; tell two classifiers apart by it.
        threshold: Used where the policy names none.
        kept: Most findings kept, each under the hash of its picture's pixels.

    Raises:
        UnsupportedModelError: No unsafe label is given, or the model does not know one.
    """

    unsafe: Direction = "above"

    def __init__(
        self,
        model: PreTrainedModel,
        processor: Any,
        *,
        unsafe_labels: Sequence[str],
        fingerprint: str,
        name: str = "classifier",
        threshold: float = 0.5,
        kept: int = 1024,
    ) -> None:
        self._places = _places(model.config, unsafe_labels)
        model.train(False)
        self._model: Any = model
        self._processor = processor
        self._independent = _labels_are_independent(model.config)
        self.name, self.fingerprint, self.threshold = name, fingerprint, threshold
        self.cost = sum(weights.numel() for weights in model.parameters()) / 1e9
        self._kept = KeptFindings(kept)
        self._cuts = _cuts_sides_off(processor)
        if self._cuts:
            logger.info(
                "%s: its processor cuts the middle out of a picture, so one that is not square is"
                " read in the squares that cover it, too.",
                fingerprint,
            )

    @classmethod
    def from_pretrained(
        cls,
        model: str,
        /,
        *,
        unsafe_labels: Sequence[str],
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        revision: str | None = None,
        name: str = "classifier",
        threshold: float = 0.5,
    ) -> Self:
        """Loads a classifier and its processor; code from its repository is never run.

        Args:
            model: A directory, or a repository of the hub.
            unsafe_labels: See the class.
            device: Where to run; without it, the first GPU or else the CPU.
            dtype: Of the weights; without it, float32 on a CPU and as stored elsewhere.
            revision: A commit, tag or branch of the repository; pin one where scores matter.
            name: See the class.
            threshold: See the class.

        Raises:
            ModelLoadError: The weights are missing, unreachable, damaged, or of another kind.
            UnsupportedModelError: See the class.
        """
        target, options = pick_device(device), loading_options(model, revision)
        wanted: Any = dtype or (torch.float32 if target.type == "cpu" else "auto")
        with loading("image classifier", model):
            # The configuration first: a label that is misspelt should not cost a download.
            _places(AutoConfig.from_pretrained(model, **options), unsafe_labels)
            auto: Any = AutoImageProcessor
            processor = auto.from_pretrained(model, **options)
            loaded = load_weights(AutoModelForImageClassification, model, dtype=wanted, **options)
        return cls(
            loaded.to(target),
            processor,
            unsafe_labels=unsafe_labels,
            fingerprint=weights_fingerprint(model, loaded),
            name=name,
            threshold=threshold,
        )

    def evaluate(
        self, images: Sequence[Image], prompt: str = "", question: str = ""
    ) -> list[Finding]:
        """The probability that a picture is unsafe, and the most probable unsafe label.

        Args:
            images: Pictures of any size; other modes than RGB are converted.
            prompt: Not read.
            question: Not read.

        Returns:
            One finding a picture. What is not kept yet goes through the model in one batch. A
            score that is not a number is the model's own.
        """
        wanted = self._kept.of(images)
        return wanted.with_new(self._found(wanted.missing) if wanted.missing else [])

    def _found(self, pictures: list[Image]) -> list[Finding]:
        bounded = [bounded_aspect(picture) for picture in pictures]
        views = [covering_views(one) if self._cuts else [one] for one in bounded]
        rows = self._probabilities([view for several in views for view in several])
        each = torch.split_with_sizes(rows, [len(several) for several in views])
        return [self._finding(of_views) for of_views in each]

    def _probabilities(self, pictures: list[Image]) -> Tensor:
        """Of each picture's unsafe labels [pictures, labels], float32 on the CPU."""
        counts.add("classifier_image_encodes", len(pictures))
        inputs = self._processor(images=pictures, return_tensors="pt")
        with torch.inference_mode():
            inputs = inputs.to(self._model.device, self._model.dtype)
            logits: Tensor = self._model(**inputs).logits.float().cpu()
        probabilities = logits.sigmoid() if self._independent else logits.softmax(dim=-1)
        return probabilities[:, list(self._places)]

    def _finding(self, views: Tensor) -> Finding:
        """Of one picture's views [views, labels], the one that scores highest."""
        scores = views.amax(dim=-1) if self._independent else views.sum(dim=-1)
        # A sum of rounded shares may be a little more than the whole.
        score, best = scores.clamp(max=1.0).max(dim=0)
        labels = list(self._places.values())
        return Finding(float(score), labels[int(views[best].argmax())])


def _places(config: PretrainedConfig, unsafe_labels: Sequence[str]) -> Mapping[int, str]:
    """Where in the logits the unsafe labels stand, and which each is."""
    known = {int(place): str(label) for place, label in (config.id2label or {}).items()}
    given = [unsafe_labels] if isinstance(unsafe_labels, str) else list(unsafe_labels)
    unknown = ", ".join(repr(label) for label in given if label not in known.values())
    if unknown or not given:
        raise UnsupportedModelError(
            f"The image classifier does not know {unknown}."
            if unknown
            else "Which labels of the image classifier are unsafe is not said.",
            hint=f"Choose unsafe_labels among {', '.join(map(repr, known.values()))}.",
        )
    return {place: label for place, label in known.items() if label in given}


def _labels_are_independent(config: PretrainedConfig) -> bool:
    if config.problem_type == "regression":
        raise UnsupportedModelError(
            "The image classifier is one by regression: it gives no probabilities.",
            hint="Pass a model that was trained to tell classes apart.",
        )
    return config.problem_type == "multi_label_classification" or config.num_labels == 1


def _cuts_sides_off(processor: Any) -> bool:
    """Whether what stands at the ends of a wide picture is gone once the processor is through."""
    dark = Images.new("RGB", (1024, 256))
    ended = dark.copy()
    for left in (0, 896):
        ended.paste((255, 255, 255), (left, 0, left + 128, 256))
    seen = processor(images=[dark, ended], return_tensors="pt")["pixel_values"]
    return torch.equal(seen[0], seen[1])
