"""Duplicates: what counts as one, and that the planted examples are what they claim to be."""

from __future__ import annotations

from sophia import corpus, dedup
from sophia.embedding import TIERS, embed, similarity


def test_case_blanks_and_punctuation_make_no_difference() -> None:
    assert dedup.fingerprint("Ask the  swarm, please!") == dedup.fingerprint("ask the swarm please")
    assert dedup.fingerprint("ask the swarm please") != dedup.fingerprint("ask the swarm politely")


def test_planted_duplicates_are_found_and_distinct_texts_are_not() -> None:
    for number in range(50):
        planted = dedup.example(str(number))
        assert dedup.fingerprint(planted.exact) == dedup.fingerprint(planted.original)
        assert dedup.fingerprint(planted.near) != dedup.fingerprint(planted.original)
        original = embed(planted.original)
        assert dedup.judge(None, ("o", similarity(original, embed(planted.near)))) is not None
        assert dedup.judge(None, ("o", similarity(original, embed(planted.distinct)))) is None


def test_an_exact_duplicate_comes_before_a_near_one() -> None:
    found = dedup.judge("same", ("other", 0.99))
    assert found is not None
    assert (found.kind, found.of) == ("exact", "same")


def test_below_the_threshold_is_no_duplicate() -> None:
    assert dedup.judge(None, ("other", dedup.NEAR - 1e-9)) is None
    assert dedup.judge(None, ("other", dedup.NEAR)) is not None


def test_embeddings_are_unit_vectors_of_their_tier_and_the_same_every_time() -> None:
    for tier, dimension in TIERS.items():
        vector = embed("a text", tier)
        assert len(vector) == dimension
        assert abs(similarity(vector, vector) - 1) < 1e-9
        assert vector == embed("a text", tier)


def test_a_documents_nearest_three_are_exactly_its_cluster() -> None:
    vectors = corpus.vectors()
    for name in list(vectors)[::7]:
        ranked = sorted(vectors, key=lambda other: -similarity(vectors[name], vectors[other]))
        assert set(ranked[: corpus.CLUSTER]) == corpus.neighbours(name)
        margin = similarity(vectors[name], vectors[ranked[2]]) - similarity(vectors[name], vectors[ranked[3]])
        assert margin > 0.2, "compression and approximation must not be able to change the answer"
