"""The consensus swarm's vote, pure: answers in, verdict out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Consensus:
    """What the swarm says: `agreed` when more than half of the models that were asked gave this answer."""

    answer: str | None
    agreed: bool
    votes: dict[str, int]

    @property
    def result(self) -> str:
        """As counted by `sophia_consensus_total`: split is an answer without a majority, failed is none."""
        return "agreed" if self.agreed else "split" if self.answer is not None else "failed"


def normal(answer: str) -> str:
    """Answers that differ only in case, blanks or a final full stop are the same vote."""
    return " ".join(answer.split()).rstrip(".").casefold()


def vote(answers: Mapping[str, str | None], weights: Mapping[str, float] | None = None) -> Consensus:
    """The verdict of `answers`, model → answer (None: the model did not answer).

    A model that did not answer still counts in the electorate: two of four is no majority. `weights` (default 1 each)
    let a swarm be rebalanced towards models that proved right; a tie goes to the heavier, then the alphabetically
    first answer, so that the same answers always give the same verdict.
    """
    weight = {model: (weights or {}).get(model, 1.0) for model in answers}
    tally: Counter[str] = Counter()
    shares: dict[str, float] = {}
    wording: dict[str, str] = {}
    for model in sorted(answers):
        given = answers[model]
        if given is None:
            continue
        key = normal(given)
        tally[key] += 1
        shares[key] = shares.get(key, 0.0) + weight[model]
        wording.setdefault(key, given)
    if not shares:
        return Consensus(None, False, {})
    winner = min(shares, key=lambda key: (-shares[key], key))
    agreed = shares[winner] > sum(weight.values()) / 2
    return Consensus(wording[winner], agreed, {wording[key]: count for key, count in tally.items()})
