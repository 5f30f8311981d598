"""The swarm's vote, the standing of its models, and the levels that follow from what is lost."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sophia import degradation, swarm
from sophia.degradation import Dependencies


def test_a_majority_agrees() -> None:
    consensus = swarm.vote({"a": "42", "b": "42", "c": "41"})
    assert (consensus.answer, consensus.agreed, consensus.result) == ("42", True, "agreed")
    assert consensus.votes == {"42": 2, "41": 1}


def test_wording_does_not_split_the_vote() -> None:
    assert swarm.vote({"a": "Paris", "b": " paris. ", "c": "Lyon"}).agreed


def test_who_does_not_answer_still_counts_in_the_electorate() -> None:
    consensus = swarm.vote({"a": "42", "b": None, "c": None})
    assert (consensus.answer, consensus.agreed, consensus.result) == ("42", False, "split")


def test_half_is_no_majority() -> None:
    assert not swarm.vote({"a": "1", "b": "1", "c": "2", "d": "2"}).agreed


def test_nobody_answers() -> None:
    assert swarm.vote({"a": None, "b": None}).result == "failed"


@given(st.lists(st.sampled_from(["1", "2", "3", None]), min_size=1, max_size=5))
def test_the_order_of_the_answers_changes_nothing(answers: list[str | None]) -> None:
    named = [(f"m{index}", given) for index, given in enumerate(answers)]
    verdicts = {(found.answer, found.agreed) for order in permutations(named) for found in [swarm.vote(dict(order))]}
    assert len(verdicts) == 1


def test_a_model_that_is_mostly_wrong_loses_its_weight_and_regains_it() -> None:
    standings: dict[str, swarm.Standing] = {}
    for _ in range(10):
        given_ = {"good": "1", "fine": "1", "bad": "2"}
        standings = swarm.standings(standings, given_, swarm.vote(given_))
    assert standings["bad"].weight < 0.5
    assert standings["good"].weight == 1.0
    weights = {name: standing.weight for name, standing in standings.items()}
    assert swarm.vote({"good": "1", "bad": "2"}, weights).answer == "1"
    assert swarm.vote({"good": "1", "bad": "2"}).agreed is False
    for _ in range(30):
        given_ = {"good": "1", "fine": "1", "bad": "1"}
        standings = swarm.standings(standings, given_, swarm.vote(given_))
    assert standings["bad"].weight == 1.0


def test_a_split_vote_teaches_nothing() -> None:
    answers = {"a": "1", "b": "2"}
    assert swarm.standings({}, answers, swarm.vote(answers)) == {}


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        (Dependencies(), degradation.FULL),
        (Dependencies(swarm=False), degradation.CPU_SWARM),
        (Dependencies(vectors=False), degradation.CACHED_EMBEDDINGS),
        (Dependencies(swarm=False, vectors=False), degradation.CACHED_EMBEDDINGS),
        (Dependencies(database=False), degradation.EMERGENCY),
        (Dependencies(swarm=False, vectors=False, database=False), degradation.EMERGENCY),
    ],
)
def test_of_several_losses_the_worst_counts(lost: Dependencies, expected: int) -> None:
    assert degradation.level(lost) == expected
