"""ETA written down a second time: slowly, obviously, and without the package that it checks.

A sentence ends as in the published code, at the token of a full stop and at nothing else. The end
token after it is met in the next round only: there it is a candidate without a text, which says
"stop here" and competes by its utility; a candidate that breaks off within a sentence ends the
answer as well. What differs from the published code on purpose: a first sentence may not be empty,
each sentence has at most 70 tokens, and the budget counts the prefix.

From ``eta_guard`` come the prompts and the weights, nothing else. No step goes on from another:
every token is drawn after a forward over picture, prompt and answer so far (only that of the very
same ids is not run twice), every score is that of the whole chat, CLIP sees picture and sentence
anew each time; in float32, one row at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import open_clip
import torch
import transformers
from numpy.typing import NDArray
from PIL.Image import Image

from eta_guard.embedded import path
from eta_guard.prompts import POST_PROMPT, PREFIX, SAFETY_PROMPT, SEARCH_PROMPT
from tests.parity.trace import Round, Trace

TENSORS: dict[str, Any] = {"tokenize": True, "return_dict": True, "return_tensors": "pt"}


@dataclass(frozen=True)
class Request:
    """A picture, a question about it, and the published constants."""

    picture: Image
    question: str
    seed: int = 0
    image_threshold: float = 0.16
    response_threshold: float = 0.06
    candidates: int = 5
    top_k: int = 5
    temperature: float = 1.5
    alpha: float = 1.0
    max_sentence_tokens: int = 70
    max_tokens: int = 1024


@dataclass(frozen=True)
class Sentence:
    """A candidate."""

    ids: list[int]
    text: str
    ended: bool
    """The answer is over after it."""


class Reference:
    """The three small models, and every step of the procedure as a function of its inputs."""

    def __init__(self) -> None:
        auto: Any = transformers
        chat, reward, clip = path("chat"), path("reward"), f"local-dir:{path('clip')}"
        self.chat = auto.AutoModelForImageTextToText.from_pretrained(chat, dtype=torch.float32)
        self.processor = auto.AutoProcessor.from_pretrained(chat)
        self.reward = auto.AutoModelForSequenceClassification.from_pretrained(
            reward, dtype=torch.float32
        )
        self.reward_tokenizer = auto.AutoTokenizer.from_pretrained(reward)
        self.clip, self.preprocess = open_clip.create_model_from_pretrained(clip)
        self.clip.eval()
        self.clip_tokenizer = open_clip.get_tokenizer(clip)
        self.end_token = int(self.chat.generation_config.eos_token_id)
        (self.full_stop,) = self.processor.tokenizer(".", add_special_tokens=False)["input_ids"]
        self.inputs: Any = None
        self.said: dict[tuple[int, ...], NDArray[np.float32]] = {}

    @torch.inference_mode()
    def run(self, request: Request) -> Trace:
        """Evaluate; if picture and plain answer are both unsafe, align."""
        self.inputs, self.said = self.prompt(request), {}
        image_score = max(self.likeness(request.picture, SAFETY_PROMPT), 0.0)
        draft = self.draft(request)
        if image_score < request.image_threshold:
            return Trace(image_score, False, draft, None, (), draft, None)
        draft_score = self.score(POST_PROMPT, draft)
        if draft_score > request.response_threshold:
            return Trace(image_score, False, draft, draft_score, (), draft, None)
        rounds, text = self.align(request)
        final_score = self.score(POST_PROMPT, text)
        return Trace(image_score, True, draft, draft_score, tuple(rounds), text, final_score)

    def draft(self, request: Request) -> str:
        """The plain answer: the likeliest token each time."""
        ids: list[int] = []
        while len(ids) < request.max_tokens:
            token = int(self.logits(ids).argmax())
            if token == self.end_token:
                break
            ids.append(token)
        return self.decode(ids).strip()

    def align(self, request: Request) -> tuple[list[Round], str]:
        """Begin with the prefix, then add the best of N sentences until one ends the answer."""
        ids = self.processor.tokenizer(PREFIX, add_special_tokens=False)["input_ids"]
        text, rounds = PREFIX, list[Round]()
        while True:
            number = len(rounds) + 1
            drawn = range(request.candidates)
            sentences = [self.sentence(request, ids, number, row) for row in drawn]
            rounds.append(self.round(request, text, number, sentences))
            best = sentences[rounds[-1].pick]
            ids, text = ids + best.ids, text + best.text
            if best.ended:
                return rounds, text.strip()

    def sentence(
        self, request: Request, before: list[int], number: int, candidate: int
    ) -> Sentence:
        """Draw tokens until the sentence has ended, the answer has, or there may be no more."""
        rng = np.random.default_rng([request.seed, number, candidate])
        room = request.max_tokens - len(before)
        ids: list[int] = []
        while len(ids) < min(room, request.max_sentence_tokens):
            token = draw(self.logits(before + ids), rng.random(), request)
            if token == self.end_token:
                return Sentence(ids, self.text_after(before, ids), ended=True)
            ids.append(token)
            if token == self.full_stop:
                break
        return Sentence(ids, self.text_after(before, ids), ended=len(ids) >= room)

    def round(self, request: Request, text: str, number: int, sentences: list[Sentence]) -> Round:
        """Score the candidates and choose: the first of the best."""
        rewards = [self.score(SEARCH_PROMPT, text + sentence.text) for sentence in sentences]
        similarities: list[float | None] = [None] * len(sentences)
        if number > 1 and not any(sentence.ended for sentence in sentences):
            similarities = [self.likeness(request.picture, s.text.strip()) for s in sentences]
        utilities = [
            reward + request.alpha / number * (similarity or 0.0)
            for reward, similarity in zip(rewards, similarities, strict=True)
        ]
        spoken = [i for i, sentence in enumerate(sentences) if sentence.text.strip()]
        # An answer may stop after a sentence, but not before the first.
        allowed = spoken if number == 1 and spoken else range(len(sentences))
        return Round(
            texts=tuple(sentence.text for sentence in sentences),
            ended=tuple(sentence.ended for sentence in sentences),
            rewards=tuple(rewards),
            similarities=tuple(similarities),
            utilities=tuple(utilities),
            pick=max(allowed, key=lambda i: (utilities[i], -i)),
        )

    def prompt(self, request: Request) -> Any:
        """Ids and pixels of picture and question, by the model's own processor."""
        content = [
            {"type": "image", "image": request.picture},
            {"type": "text", "text": request.question},
        ]
        return self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, **TENSORS
        )

    def logits(self, answer: list[int]) -> NDArray[np.float32]:
        """What the chat model would say next: a forward over everything from the start."""
        if tuple(answer) not in self.said:
            read = torch.tensor([answer], dtype=torch.long)
            ids = torch.cat([self.inputs["input_ids"], read], dim=1)
            pixels = self.inputs["pixel_values"]
            output = self.chat(
                input_ids=ids, pixel_values=pixels, use_cache=False, logits_to_keep=1
            )
            self.said[tuple(answer)] = output.logits[0, -1].numpy()
        return self.said[tuple(answer)]

    def score(self, prompt: str, answer: str) -> float:
        """The reward of a whole chat."""
        chat = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        inputs = self.reward_tokenizer.apply_chat_template(chat, **TENSORS)
        return float(self.reward(**inputs, use_cache=False).logits[0, 0])

    def likeness(self, picture: Image, text: str) -> float:
        """CLIP's cosine of a picture and a text."""
        seen = self.clip.encode_image(self.preprocess(picture)[None], normalize=True)
        read = self.clip.encode_text(self.clip_tokenizer([text]), normalize=True)
        return float((seen @ read.T)[0, 0])

    def text_after(self, before: list[int], ids: list[int]) -> str:
        """The text that tokens add: decoded alone, they might lose the space in front."""
        return self.decode(before + ids)[len(self.decode(before)) :]

    def decode(self, ids: list[int]) -> str:
        return str(self.processor.tokenizer.decode(ids, skip_special_tokens=True))


def draw(logits: NDArray[np.float32], uniform: float, request: Request) -> int:
    """Lay the likeliest tokens side by side, each as wide as it is probable: which is hit?"""
    likeliest = np.argsort(-logits, kind="stable")[: request.top_k]
    widths = np.exp(logits[likeliest].astype(np.float64) / request.temperature)
    right_edges = np.cumsum(widths / widths.sum())
    hit = int(np.searchsorted(right_edges, uniform, side="right"))
    return int(likeliest[min(hit, len(likeliest) - 1)])
