"""The gate with a comparison: harm takes the canary off at once, good enough promotes it early, doubt does neither."""

from __future__ import annotations

import dataclasses

import pyarrow as pa
import pytest
from pydantic import ValidationError

from harness.gate import State
from harness.judge.rollout import judge_rollout
from harness.judge.sequential.record import of_table
from harness.judge.sequential.watch import again
from harness.load.recorder import schema
from harness.model.events import Compared, Decided, Window
from harness.model.evidence import Evidence
from harness.model.judgement import Verdict
from harness.model.records import REQUEST_COLUMNS, Content, Outcome
from harness.model.rollout import (
    Comparison,
    ContentCriterion,
    ErrorCriterion,
    Hold,
    Rollout,
    RolloutStep,
    ShiftCriterion,
    SlowCriterion,
)
from harness.run.beside import record_of
from harness.run.live import Seen
from harness.testing.fake_actuator import START_NS, Behaviour, S, World
from tests.unit.test_gate_rollout import ROLLOUT, Trial

COMPARE = Comparison(
    criteria=(
        ErrorCriterion(kind="errors", plus=0.05),
        SlowCriterion(kind="slow", above=0.2, plus=0.1),
        ContentCriterion(kind="content", plus=0.1),
    ),
    alpha=0.01,
    beta=0.1,
)


def compared(**changes: object) -> Rollout:
    steps = (
        RolloutStep(share=0.1, bake=60.0, minimum=10.0),
        RolloutStep(share=0.5, bake=60.0, minimum=10.0),
        RolloutStep(share=1.0),
    )
    values: dict[str, object] = {"compare": COMPARE, "steps": steps, "triggers": (), "hold": Hold(times=1)}
    return ROLLOUT.model_copy(update=values | changes)


def requests(world: World) -> pa.Table:
    """The world's responses as the load would have recorded them."""
    rows = [
        {
            "arrival": number,
            "journey": one.journey,
            "intended_ns": one.finished_ns - round(one.most_s * S),
            "started_ns": one.finished_ns - round(one.least_s * S),
            "finished_ns": one.finished_ns,
            "outcome": Outcome.ANSWERED if one.release else Outcome.TIMEOUT,
            "status": 500 if one.right is None and one.failed else 200,
            "content": {None: Content.UNCHECKED, True: Content.RIGHT, False: Content.WRONG}[one.right],
            "level": one.level,
            "release": one.release,
            "region": "sjc",
            "instance": "api-0",
        }
        for number, one in enumerate(world.responses)
    ]
    return pa.Table.from_pylist(rows, schema=schema(REQUEST_COLUMNS))


def judged_again(trial: Trial, table: pa.Table | None = None) -> list[tuple[str, Verdict, str]]:
    evidence = Evidence(
        run_id="r",
        scenario=trial.context.spec,
        events=tuple(trial.events(object)),
        requests=requests(trial.world) if table is None else table,
        beacon=None,
        generator=None,
        ledger=None,
        readback=None,
        samples=None,
        primaries=None,
        metrics=(),
    )
    return [
        (one.reason, one.cap, "\n".join(one.detail))
        for one in judge_rollout(evidence, ()).findings
        if one.name == "canary beside baseline"
    ]


def world(canary: Behaviour, stable: Behaviour | None = None) -> World:
    one = World(releases={"1": stable or Behaviour(), "2": canary})
    one.tick(20)  # the undisturbed time before
    return one


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (Behaviour(fails_every=4), "errors: "),
        (Behaviour(latency_s=0.3), "slower than 200 ms: "),
        (Behaviour(wrong_every=4), "errors: "),  # wrong content is an error too, and errors are named first
    ],
)
def test_a_bad_canary_is_taken_off_in_the_middle_of_its_bake(tmp_path, bad, said):
    trial = Trial(tmp_path, world(bad), compared())
    assert trial.go() is State.ROLLED_BACK and trial.is_back()
    assert trial.judged == []
    (event,) = trial.events(Compared)
    assert event.word == "harm" and said in trial.reasons() and "to 1)" in trial.reasons()
    assert (event.until_ns - event.from_ns) / S < 40
    ((reason, cap, detail),) = judged_again(trial)
    assert cap is Verdict.PASS and "worked out again" in reason and "step 1: harm" in detail


def test_a_good_canary_is_promoted_before_its_bakes_are_over(tmp_path):
    trial = Trial(tmp_path, world(Behaviour()), compared())
    assert trial.go() is State.PROMOTED
    assert [event.word for event in trial.events(Compared)] == ["enough", "enough"]
    assert all(10 <= until - start < 60 for start, until in trial.judged)
    assert [event.seen for event in trial.events(Decided)].count("step passed early: shown good enough") == 2
    ((reason, cap, _),) = judged_again(trial)
    assert cap is Verdict.PASS and reason.startswith("enough, then enough")


def test_without_a_minimum_it_bakes_to_the_end(tmp_path):
    steps = tuple(one.model_copy(update={"minimum": None}) for one in compared().steps)
    trial = Trial(tmp_path, world(Behaviour()), compared(steps=steps))
    assert trial.go() is State.PROMOTED
    assert all(until - start >= 60 for start, until in trial.judged)


def test_a_claim_about_the_system_is_not_looked_at_before_its_time(tmp_path):
    trial = Trial(tmp_path, world(Behaviour()), compared())
    trial.context.spec = trial.context.spec.model_copy(update={"claim": "system"})
    assert trial.go() is State.PROMOTED
    assert all(until - start >= 60 for start, until in trial.judged)


