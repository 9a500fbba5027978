"""Alternating mapping: a picture is read as the text tokens that its embeddings are nearest to.

Ding, Li, Zhang, "ETA" (ICLR 2025): what safety a language model has learnt for its tokens it has
not learnt for continuous visual embeddings in between them. Replacing each of these by its nearest
text-token embedding lowers the unsafe rate; what the picture shows is partly lost with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from eta_guard.errors import UnsupportedModelError

NAME = "alternating-mapping"
"""Stands in the fingerprint of an engine that reads pictures so."""

BLOCK = 8192
"""Rows of the vocabulary that are compared at a time: a whole one in float32 is gigabytes."""


def image_token(model: Any) -> int:
    """The id that marks the places of a picture's embeddings.

    Raises:
        UnsupportedModelError: The model's config names none.
    """
    for name in ("image_token_id", "image_token_index"):
        found = getattr(model.config, name, None)
        if isinstance(found, int):
            return found
    raise _unsupported("Its config names no token that a picture's embeddings stand in for.")


@contextmanager
def images_as_tokens(model: Any, ids: Tensor) -> Iterator[None]:
    """Maps the pictures of a prompt that is read meanwhile, in one forward.

    Args:
        model: Is run by one thread at a time.
        ids: Of the prompt, [1, length], as the model is given them.

    Raises:
        UnsupportedModelError: The pictures enter the decoder in another way, or in one more.
    """
    token = image_token(model)
    places = (ids == token).to(model.device)
    if not places.any():
        yield
        return

    def mapped(_: Any, args: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        embeddings = given.get("inputs_embeds")
        if embeddings is None or embeddings.shape[:2] != places.shape:
            raise _unsupported("Its pictures do not stand among the embeddings of the prompt.")
        others = [name for name, value in given.items() if _is_beside(name, value)]
        if others:
            raise _unsupported(f"Its pictures enter by {', '.join(others)} as well.")
        nearest = nearest_tokens(embeddings[places], model.get_input_embeddings().weight, token)
        # By the module and not by the weight: some scale what they look up.
        tokens = model.get_input_embeddings()(nearest).to(embeddings.dtype)
        return args, {**given, "inputs_embeds": embeddings.clone().index_put_((places,), tokens)}

    hook = model.get_decoder().register_forward_pre_hook(mapped, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def nearest_tokens(embeddings: Tensor, vocabulary: Tensor, image_token: int) -> Tensor:
    """The token of the highest cosine.

    Args:
        embeddings: [n, width].
        vocabulary: [size, width].
        image_token: No text: it is never the nearest.

    Returns:
        Ids [n].
    """
    wanted = normalize(embeddings.float(), dim=-1)
    best = wanted.new_full((len(wanted),), -torch.inf)
    found = torch.zeros(len(wanted), dtype=torch.long, device=wanted.device)
    for start in range(0, len(vocabulary), BLOCK):
        rows = vocabulary[start : start + BLOCK].float().to(wanted.device)
        cosine = wanted @ normalize(rows, dim=-1).T
        if 0 <= image_token - start < len(rows):
            cosine[:, image_token - start] = -torch.inf
        highest, row = cosine.max(dim=-1)
        found = torch.where(highest > best, start + row, found)
        best = torch.maximum(best, highest)
    return found


def _is_beside(name: str, value: Any) -> bool:
    """Whether an argument of the decoder may carry a picture past its embeddings.

    Positions are whole numbers and masks are masks; what else is not whole comes from the picture.
    """
    if name in ("inputs_embeds", "attention_mask"):
        return False
    if isinstance(value, list | tuple):
        return any(_is_beside(name, part) for part in value)
    return isinstance(value, Tensor) and value.is_floating_point()


def _unsupported(why: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"Alternating mapping does not fit this model. {why}",
        hint="Leave alternating_mapping out.",
    )
