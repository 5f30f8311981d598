"""Data loss: scripted ledgers with known answers, all classes."""

from __future__ import annotations

import pytest

from harness.judge import judge
from harness.model import events as e
from harness.model.judgement import DataLoss, Verdict
from harness.model.slo import DataLossMeasure
from harness.testing.evidence import EXPERIMENT, deletes, evidence, happened, ns, read_back, slo, writes

NOTHING_LOST = slo(DataLossMeasure(regions=("sjc", "lax")), 1.0, op="lte", value=0.0, window="run")
NOTHING_LOST_BY_FAULT = slo(
    DataLossMeasure(regions=("sjc", "lax")), 1.0, op="lte", value=0.0, window="fault", experiment="kill-weaviate"
)
RPO = slo(
    DataLossMeasure(regions=("sjc", "lax"), measure="seconds", states=("lost",)), 0.95, op="lte", value=10.0,
    window="fault",
    experiment="kill-weaviate",
)  # fmt: skip
LEDGER = writes([6.0, 20.0, 30.0, 36.0, 70.0])  # m0 … m4


def rows(states: dict[str, str], *, after: str = "end", upto: int = 5):
    return read_back(LEDGER[:upto], after, 80.0 if after == "end" else 66.0, states=states)


def by_region(states: dict[str, str]) -> DataLoss:
    return judge(evidence(ledger=LEDGER, readback=rows(states)), [NOTHING_LOST]).data_loss[0]


def test_all_present():
    judgement = judge(evidence(ledger=LEDGER, readback=rows({})), [NOTHING_LOST])
    assert judgement.objectives[0].verdict is Verdict.PASS
    assert judgement.objectives[0].events == 10  # five writes in two regions
    assert {(loss.region, loss.acknowledged, loss.present) for loss in judgement.data_loss} == {
        ("sjc", 5, 5),
        ("lax", 5, 5),
    }


@pytest.mark.parametrize("state", ["lost", "stale", "duplicated", "diverged"])
def test_one_bad_write_of_each_class_fails(state):
    judgement = judge(evidence(ledger=LEDGER, readback=rows({"m1": state})), [NOTHING_LOST])
    assert judgement.objectives[0].verdict is Verdict.FAIL
    assert getattr(by_region({"m1": state}), state) == 1
    assert f"2 {state}" in judgement.objectives[0].notes


def test_indeterminate_is_inconclusive():
    judgement = judge(evidence(ledger=LEDGER, readback=rows({"m1": "indeterminate"})), [NOTHING_LOST])
    assert judgement.objectives[0].verdict is Verdict.INCONCLUSIVE
    assert by_region({"m1": "indeterminate"}).indeterminate == 1


def test_a_write_nobody_asked_for_is_indeterminate():
    asked = [row for row in rows({}) if not (row["key"] == "m2" and row["region"] == "lax")]
    judgement = judge(evidence(ledger=LEDGER, readback=asked), [NOTHING_LOST])
    assert judgement.objectives[0].verdict is Verdict.INCONCLUSIVE
    assert judgement.objectives[0].unknown == 1


def test_other_content_than_was_acknowledged_is_not_present():
    back = rows({})
    for row in back:
        if row["key"] == "m0":
            row["text_sha256"] = "something else"
    assert judge(evidence(ledger=LEDGER, readback=back), [NOTHING_LOST]).data_loss[0].stale == 1


def test_regions_that_disagree_are_diverged():
    back = rows({})
    for row in back:
        if row["key"] == "m0" and row["region"] == "lax":
            row["text_sha256"], row["state"] = "something else", "stale"
    losses = judge(evidence(ledger=LEDGER, readback=back), [NOTHING_LOST]).data_loss
    assert [loss.diverged for loss in losses] == [1, 1]


def test_what_was_never_acknowledged_is_not_lost():
    ledger = [*LEDGER, *[{**row, "key": f"n{row['key']}"} for row in writes([40.0, 41.0], acknowledged=False)]]
    judgement = judge(evidence(ledger=ledger, readback=rows({})), [NOTHING_LOST])
    assert judgement.objectives[0].verdict is Verdict.PASS
    assert judgement.data_loss[0].acknowledged == 5


