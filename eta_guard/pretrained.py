"""Loads the three models of an assembly: the small ones that ship, the paper's, or your own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, cast

from eta_guard import embedded
from eta_guard.errors import MissingWeightsError, ModelLoadError
from eta_guard.further_evaluators import FurtherEvaluators
from eta_guard.model_names import pinned, served
from eta_guard.panel.panel import Panel
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Engine, ImageEvaluator, Likeness, ResponseEvaluator
from eta_guard.request.presentation import AS_IT_IS, Presentation

if TYPE_CHECKING:
    import torch

    from eta_guard.engines.local.engine import LocalEngine
    from eta_guard.evaluators.clip import ClipImageEvaluator

logger = logging.getLogger(__name__)

ASSEMBLIES: dict[str, dict[str, str]] = {
    "embedded": {
        "chat_model": str(embedded.path("chat")),
        "clip": str(embedded.path("clip")),
        "reward": str(embedded.path("reward")),
    },
    "paper": {
        "chat_model": "llava-hf/llava-1.5-7b-hf",
        "clip": "ViT-L-14-336/openai",
        "reward": "RLHFlow/ArmoRM-Llama3-8B-v0.1",
    },
}
"""Names or directories of the models that belong together."""

AS_PUBLISHED = frozenset({"paper"})
"""Assemblies whose LLaVA-1.5 is shown conversations as the published code does."""


class Evaluators(TypedDict):
    """What answers are evaluated with, whichever model gives them."""

    image_evaluator: ImageEvaluator | Sequence[ImageEvaluator]
    response_evaluator: ResponseEvaluator | Sequence[ResponseEvaluator]
    likeness: NotRequired[Likeness | None]


class Parts(Evaluators):
    """What ``EtaGuard`` and ``build_graph`` are made of."""

    engine: Engine


def panel_of(parts: Evaluators, policy: GuardPolicy) -> Panel:
    """The evaluators among the parts, checked."""
    likeness = parts.get("likeness")
    looking, reading = parts["image_evaluator"], parts["response_evaluator"]
    return Panel.of(looking, reading, likeness, policy, parts.get("engine"))


def load_parts(
    assembly: str = "embedded",
    *,
    chat_model: str | Path | None = None,
    clip: str | Path | None = None,
    reward: str | Path | None = None,
    image_evaluators: Sequence[str] = (),
    response_evaluators: Sequence[str] = (),
    policy: GuardPolicy | None = None,
    device: str | None = None,
    dtype: torch.dtype | None = None,
    progress: Callable[[str], None] = lambda what: None,
) -> Parts:
    """Loads an assembly, with other models in place of its own where they are named.

    The paper's assembly shows its chat model what the published code does: pictures whole, padded
    to squares, after a system sentence (``Presentation.llava_1_5``). So it does with another
    ``chat_model`` that, tried out, turns out to be a LLaVA-1.5 in the layout of the hub's; any
    other model is left as its own processor and chat template have it. The log says which.

    Args:
        assembly: A key of ``ASSEMBLIES``.
        chat_model: Name or directory of an image-text-to-text model; a name may pin a revision,
            ``"llava-hf/llava-1.5-7b-hf@COMMIT"``. ``"NAME@http://HOST:PORT/v1"``: one on a vLLM
            server. Of the paper's assembly it has to be a LLaVA-1.5, and is shown what such is.
        clip: Name and weights (``"ViT-L-14-336/openai"``) or directory of an open_clip model.
        reward: Name or directory of a reward model with one label; a name may pin a revision.
        image_evaluators: Further ones, in the forms of ``further_evaluators.FORMS``.
        response_evaluators: Likewise.
        policy: Its ``response_threshold`` is what the text in pictures is held against, where the
            assembly's response evaluator judges that; the default's without it.
        device: Such as ``"cpu"`` or ``"cuda"``; the GPU if there is one.
        dtype: Of chat model, reward model and further evaluators; each one's own default without.
        progress: Is told what is being loaded.

    Returns:
        The parts; of a kind with further evaluators a list, the assembly's own first.

    Raises:
        ModelLoadError: There is no such assembly, a further evaluator's text has none of the forms,
            or weights are missing: all that are missing of the assembly, or else of the further
            evaluators, how to get them, and their licences.
        UnsupportedModelError: A further evaluator cannot evaluate what it is named for.
    """
    further = FurtherEvaluators.read(image_evaluators, response_evaluators)
    names = _names(assembly, chat_model=chat_model, clip=clip, reward=reward)
    loaders = _evaluator_loaders(names, device, dtype)
    loaders["engine"] = (
        "chat_model",
        lambda: load_chat_model(
            names["chat_model"], device, dtype, as_published=assembly in AS_PUBLISHED
        ),
    )
    parts = _load(loaders, names, progress)
    images, responses = further.load(
        parts["response_evaluator"],
        (policy or GuardPolicy()).response_threshold,
        clip=parts["image_evaluator"],
        clip_weights=names["clip"],
        device=device,
        dtype=dtype,
        progress=progress,
    )
    for part, more in (("image_evaluator", images), ("response_evaluator", responses)):
        if more:
            parts[part] = [parts[part], *more]
    return cast(Parts, parts)


def load_evaluators(
    assembly: str = "embedded",
    *,
    clip: str | Path | None = None,
    reward: str | Path | None = None,
    device: str | None = None,
    dtype: torch.dtype | None = None,
) -> Evaluators:
    """Loads the two evaluators of an assembly, without its chat model.

    Arguments and errors are those of ``load_parts``.
    """
    names = _names(assembly, clip=clip, reward=reward)
    loaders = _evaluator_loaders(names, device, dtype)
    return cast(Evaluators, _load(loaders, names, lambda what: None))


def load_clip_evaluator(
    assembly: str = "embedded", *, clip: str | Path | None = None, device: str | None = None
) -> ClipImageEvaluator:
    """Loads the CLIP of an assembly alone; arguments and errors are those of ``load_parts``."""
    return _clip(_names(assembly, clip=clip)["clip"], device)


_Loaders = dict[str, tuple[str, Callable[[], Any]]]
"""Part → the model's role in the assembly, and what loads it."""


