"""The consensus swarm's vote, pure: answers in, verdict out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace


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


@dataclass(frozen=True, slots=True)
class Standing:
    """How often a model was lately with the majority, and so its weight: rebalances the swarm within some votes."""

    share: float = 1.0
    memory: float = 0.9

    def after(self, with_majority: bool) -> Standing:
        """With one more vote."""
        return replace(self, share=self.memory * self.share + (1 - self.memory) * with_majority)

    @property
    def weight(self) -> float:
        """A model that is mostly wrong keeps a little weight, so that it can show that it is right again."""
        return 1.0 if self.share > 0.8 else max(0.1, self.share)


def standings(
    before: Mapping[str, Standing], answers: Mapping[str, str | None], consensus: Consensus
) -> dict[str, Standing]:
    """Everybody's standing after a vote; only a vote with a majority teaches anything."""
    after = dict(before)
    if consensus.agreed and consensus.answer is not None:
        for model, given in answers.items():
            if given is not None:
                after[model] = after.get(model, Standing()).after(normal(given) == normal(consensus.answer))
    return after