def test_a_write_after_the_read_back_is_not_its_concern():
    early = rows({}, after=EXPERIMENT, upto=4)  # m4 came after the fault's window
    judgement = judge(evidence(ledger=LEDGER, readback=early), [NOTHING_LOST_BY_FAULT])
    assert judgement.objectives[0].verdict is Verdict.PASS
    assert judgement.data_loss[0].acknowledged == 4


def test_a_write_inside_the_window_that_was_not_asked_for_is():
    early = rows({}, after=EXPERIMENT, upto=3)
    assert judge(evidence(ledger=LEDGER, readback=early), [NOTHING_LOST_BY_FAULT]).objectives[0].unknown == 2


def test_a_read_back_that_was_not_made_proves_nothing():
    only_end, only_fault = rows({}), rows({}, after=EXPERIMENT, upto=4)
    for asked, back, after in (
        (NOTHING_LOST, only_fault, "at the end"),
        (NOTHING_LOST_BY_FAULT, only_end, f"after {EXPERIMENT}"),
    ):
        result = judge(evidence(ledger=LEDGER, readback=back), [asked]).objectives[0]
        assert result.verdict is Verdict.INCONCLUSIVE
        assert f"was read back {after}" in result.reason
    both = judge(evidence(ledger=LEDGER, readback=[*only_end, *only_fault]), [NOTHING_LOST, NOTHING_LOST_BY_FAULT])
    assert {result.verdict for result in both.objectives} == {Verdict.PASS}
    lost = rows({"m1": "lost"}, after=EXPERIMENT, upto=4)
    assert judge(evidence(ledger=LEDGER, readback=lost), [NOTHING_LOST]).objectives[0].verdict is Verdict.FAIL


def test_of_two_writes_to_one_key_the_last_counts():
    ledger = [*LEDGER, {**LEDGER[0], "text_sha256": "newer", "sent_ns": ns(49.9), "acknowledged_ns": ns(50.0)}]
    assert judge(evidence(ledger=ledger, readback=rows({})), [NOTHING_LOST]).data_loss[0].stale == 1


@pytest.mark.parametrize("absent", ["ledger", "readback"])
def test_no_table_is_inconclusive(absent):
    judgement = judge(evidence(absent=(absent,)), [NOTHING_LOST, RPO])
    assert {result.verdict for result in judgement.objectives} == {Verdict.INCONCLUSIVE}


def test_an_empty_ledger_or_read_back_is_inconclusive():
    for parts in ({"ledger": []}, {"readback": []}):
        assert judge(evidence(**parts), [NOTHING_LOST]).objectives[0].verdict is Verdict.INCONCLUSIVE


def test_a_region_that_was_not_read_back_is_inconclusive():
    only_sjc = [row for row in rows({}) if row["region"] == "sjc"]
    judgement = judge(evidence(ledger=LEDGER, readback=only_sjc), [NOTHING_LOST])
    assert judgement.objectives[0].verdict is Verdict.INCONCLUSIVE
    assert judgement.objectives[0].unknown == 5
    assert {loss.region: loss.indeterminate for loss in judgement.data_loss} == {"sjc": 0, "lax": 5}


def test_a_region_must_be_read_back_each_time():
    early = [row for row in rows({}, after=EXPERIMENT, upto=4) if row["region"] == "sjc"]
    judged = judge(evidence(ledger=LEDGER, readback=[*early, *rows({})]), [NOTHING_LOST, RPO])
    assert [result.verdict for result in judged.objectives] == [Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE]
    assert judged.objectives[0].unknown == 4


def test_a_region_that_no_objective_asks_for_is_not_needed():
    sjc = slo(DataLossMeasure(regions=("sjc",)), 1.0, op="lte", value=0.0, window="run")
    only_sjc = [row for row in rows({}) if row["region"] == "sjc"]
    assert judge(evidence(ledger=LEDGER, readback=only_sjc), [sjc]).objectives[0].verdict is Verdict.PASS


def seconds(states: dict[str, str]):
    return judge(evidence(ledger=LEDGER, readback=rows(states, after=EXPERIMENT, upto=4)), [RPO]).objectives[0]


def test_data_loss_in_seconds_reaches_back_to_the_oldest_lost_write():
    result = seconds({"m2": "lost", "m3": "lost"})  # acknowledged 6.99 s and 0.99 s before the injection
    assert result.verdict is Verdict.PASS
    assert result.interval.low == pytest.approx(6.99)
    assert result.interval.high == pytest.approx(7.00)
    assert seconds({"m1": "lost"}).verdict is Verdict.FAIL
    assert seconds({}).interval.high == 0.0