def _names(assembly: str, **asked: str | Path | None) -> dict[str, str]:
    if assembly not in ASSEMBLIES:
        raise ModelLoadError(
            f"There is no assembly {assembly!r}.", hint=f"Choose one of {', '.join(ASSEMBLIES)}."
        )
    named = {role: str(name) for role, name in asked.items() if name is not None}
    return {**ASSEMBLIES[assembly], **named}


def _evaluator_loaders(
    names: dict[str, str], device: str | None, dtype: torch.dtype | None
) -> _Loaders:
    return {
        "image_evaluator": ("clip", lambda: _clip(names["clip"], device)),
        "response_evaluator": ("reward", lambda: _reward(names["reward"], device, dtype)),
    }


def _load(
    loaders: _Loaders, names: dict[str, str], progress: Callable[[str], None]
) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for part, (role, load) in loaders.items():
        progress(f"Loading the {role.replace('_', ' ')} {names[role]}")
        try:
            parts[part] = load()
        except MissingWeightsError as error:
            missing.update(error.wanted)
    if missing:
        raise MissingWeightsError(missing)
    return parts


def load_chat_model(
    name: str,
    device: str | None = None,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
    *,
    as_published: bool = False,
) -> Engine:
    """Loads a chat model by name, by directory, or as the one of an assembly.

    Args:
        name: A repository of the hub, a directory, a key of ``ASSEMBLIES``, or ``NAME@URL``: what a
            vLLM server at ``http://HOST:PORT/v1`` serves under that name.
        device: Such as ``"cpu"`` or ``"cuda"``; the GPU if there is one.
        dtype: Of the weights; float32 on a CPU and as stored elsewhere without it.
        revision: A commit, tag or branch of the repository; pin one where answers matter.
        as_published: Show a LLaVA-1.5 its conversations as the published code does (see
            ``load_parts``); always so for ``"paper"``.

    Raises:
        ModelLoadError: There are no such weights within reach.
    """
    if on_server := served(name):
        from eta_guard.engines.vllm.engine import VllmEngine

        model, url = on_server
        shown = Presentation.llava_1_5() if as_published else AS_IT_IS
        return VllmEngine(url, model, presentation=shown)
    from eta_guard.engines.local.engine import LocalEngine

    as_published = as_published or name in AS_PUBLISHED
    name, of_name = pinned(ASSEMBLIES[name]["chat_model"] if name in ASSEMBLIES else name)
    engine = LocalEngine.from_pretrained(
        name, device=device, dtype=dtype, revision=revision or of_name
    )
    if as_published:
        _show_as_published(engine)
    return engine


def _show_as_published(engine: LocalEngine) -> None:
    from eta_guard.engines.local import llava_1_5

    why_not = llava_1_5.why_no_llava_1_5(engine.model, engine.processor)
    if why_not is not None:
        logger.warning(
            "%s is shown pictures and conversations as its own processor and chat template have"
            " them, not as in the paper: it is no LLaVA-1.5 in the hub's layout; %s.",
            engine.fingerprint,
            why_not,
        )
        return
    engine.presentation = llava_1_5.published_presentation(engine.processor)
    logger.info(
        "%s is shown what the published code shows a LLaVA-1.5: pictures padded to squares, and"
        " the Vicuna system sentence.",
        engine.fingerprint,
    )


def _clip(name: str, device: str | None) -> ClipImageEvaluator:
    from eta_guard.evaluators.clip import ClipImageEvaluator

    if Path(name).is_dir() or name.startswith(("hf-hub:", "local-dir:", "/", "~", ".")):
        return ClipImageEvaluator.from_pretrained(name, device=device)
    import open_clip

    architecture, _, weights = name.partition("/")
    if architecture not in open_clip.list_models():
        raise ModelLoadError(
            f"{name!r} is neither a directory nor an architecture of open_clip.",
            hint='Pass a directory that exists, or a name and weights: "ViT-L-14-336/openai".',
        )
    return ClipImageEvaluator.from_pretrained(
        architecture, pretrained=weights or "openai", device=device
    )


def _reward(name: str, device: str | None, dtype: torch.dtype | None) -> ResponseEvaluator:
    from eta_guard.evaluators.reward.load import load_response_evaluator

    name, revision = pinned(name)
    return load_response_evaluator(name, device=device, dtype=dtype, revision=revision)
