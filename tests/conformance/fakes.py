"""Parts that keep every rule, to be broken one rule at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from PIL.Image import Image, Resampling

from eta_guard.protocols import (
    Candidate,
    Completion,
    Direction,
    Finding,
    FinishReason,
    Generation,
    Region,
    Sampling,
    Watch,
)
from eta_guard.request.conversation import Conversation


def share(*things: object) -> float:
    """A number in [0, 1) that is a function of what it is given."""
    digest = blake2b(repr(things).encode(), digest_size=4).digest()
    return int.from_bytes(digest) / 2**32


class Images:
    """Scores a picture by how red it is."""

    name, fingerprint = "honest", "honest@1"
    threshold: float | None = 0.5
    unsafe: Direction = "above"
    cost: float = 0.0

    def score(self, image: Image) -> float:
        pixel: Any = image.convert("RGB").resize((1, 1), Resampling.BOX).getpixel((0, 0))
        return float(pixel[0]) / 255

    def evaluate(
        self, images: Sequence[Image], prompt: str, question: str = ""
    ) -> Sequence[Finding]:
        scores = [self.score(image) for image in images]
        return [Finding(score, "red", (Region(0.0, 0.0, 1.0, 0.5, score),)) for score in scores]

    async def aevaluate(
        self, images: Sequence[Image], prompt: str, question: str = ""
    ) -> Sequence[Finding]:
        return self.evaluate(images, prompt, question)

    def categorize(self, image: Image, question: str = "") -> str | None:
        return "red"


class Session:
    """Scores a text by chance, but always the same."""

    def __init__(self, evaluator: Responses) -> None:
        self.evaluator = evaluator
        self.text = ""

    def score(self, continuations: Sequence[str]) -> list[float]:
        return [self.of(self.text + continuation) for continuation in continuations]

    async def ascore(self, continuations: Sequence[str]) -> list[float]:
        return self.score(continuations)

    def of(self, text: str) -> float:
        return 1.0 if "BAD" in text else share(text) / 2

    def accept(self, text: str) -> None:
        self.text += text

    def categorize(self, continuation: str) -> str | None:
        return None


class Responses:
    name, fingerprint = "honest", "honest@1"
    threshold: float | None = 0.75
    unsafe: Direction = "above"
    cost: float = 0.0
    session: type[Session] = Session
    text = ""

    def open(self, prompt: str, question: str = "", pictures: Sequence[Image] = ()) -> Session:
        return self.session(self)


WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight"]


@dataclass
class Talk:
    """A request to ``Engine``: words by chance, each of them a token, four in a sentence."""

    about: float
    generation: Generation
    text: str = field(default="", repr=False)
    spent: int = 0
    sentence: int = 0
    proposed: list[Candidate] = field(default_factory=list, repr=False)
    part_size: int = 1

    def drawn(self, count: int, *key: object) -> str:
        seed = (self.about, self.generation.seed, *key)
        return "".join(f" {WORDS[int(share(seed, i) * 8)]}" for i in range(count))

    def answer(self, watch: Watch | None = None) -> Completion:
        most = min(12, self.generation.max_tokens)
        whole = self.generation.cut(self.drawn(12, "plain").strip())
        text = " ".join(whole.split(" ")[:most]) if most < 12 else whole
        for end in range(1, len(text) + 1) if watch else ():
            shown = self.generation.settled(text[:end]) if end < len(text) else text
            if watch and watch(shown):
                return Completion(shown, "stop")
        return Completion(text, self.reason(most < 12))

    async def aanswer(self, watch: Watch | None = None) -> Completion:
        return self.answer(watch)

    def reason(self, over: bool) -> FinishReason:
        return "length" if over else "stop"

    def prefill(self, prefix: str, accepted: Sequence[Candidate] = ()) -> None:
        self.text = prefix + "".join(one.text for one in accepted)
        self.spent = len(self.text.split())
        self.sentence = len(accepted)

    def propose(self, n: int, sampling: Sampling) -> list[Candidate]:
        return self.propose_part(range(n), n, sampling)

    def propose_part(self, part: range, n: int, sampling: Sampling) -> list[Candidate]:
        count = min(4, self.generation.max_tokens - self.spent)
        over = self.spent + count >= self.generation.max_tokens
        found = [
            Candidate(self.drawn(count, self.sentence, i), (i,) * count, "length" if over else None)
            for i in part
        ]
        self.proposed = [*self.proposed, *found] if part.start else found
        return found

    async def apropose(self, n: int, sampling: Sampling) -> list[Candidate]:
        return self.propose(n, sampling)

    async def apropose_part(self, part: range, n: int, sampling: Sampling) -> list[Candidate]:
        return self.propose_part(part, n, sampling)

    def accept(self, index: int) -> None:
        self.text += self.proposed[index].text
        self.spent += len(self.proposed[index].token_ids)
        self.sentence += 1

    def finish(self) -> Completion:
        return Completion(self.text + self.drawn(4, self.text), "stop")

    async def afinish(self) -> Completion:
        return self.finish()


class Engine:
    fingerprint = "honest@1"
    talk: type[Talk] = Talk

    def open(self, conversation: Conversation, generation: Generation) -> Talk:
        seen = [
            part if isinstance(part, str) else part.pixels.tobytes()
            for turn in conversation.turns
            for part in turn.parts
        ]
        return self.talk(share(*seen), generation)