def test_an_indeterminate_write_widens_the_seconds():
    result = seconds({"m1": "indeterminate"})
    assert result.verdict is Verdict.INCONCLUSIVE
    assert (result.interval.low, result.interval.high) == (0.0, pytest.approx(17.0))


def test_what_an_rpo_allows_is_excused_and_no_more():
    excusing = slo(
        DataLossMeasure(regions=("sjc", "lax"), excused_before={"kill-weaviate": 10.0}),
        1.0,
        op="lte",
        value=0.0,
        window="run",
    )

    def verdict(states):
        return judge(evidence(ledger=LEDGER, readback=rows(states)), [excusing]).objectives[0].verdict

    assert verdict({"m3": "lost"}) is Verdict.PASS
    assert verdict({"m1": "lost"}) is Verdict.FAIL  # acknowledged 17 s before
    assert verdict({"m4": "lost"}) is Verdict.FAIL  # acknowledged after the fault
    assert verdict({"m3": "diverged"}) is Verdict.FAIL


def test_a_later_fault_does_not_excuse_what_was_lost_before_it():
    """m3 is lost after kill-weaviate#1; the failover at 70 s allows the loss of what it can have cost, not that."""
    allowing = DataLossMeasure(regions=("sjc", "lax"), excused_before={"region-failover": 300.0})
    excusing = slo(allowing, 1.0, op="lte", value=0.0, window="run")
    second = {"experiment": "region-failover#1", "fault": "loss"}
    failover = (
        e.FaultIntended(**second, kind="region-loss", selection=(), token="t", mono_ns=ns(71)),
        e.FaultInjected(**second, from_ns=ns(71), to_ns=ns(71.01), mono_ns=ns(71.02)),
        e.FaultLanded(**second, landed=True, observer="process table", mono_ns=ns(71.1)),
    )

    def verdict(early: dict[str, str], middle: dict[str, str], end: dict[str, str]) -> Verdict:
        back = [
            *rows(early, after=EXPERIMENT, upto=4),
            *read_back(LEDGER, "region-failover#1", 76.0, states=middle),
            *rows(end),
        ]
        run = evidence(ledger=LEDGER, readback=back, events=happened(*failover))
        return judge(run, [excusing]).objectives[0].verdict

    lost = {"m3": "lost"}
    assert verdict({}, lost, lost) is Verdict.PASS
    assert verdict({}, {}, lost) is Verdict.PASS
    assert verdict(lost, {}, {}) is Verdict.FAIL
    assert verdict(lost, lost, lost) is Verdict.FAIL


# ---- deletes and what is open ---------------------------------------------------------------------------------------

GONE_M1 = deletes({"m1": 50.0})


def losses(ledger, states, **more):
    judgement = judge(evidence(ledger=ledger, readback=rows(states), **more), [NOTHING_LOST])
    return judgement.data_loss[0], judgement.objectives[0]


def test_what_was_deleted_and_is_gone_is_as_acknowledged():
    loss, result = losses([*LEDGER, *GONE_M1], {"m1": "deleted"})
    assert (loss.acknowledged, loss.present, loss.deleted, loss.lost) == (5, 4, 1, 0)
    assert result.verdict is Verdict.PASS


def test_an_acknowledged_delete_that_is_there_again_is_resurrected():
    for told in ("present", "resurrected", "stale"):  # whatever the read-back thought of it
        loss, result = losses([*LEDGER, *GONE_M1], {"m1": told})
        assert (loss.resurrected, loss.stale, loss.present) == (1, 0, 4)
        assert result.verdict is Verdict.FAIL
        assert "2 resurrected" in result.reason


def test_a_write_after_the_delete_is_there_by_right():
    again = {**LEDGER[1], "sent_ns": ns(60.0), "acknowledged_ns": ns(60.01)}
    loss, result = losses([*LEDGER, *GONE_M1, again], {})
    assert (loss.present, loss.resurrected, result.verdict) == (5, 0, Verdict.PASS)
    loss, result = losses([*LEDGER, *GONE_M1, again], {"m1": "lost"})
    assert (loss.lost, loss.deleted, result.verdict) == (1, 0, Verdict.FAIL)


