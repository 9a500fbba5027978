"""The published procedure as it does its work: candidate after candidate, each text from its start.

The draft is prefilled once. For the first sentence every candidate prefills prompt, picture and
prefix again (the picture's features are computed once for the draft and once for the alignment);
later candidates go on from the winner's cache, one after another. Each is scored by a reward
forward over the whole chat, and from the second sentence on CLIP encodes the picture again with the
candidates' texts. The repaired answer is not evaluated again; the guard's is.

It is as quick as that order of work allows: KV caches that are branched without a copy, scaled
dot-product attention, logits of the last position only, no gradients. After the last full stop
comes the round that meets the end token: here, and on the guard's side, every candidate is made to
draw it at once, which is the cheapest that round can be. One thing differs from the published code,
neither way: the picture is evaluated before the draft, not after it, so that "without the plain
draft" means the same on both sides.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor
from transformers import DynamicCache

from eta_guard import counts
from eta_guard.bench.engine import BenchEngine
from eta_guard.bench.models import Models
from eta_guard.cache_argument import cache_argument
from eta_guard.engines.local.chat_template import model_inputs
from eta_guard.engines.local.sampling import PLAIN_ANSWER
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Generation, Sampling
from eta_guard.request.conversation import Conversation


@dataclass(frozen=True)
class Answer:
    """What came of it."""

    text: str
    seconds: float
    aligned_seconds: float
    """Of these, after the plain draft was there."""
    drawn: dict[tuple[int, int], list[int]] = field(default_factory=dict, repr=False)
    """Ids by sentence (``PLAIN_ANSWER`` among them) and candidate; of the published side."""


@dataclass
class _Candidate:
    ids: list[int] = field(repr=False)
    """Of prompt, prefix, accepted sentences and this one."""
    cache: DynamicCache = field(repr=False)
    sentence: list[int] = field(repr=False)
    reward: float = 0.0


class PublishedProcedure:
    """Runs the published loop over the same models, with the same draws."""

    def __init__(self, models: Models, engine: BenchEngine, policy: GuardPolicy) -> None:
        """Takes the parts.

        Args:
            models: The three models.
            engine: Knows the forced lengths and the tokenizer; it runs nothing here, but its
                hooks on the chat model count what is run.
            policy: Prompts, prefix and sampling.
        """
        self._models, self._engine, self._policy = models, engine, policy
        self._cache_name = cache_argument(type(models.chat))
        self._sampling = Sampling(
            policy.search_top_k, policy.search_temperature, policy.max_sentence_tokens
        )
        self._drawn: dict[tuple[int, int], list[int]] = {}

    @torch.inference_mode()
    def run(self, conversation: Conversation, seed: int) -> Answer:
        """Answers a request whose picture and draft are both flagged."""
        self._drawn = {}
        begun = perf_counter()
        (picture,) = conversation.pictures
        generation = Generation(max_tokens=self._policy.max_tokens, seed=seed)
        self._likeness(picture.pixels, [self._policy.safety_prompt])
        inputs = model_inputs(self._models.processor, conversation)
        draft = self._draft(inputs, generation)
        drafted = perf_counter()
        self._reward(self._policy.post_prompt, draft)
        text = self._align(inputs, picture.pixels, generation)
        ended = perf_counter()
        return Answer(text, ended - begun, ended - drafted, self._drawn)

    def _draft(self, inputs: dict[str, Tensor], generation: Generation) -> str:
        ids: list[int] = inputs["input_ids"][0].tolist()
        read = self._embedded(ids, self._features(inputs))
        draft = self._decode(ids, _Candidate(ids, DynamicCache(), []), read, generation)
        counts.add("peak_cache_rows", 1)
        return self._text(draft.sentence)

    def _align(self, inputs: dict[str, Tensor], picture: Image, generation: Generation) -> str:
        prefix = self._engine.running.encode(self._policy.prefix)
        ids = [*inputs["input_ids"][0].tolist(), *prefix]
        prompt = len(ids) - len(prefix)
        read: Tensor | None = self._embedded(ids, self._features(inputs))
        kept = _Candidate(ids, DynamicCache(), [])
        for sentence in range(1, self._engine.forced.lengths.rounds + 1):
            found: list[_Candidate] = []
            for index in range(self._policy.candidates):
                candidate = self._decode(ids, kept, read, generation, sentence, index)
                answer = self._text(candidate.ids[prompt:])
                candidate.reward = self._reward(self._policy.search_prompt, answer)
                found.append(candidate)
                _count_rows(kept, found)
            kept = self._best(found, picture, sentence)
            ids, read = kept.ids, None
        return self._text(ids[prompt:])

    def _decode(
        self,
        ids: list[int],
        after: _Candidate,
        read: Tensor | None,
        generation: Generation,
        sentence: int = PLAIN_ANSWER,
        index: int = 0,
    ) -> _Candidate:
        """Draws one candidate, token by token, up to its full stop or the end token.

        Args:
            ids: What it goes on from.
            after: Its cache holds these ids but for the last one, or nothing.
            read: Embeddings of all ids, where the cache holds nothing yet.
            generation: Its seed is read.
            sentence: Number of the sentence.
            index: Number of the candidate.
        """
        limit = self._policy.max_tokens if sentence == PLAIN_ANSWER else 70
        sampler: Any = self._engine.forced.processor(
            generation,
            sentence=sentence,
            rows=[index],
            steps=limit,
            start=len(ids),
            sampling=None if sentence == PLAIN_ANSWER else self._sampling,
        )
        cache, drawn = _branch(after.cache), list[int]()
        row = torch.tensor([ids], device=self._models.device)
        step: dict[str, Any] = {"inputs_embeds": read} if read is not None else {}
        while len(drawn) < limit:
            out = self._models.chat(
                **(step or {"input_ids": row[:, -1:]}),
                use_cache=True,
                logits_to_keep=1,
                **{self._cache_name: cache},
            )
            step = {}
            token = sampler(row, out.logits[:, -1]).argmax(dim=-1, keepdim=True)
            row = torch.cat([row, token], dim=1)
            drawn.append(int(token))
            if self._ends(drawn, sentence):
                break
        self._drawn[sentence, index] = drawn
        return _Candidate([*ids, *drawn], cache, drawn)

    def _ends(self, drawn: list[int], sentence: int) -> bool:
        if drawn[-1] in self._engine.running.end_tokens:
            return True
        return sentence != PLAIN_ANSWER and self._engine.running.decode(drawn[-1:]) == "."

    def _best(self, found: list[_Candidate], picture: Image, sentence: int) -> _Candidate:
        """The highest reward, and likeness to the picture in the rounds that have that term."""
        ended = any(c.sentence[-1] in self._engine.running.end_tokens for c in found)
        likeness = [0.0] * len(found)
        if sentence > 1 and not ended:
            likeness = self._likeness(picture, [self._text(c.sentence) for c in found])
        weight = self._policy.alpha / sentence
        utilities = [c.reward + weight * cos for c, cos in zip(found, likeness, strict=True)]
        return found[utilities.index(max(utilities))]

    def _features(self, inputs: dict[str, Tensor]) -> Tensor:
        pixels = inputs["pixel_values"].to(self._models.device, self._models.dtype)
        features: list[Tensor] = self._models.chat.get_image_features(pixels).pooler_output
        return torch.cat(features)

    def _embedded(self, ids: list[int], features: Tensor) -> Tensor:
        row = torch.tensor([ids], device=self._models.device)
        embeddings: Tensor = self._models.chat.get_input_embeddings()(row)
        places = row == self._models.chat.config.image_token_id
        return embeddings.masked_scatter(places[..., None], features.to(embeddings.dtype))

    def _reward(self, prompt: str, answer: str) -> float:
        ids = self._models.reward.chat.ids(prompt, answer)
        counts.add("reward_forwards")
        counts.add("reward_positions", len(ids))
        return self._models.reward.whole(ids)

    def _likeness(self, picture: Image, texts: list[str]) -> list[float]:
        clip, device = self._models.clip, self._models.device
        counts.add("clip_image_encodes")
        counts.add("clip_text_encodes", len(texts))
        pixels = clip.preprocess(picture)[None].to(device, self._models.dtype)
        image = clip.model.encode_image(pixels, normalize=True).float()
        words = clip.model.encode_text(clip.tokenizer(texts).to(device), normalize=True).float()
        cosines: list[float] = (words @ image[0]).tolist()
        return cosines

    def _text(self, ids: list[int]) -> str:
        return self._engine.running.decode(ids).strip()


def _branch(cache: DynamicCache) -> DynamicCache:
    """A cache that grows by itself: its layers replace their tensors, and share them until then."""
    branch = copy.copy(cache)
    branch.layers = [copy.copy(layer) for layer in cache.layers]
    return branch


def _count_rows(kept: _Candidate, found: list[_Candidate]) -> None:
    """The winner's cache stays until all candidates, each with a cache of its own, are scored."""
    held = [int(candidate.cache.get_seq_length()) for candidate in found]
    counts.add("peak_cache_rows", (int(kept.cache.get_seq_length()) + sum(held)) / max(held))