def test_good_enough_beside_the_baseline_and_not_by_its_objectives_goes_on(tmp_path):
    trial = Trial(tmp_path, world(Behaviour()), compared())
    trial.verdicts = [Verdict.INCONCLUSIVE, Verdict.PASS, Verdict.FAIL, Verdict.PASS]
    assert trial.go() is State.PROMOTED
    early, whole, *_ = trial.judged
    assert early[0] == whole[0] and whole[1] - whole[0] >= 60 and "INCONCLUSIVE" not in trial.reasons()


def test_both_releases_failing_alike_is_no_harm(tmp_path):
    trial = Trial(tmp_path, world(Behaviour(fails_every=5), Behaviour(fails_every=5)), compared())
    assert trial.go() is State.PROMOTED
    assert {event.word for event in trial.events(Compared)} <= {"open", "enough"}


def test_failures_that_name_no_release_neither_promote_early_nor_take_off(tmp_path):
    trial = Trial(tmp_path, world(Behaviour(nameless_every=5)), compared())
    trial.go()
    assert {event.word for event in trial.events(Compared)} == {"open"}
    assert all(event.unknown for event in trial.events(Compared))


def test_what_is_required_and_not_shown_holds(tmp_path):
    compare = COMPARE.model_copy(update={"required": True, "criteria": (ErrorCriterion(kind="errors", plus=0.001),)})
    trial = Trial(tmp_path, world(Behaviour()), compared(compare=compare))
    assert trial.go() is State.HALTED
    assert "not shown good enough beside 1" in trial.reasons()


def test_a_shift_below_every_threshold_is_seen(tmp_path):
    criteria = (SlowCriterion(kind="slow", above=0.2, plus=0.1), ShiftCriterion(kind="shift", plus=0.1))
    for latency, state in ((0.02, State.PROMOTED), (0.025, State.ROLLED_BACK)):
        compare = COMPARE.model_copy(update={"criteria": criteria})
        trial = Trial(tmp_path / str(latency), world(Behaviour(latency_s=latency)), compared(compare=compare))
        assert trial.go() is state
    assert "slower than the baseline's P50, P90, P99" in trial.reasons()


def test_a_silence_starts_good_enough_anew(tmp_path):
    one = world(Behaviour())
    one.silent_from_ns, one.silent_until_ns = one.now_ns + 6 * S, one.now_ns + 16 * S
    trial = Trial(tmp_path, one, compared())
    assert trial.go() is State.PROMOTED
    first = trial.events(Compared)[0]
    assert first.bake_ns >= one.silent_until_ns > first.from_ns
    ((_, cap, _),) = judged_again(trial)
    assert cap is Verdict.PASS


def test_a_record_that_says_something_else_is_inconclusive(tmp_path):
    trial = Trial(tmp_path, world(Behaviour(fails_every=4)), compared())
    trial.go()
    table = requests(trial.world)
    mine = table.set_column(table.schema.get_field_index("status"), "status", pa.array([200] * len(table), pa.int16()))
    ((reason, cap, _),) = judged_again(trial, mine)
    assert cap is Verdict.INCONCLUSIVE and "the gate's word was harm" in reason


def test_an_early_look_that_was_no_pass_does_not_cap_the_run(tmp_path):
    trial = Trial(tmp_path, world(Behaviour()), compared())
    trial.go()
    stamp = START_NS + 30 * S
    for end in (stamp + 10 * S, stamp + 60 * S):
        trial.context.record(Window(kind="bake", experiment="10%", start_ns=stamp, end_ns=end))
    judged_again(trial)  # two words on one bake: the last is kept
    assert len(trial.events(Window)) == 2


def test_the_live_record_and_the_run_folder_read_alike():
    one = World(releases={"1": Behaviour(fails_every=3, wrong_every=5), "2": Behaviour(nameless_every=4)})
    one.share = 0.5
    one.tick(10)
    live, stored = record_of(one.live(0), ROLLOUT), of_table(requests(one), "1", "2").between(0, one.now_ns)
    for field in dataclasses.fields(live):
        assert getattr(live, field.name).tolist() == pytest.approx(getattr(stored, field.name).tolist())


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"compare": None}, "nothing is compared"),
        ({"compare": {"criteria": ()}}, "at least 1 item"),
        ({"compare": {"criteria": ({"kind": "errors", "ratio": 0},)}}, "not one bad event"),
    ],
)
def test_a_comparison_that_cannot_work_is_refused(change, cause):
    with pytest.raises(ValidationError, match=cause):
        Rollout.model_validate(compared().model_dump(mode="json") | change)


def test_a_record_that_lags_is_worked_out_again_to_the_same_counts(tmp_path):
    """The live record ends a second before now; what came in between is no history of the baseline."""
    one = world(Behaviour(fails_every=4))
    whole = one.live

    def lagging(from_ns: int) -> Seen:
        seen = whole(from_ns)
        until = seen.until_ns - S
        return Seen(tuple(r for r in seen.responses if r.finished_ns < until), until, until)

    one.live = lagging  # type: ignore[method-assign]
    trial = Trial(tmp_path, one, compared())
    assert trial.go() is State.ROLLED_BACK
    (event,) = trial.events(Compared)
    assert again(event, of_table(requests(one), "1", "2"), trial.context.spec.rollout).criteria == event.criteria