def test_a_delete_without_acknowledgement_may_have_happened_or_not():
    asked = [*LEDGER, *deletes({"m1": 50.0}, acknowledged=False)]
    assert losses(asked, {"m1": "lost"})[0].deleted == 1
    assert losses(asked, {})[0].present == 5


def test_an_overwrite_without_acknowledgement_may_have_happened_or_not():
    newer = {**LEDGER[0], "text_sha256": "newer", "sent_ns": ns(50.0), "acknowledged_ns": -1}
    back = rows({})
    for row in back:
        if row["key"] == "m0":
            row["text_sha256"], row["state"] = "newer", "stale"
    for ledger, stale in (([*LEDGER, newer], 0), (LEDGER, 1)):
        assert judge(evidence(ledger=ledger, readback=back), [NOTHING_LOST]).data_loss[0].stale == stale


def test_of_two_writes_at_the_same_time_either_may_be_the_last():
    other = {**LEDGER[0], "text_sha256": "newer", "acknowledged_ns": ns(6.5)}  # sent with the first
    assert losses([*LEDGER, other], {})[0].stale == 0


def test_regions_that_disagree_about_an_open_delete_are_diverged():
    back = rows({"m1": "deleted"})
    for row in back:
        if row["key"] == "m1" and row["region"] == "lax":
            row["state"], row["text_sha256"] = "present", LEDGER[1]["text_sha256"]
    asked = [*LEDGER, *deletes({"m1": 50.0}, acknowledged=False)]
    judgement = judge(evidence(ledger=asked, readback=back), [NOTHING_LOST])
    assert [loss.diverged for loss in judgement.data_loss] == [1, 1]


@pytest.mark.parametrize(
    ("deleted_at", "acknowledged", "diverged"), [(79.98, True, 1), (80.2, True, 0), (70.0, False, 1)]
)
def test_regions_read_one_after_the_other_agree_when_users_changed_it_meanwhile(deleted_at, acknowledged, diverged):
    """Load goes on during a read-back: sjc was read at 80.0 s with the text, lax at 80.5 s without."""
    back = rows({"m1": "present"})
    for row in back:
        if row["key"] == "m1" and row["region"] == "lax":
            row["state"], row["text_sha256"], row["read_ns"] = "deleted", "", ns(80.5)
    asked = [*LEDGER, *deletes({"m1": deleted_at}, acknowledged=acknowledged)]
    judgement = judge(evidence(ledger=asked, readback=back), [NOTHING_LOST])
    told = [loss.diverged + loss.resurrected + loss.lost for loss in judgement.data_loss]
    assert (max(told) > 0) == bool(diverged)


def test_a_delete_that_nobody_asked_about_is_indeterminate():
    back = [row for row in rows({}) if row["key"] != "m1"]
    judgement = judge(evidence(ledger=[*LEDGER, *GONE_M1], readback=back), [NOTHING_LOST])
    assert judgement.data_loss[0].indeterminate == 1
    assert judgement.objectives[0].verdict is Verdict.INCONCLUSIVE


def test_a_delete_that_an_rpo_allows_to_be_lost_is_excused():
    allowing = DataLossMeasure(regions=("sjc", "lax"), excused_before={"kill-weaviate": 10.0})
    excusing = slo(allowing, 1.0, op="lte", value=0.0, window="run")

    def verdict(at_s: float) -> Verdict:
        run = evidence(ledger=[*LEDGER, *deletes({"m0": at_s})], readback=rows({}))
        return judge(run, [excusing]).objectives[0].verdict

    assert verdict(34.0) is Verdict.PASS  # 3 s before the fault
    assert verdict(20.0) is Verdict.FAIL
    assert verdict(40.0) is Verdict.FAIL  # after the fault


def test_what_was_not_kept_is_told_in_seconds_before_the_fault_too():
    back = rows({"m2": "lost"}, after=EXPERIMENT, upto=4)
    told = judge(evidence(ledger=LEDGER, readback=[*back, *rows({})]), [NOTHING_LOST]).data_loss
    by_name = {(loss.after, loss.region): loss.before_fault_s for loss in told}
    reach = by_name[EXPERIMENT, "sjc"]
    assert reach is not None
    assert (reach.low, reach.high) == (pytest.approx(6.99), pytest.approx(7.0))
    assert by_name["end", "sjc"] is None
