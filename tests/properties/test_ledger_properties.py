"""What became of acknowledged operations, against a model that tries every order in which they may have happened."""

from __future__ import annotations

from itertools import chain, combinations, permutations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.judge import judge
from harness.judge.ledger import Operation, expectation
from harness.judge.loss import Fates
from harness.model.judgement import Verdict
from harness.model.records import LEDGER_COLUMNS, READBACK_COLUMNS
from harness.model.slo import DataLossMeasure
from harness.testing.evidence import Row, evidence, ns, slo, table

REGIONS = ("sjc", "lax")
READ_NS = 1000
TEXTS = ("a", "b", None)  # None: deleted, or not there
NOTHING_LOST = slo(DataLossMeasure(regions=REGIONS), 1.0, op="lte", value=0.0, window="run")
times = st.integers(0, 100)
operations = st.builds(
    lambda text, sent, length: Operation(text, sent, -1 if length is None else sent + length),
    st.sampled_from(TEXTS),
    times,
    st.none() | st.integers(1, 60),
)
histories = st.lists(operations, max_size=5)


def possible(history: list[Operation]) -> set[str | None]:
    """The last states of a key, by every order that agrees with who was acknowledged before whom was sent."""
    settled = [one for one in history if one.acknowledged_ns >= 0]
    open_ = [one for one in history if one.acknowledged_ns < 0]
    found = set()
    for some in chain.from_iterable(combinations(open_, n) for n in range(len(open_) + 1)):
        for order in permutations([*settled, *some]):
            if all(
                not 0 <= later.acknowledged_ns < earlier.sent_ns
                for place, earlier in enumerate(order)
                for later in order[place + 1 :]
            ):
                found.add(order[-1].text_sha256)
    return found


def right(history: list[Operation], held: str | None, copies: int) -> str:
    """The class by the model."""
    fine = held in possible(history)
    if held is None:
        return "deleted" if fine else "lost"
    if fine:
        return "present" if copies == 1 else "duplicated"
    settled = [one for one in history if one.acknowledged_ns >= 0]
    only_deletes = possible(settled) == {None}
    return "resurrected" if only_deletes else "stale" if copies == 1 else "duplicated"


@given(histories, st.sampled_from((*TEXTS, "other")), st.sampled_from((1, 1, 1, 2)))
@settings(deadline=None, max_examples=400)
def test_every_class_is_that_of_the_model(history, held, copies):
    expected = expectation("k", history, READ_NS)
    if expected is None:
        assert all(one.acknowledged_ns < 0 for one in history)
        return
    assert expected.state(held, copies, READ_NS) == right(history, held, copies)


@given(st.dictionaries(st.sampled_from("kmn"), histories, min_size=1), st.data())
@settings(deadline=None, max_examples=200)
def test_whole_ledgers_are_judged_like_the_model(ledgers, data):
    """Random histories, a random final state in each region; read back, perhaps without some answers, in any order."""
    held = {(key, region): data.draw(st.sampled_from((*TEXTS, "other"))) for key in ledgers for region in REGIONS}
    silent = data.draw(st.sets(st.sampled_from(sorted(held)), max_size=2))
    ledger, back = rows_of(ledgers), read(held, silent)
    fates = Fates(shuffled(ledger, LEDGER_COLUMNS, data), shuffled(back, READBACK_COLUMNS, data), {}, REGIONS)
    found = {(fate.key, fate.region): fate.state for fate in fates.all}
    wanted = {}
    for key, history in ledgers.items():
        if all(one.acknowledged_ns < 0 for one in history):
            continue
        states = {
            region: "indeterminate" if (key, region) in silent else right(history, held[key, region], 1)
            for region in REGIONS
        }
        agreeing = {held[key, region] for region, state in states.items() if state in ("present", "deleted", "stale")}
        for region, state in states.items():
            apart = len(agreeing) > 1 and state in ("present", "deleted", "stale")
            wanted[key, region] = "diverged" if apart else state
    assert found == wanted


def rows_of(ledgers: dict[str, list[Operation]]) -> list[Row]:
    return [
        {
            "key": key,
            "text_sha256": one.text_sha256 or "",
            "sent_ns": one.sent_ns,
            "acknowledged_ns": one.acknowledged_ns,
            "region": "sjc",
            "operation": "delete" if one.text_sha256 is None else "write",
        }
        for key, history in ledgers.items()
        for one in history
    ]


def moved(one: Operation, by: int) -> Operation:
    return Operation(one.text_sha256, one.sent_ns + by, -1 if one.acknowledged_ns < 0 else one.acknowledged_ns + by)


def read(held: dict[tuple[str, str], str | None], silent: set[tuple[str, str]], at_ns: int = READ_NS) -> list[Row]:
    """As a read-back that knew nothing of the ledger would write it."""
    return [
        {
            "key": key,
            "region": region,
            "read_ns": at_ns,
            "after": "end",
            "state": "indeterminate" if (key, region) in silent else "lost" if text is None else "present",
            "text_sha256": text or "",
        }
        for (key, region), text in held.items()
    ]


def shuffled(rows: list[Row], columns: dict[str, str], data) -> pa.Table:
    return table(columns, data.draw(st.permutations(rows)))


@given(histories.filter(lambda history: any(one.acknowledged_ns >= 0 for one in history)), st.data())
@settings(deadline=None, max_examples=100)
def test_an_answer_that_is_lost_never_makes_anything_pass(history, data):
    held = {("k", region): data.draw(st.sampled_from((*TEXTS, "other"))) for region in REGIONS}
    gone = data.draw(st.sets(st.sampled_from(sorted(held)), min_size=1))
    late = [moved(one, ns(10)) for one in history]

    def verdict(without: set[tuple[str, str]], silent: set[tuple[str, str]]) -> Verdict:
        back = [row for row in read(held, silent, ns(80)) if (row["key"], row["region"]) not in without]
        return judge(evidence(ledger=rows_of({"k": late}), readback=back), [NOTHING_LOST]).objectives[0].verdict

    before = verdict(set(), set())
    for after in (verdict(gone, set()), verdict(set(), gone)):
        assert after is not Verdict.PASS
        assert after is not Verdict.FAIL or before is Verdict.FAIL


@given(histories, st.sampled_from((*TEXTS, "other")), st.integers(0, 10**15))
def test_the_origin_of_time_does_not_matter(history, held, shift):
    here, there = (
        expectation("k", history, READ_NS),
        expectation("k", [moved(one, shift) for one in history], READ_NS + shift),
    )
    assert (here is None) == (there is None)
    if here is not None and there is not None:
        assert here.state(held, 1, READ_NS) == there.state(held, 1, READ_NS + shift)
