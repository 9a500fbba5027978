"""One round of the search: score the candidates of a sentence and choose among them."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

from eta_guard import counts
from eta_guard.errors import DeadlineExceededError, log_failure
from eta_guard.panel.panel import Panel
from eta_guard.panel.readings import candidate_readings
from eta_guard.policy import GuardPolicy
from eta_guard.protocols import Candidate, ResponseSession, Sampling
from eta_guard.request.conversation import Picture
from eta_guard.session import GuardSession
from eta_guard.state import CandidateScore, SentenceRound
from eta_guard.steps import Steps, ask

logger = logging.getLogger(__name__)

_LIKENESS = "the likeness of candidates to the picture"


@dataclass
class SentenceSearch:
    """Best-of-N for one sentence (paper, equation 6).

    ``utility = S_post(accepted text + candidate) + alpha / i * cos(image, candidate)``, with i the
    number of the sentence.
    """

    panel: Panel
    policy: GuardPolicy
    picture: Picture | None
    """The image whose likeness counts; None on a text-only request."""
    reason: str | None = None
    """What failed in the last round."""

    def run(
        self, session: GuardSession, number: int
    ) -> Steps[tuple[SentenceRound, Candidate | None]]:
        """Draws, scores and keeps.

        Args:
            session: Stands after the sentences accepted so far.
            number: Number of this sentence, from 1.

        Returns:
            The record of the round, and the candidate that was kept: None where none could be
            scored.
        """
        policy, self.reason = self.policy, None
        sampling = Sampling(
            policy.search_top_k, policy.search_temperature, policy.max_sentence_tokens
        )
        engine = yield from session.engine()
        candidates = yield from ask(engine.propose, policy.candidates, sampling)
        session.proposed.append(tuple(candidate.text for candidate in candidates))
        scores = yield from self._scores(session, candidates, number)
        pick = choose(candidates, scores, first=number == 1)
        kept = None if pick is None else candidates[pick]
        if pick is not None and kept is not None:
            yield from session.accept(pick, kept)
        text = kept.text if kept else ""
        record = SentenceRound(
            sentence=number, candidates=scores, pick=pick, reason=self.reason, text=text
        )
        return record, kept

    def _scores(
        self, session: GuardSession, candidates: Sequence[Candidate], number: int
    ) -> Steps[tuple[CandidateScore, ...]]:
        rewards = yield from self._rewards(session, candidates)
        likeness = yield from self._likenesses(candidates, number)
        weight = self.policy.alpha / number
        return tuple(
            CandidateScore(
                reward=reward,
                similarity=similarity,
                utility=None if reward is None else reward + weight * (similarity or 0.0),
                ended=candidate.finish_reason is not None,
            )
            for candidate, reward, similarity in zip(candidates, rewards, likeness, strict=True)
        )

    def _rewards(
        self, session: GuardSession, candidates: Sequence[Candidate]
    ) -> Steps[list[float | None]]:
        try:
            rewards = yield from self._worst_rewards(session, [one.text for one in candidates])
            return self._finite(self._ranker, rewards, candidates)
        except DeadlineExceededError:
            raise
        except Exception as error:  # a candidate without a score is never kept
            self._failed(self._ranker, error)
            return [None] * len(candidates)

    def _worst_rewards(self, session: GuardSession, texts: Sequence[str]) -> Steps[list[float]]:
        """The lowest reward of each candidate's readings, NaN where one has none.

        They are read after the accepted text, and where the policy asks for it by themselves, too.
        """
        policy, ranker = self.policy, self.panel.ranker
        read = [
            (n, one) for n, text in enumerate(texts) for one in candidate_readings(text, policy)
        ]
        scores = yield from session.search_scores(ranker, policy.search_prompt)
        rewards = yield from self._rewards_of(scores, [text for _, text in read])
        if policy.sentences_alone:
            alone = [(n, text.strip()) for n, text in read if text.strip()]
            afresh = yield from session.scores_afresh(ranker, policy.search_prompt)
            rewards += yield from self._rewards_of(afresh, [text for _, text in alone])
            read += alone
        each: list[list[float]] = [[] for _ in texts]
        for (number, _), reward in zip(read, rewards, strict=True):
            each[number].append(reward)
        return [min(some) if some and all(map(math.isfinite, some)) else math.nan for some in each]

    def _rewards_of(self, scores: ResponseSession, texts: Sequence[str]) -> Steps[list[float]]:
        ranker = self.panel.ranker
        counts.add_evaluations(ranker.name, len(texts))
        found = yield from ask(scores.score, texts)
        if len(found) != len(texts):
            raise ValueError(f"{len(found)} scores for {len(texts)} texts")
        return list(found) if ranker.unsafe == "below" else [-score for score in found]

    def _likenesses(
        self, candidates: Sequence[Candidate], number: int
    ) -> Steps[list[float | None]]:
        """Cosine of image and candidate sentence, in the rounds that have that term.

        The published code leaves it out in the first sentence and in a round in which a candidate
        has ended the answer. Where CLIP fails, the reward decides alone: this term is about being
        helpful, not about being safe.
        """
        early = number < self.policy.clip_from_sentence
        ending = any(candidate.finish_reason for candidate in candidates)
        likeness = self.panel.likeness if self.policy.alpha else None
        if self.picture is None or likeness is None or early or ending:
            return [None] * len(candidates)
        texts = [candidate.text.strip() for candidate in candidates]
        try:
            row = yield from ask(likeness.likeness, self.picture.pixels, texts)
            return self._finite(_LIKENESS, row, candidates)
        except DeadlineExceededError:
            raise
        except Exception as error:
            self._failed(_LIKENESS, error)
            return [None] * len(candidates)

    def _finite(
        self, what: str, values: Sequence[float], candidates: Sequence[Candidate]
    ) -> list[float | None]:
        if len(values) != len(candidates):
            raise ValueError(f"{len(values)} scores for {len(candidates)} candidates")
        found = [value if math.isfinite(value) else None for value in values]
        if None in found:
            self.reason = f"{what} returned no number"
        return found

    @property
    def _ranker(self) -> str:
        return f"the response evaluator {self.panel.ranker.name}"

    def _failed(self, what: str, error: Exception) -> None:
        log_failure(logger, what[0].upper() + what[1:], error)
        self.reason = f"{what} failed with {type(error).__name__}"


def choose(
    candidates: Sequence[Candidate], scores: Sequence[CandidateScore], *, first: bool
) -> int | None:
    """Index of the highest utility, the first of equals; None where none could be scored.

    A candidate that ends at once proposes to stop here, and competes as the text so far. As a
    first sentence it would leave nothing but the prefix: there it counts only if all do that.
    """
    utilities = {i: score.utility for i, score in enumerate(scores) if score.utility is not None}
    if first:
        spoken = {i: u for i, u in utilities.items() if candidates[i].text.strip()}
        utilities = spoken or utilities
    return max(utilities, key=utilities.__getitem__, default=None)
