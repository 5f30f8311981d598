"""What must hold of the gate for every sequence of inputs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.gate import FINAL, Decision, Gate, Input, Response, Sign, State, Streak, advance, fired, share, sign_of
from harness.model.rollout import AccuracyTrigger, ErrorTrigger, Hold, LatencyTrigger, Rollout, RolloutStep

BACK = {State.ROLLING_BACK, State.HALTING, State.ROLLED_BACK, State.HALTED, State.UNPROVEN}


def rollouts() -> st.SearchStrategy[Rollout]:
    shares = st.lists(st.integers(1, 99), min_size=1, max_size=4, unique=True).map(sorted)
    return st.builds(
        lambda steps, last, holds: Rollout(
            service="api",
            baseline="1",
            canary="2",
            steps=(*(RolloutStep(share=s / 100, bake=1.0) for s in steps), *last),
            hold=Hold(times=holds),
        ),
        shares,
        st.sampled_from([(), (RolloutStep(share=1.0),), (RolloutStep(share=1.0, bake=1.0),)]),
        st.integers(0, 3),
    )


# A good course is likely, else almost no sequence comes far.
LIKELY = st.sampled_from([Input.READY, Input.SEEN, Input.SEEN, Input.PASS, Input.ENOUGH])
INPUTS = st.lists(LIKELY | st.sampled_from(Input), max_size=40)


def trace(inputs: list[Input], rollout: Rollout) -> list[tuple[Gate, Input, Gate, Decision]]:
    gate, steps = Gate(), []
    for seen in inputs:
        after, decision = advance(gate, seen, rollout)
        steps.append((gate, seen, after, decision))
        gate = after
    return steps


@given(INPUTS, rollouts())
def test_no_way_to_promotion_past_a_fail_a_trigger_or_harm(inputs, rollout):
    told = False
    for before, seen, after, _ in trace(inputs, rollout):
        told = told or (seen in (Input.FAIL, Input.TRIGGERED, Input.HARM, Input.STOPPED) and before.state not in FINAL)
        assert not (told and after.state is State.PROMOTED)


@given(INPUTS, rollouts())
def test_every_step_was_seen_and_passed_on_whole_evidence(inputs, rollout):
    """Promotion needs, for each judged step in turn, its share seen and then a PASS with no loss in between."""
    proven: set[int] = set()
    whole = False
    for before, seen, after, _ in trace(inputs, rollout):
        if before.state is State.SHIFTING and seen is Input.SEEN:
            whole = True
        elif seen in (Input.LOST, Input.DRIFTED) and before.state is State.BAKING:
            whole = False
        elif seen in (Input.PASS, Input.LAST_PASS, Input.ENOUGH, Input.LAST_ENOUGH) and before.state is State.BAKING:
            assert whole
            proven.add(before.step)
            whole = False
        if after.state in (State.PROMOTING, State.PROMOTED):
            assert proven == set(range(len(rollout.judged)))


@given(INPUTS, rollouts())
def test_rollback_and_halt_lead_to_share_0_and_stay_there(inputs, rollout):
    gone_back = False
    for _, _, after, decision in trace(inputs, rollout):
        gone_back = gone_back or decision in (Decision.ROLLBACK, Decision.HALT)
        if gone_back:
            assert after.state in BACK
            assert share(after, rollout) == 0.0
        assert (share(after, rollout) == 0.0) == (after.state in BACK | {State.WAITING})


@given(INPUTS, rollouts())
def test_the_share_rises_only_after_advance_or_promote(inputs, rollout):
    for before, _, after, decision in trace(inputs, rollout):
        if share(after, rollout) > share(before, rollout):
            assert decision in (Decision.ADVANCE, Decision.PROMOTE)
        if decision is Decision.HOLD:
            assert share(after, rollout) == share(before, rollout)


@given(INPUTS, rollouts())
def test_holds_are_bounded_and_final_states_stay(inputs, rollout):
    for before, _, after, decision in trace(inputs, rollout):
        assert after.holds <= rollout.hold.times
        if before.state in FINAL:
            assert (after, decision) == (before, Decision.HOLD)


def test_every_state_is_reached():
    rollout = Rollout(service="api", baseline="1", canary="2", steps=(RolloutStep(share=0.5, bake=1.0),))
    seen, todo = {Gate()}, [Gate()]
    while todo:
        gate = todo.pop()
        for one in Input:
            after, _ = advance(gate, one, rollout)
            if after not in seen:
                seen.add(after)
                todo.append(after)
    assert {gate.state for gate in seen} == set(State)


# ---- triggers

TRIGGERS = st.sampled_from(
    [
        ErrorTrigger(kind="errors", above=0.05, window=1.0, consecutive=2),
        LatencyTrigger(kind="latency", quantile=0.9, above=0.5, window=1.0, consecutive=2),
        AccuracyTrigger(kind="accuracy", below=0.8, window=1.0, consecutive=2),
    ]
)
RESPONSES = st.lists(
    st.builds(
        lambda failed, wrong, least, more: Response(
            0, "2", "chat", failed or wrong, None if failed else not wrong, least, least + more
        ),
        st.booleans(),
        st.booleans(),
        st.sampled_from([0.1, 0.6]),
        st.sampled_from([0.0, 0.5]),
    ),
    max_size=30,
)
NAMELESS = st.lists(st.just(Response(0, "", "chat", True, None, 0.1, 0.1)), max_size=4)


@given(TRIGGERS, RESPONSES, NAMELESS, st.data())
def test_attributing_a_nameless_failure_never_turns_a_sure_sign_over(trigger, window, nameless, data):
    """HIT and CLEAR hold however the failures that named no release are attributed, and however slow they were."""
    sign = sign_of(trigger, window, nameless)
    if sign is Sign.UNKNOWN or not nameless:
        return
    taken = data.draw(st.integers(0, len(nameless)))
    slow = data.draw(st.sampled_from([0.1, 5.0]))
    mine = [Response(0, "2", "chat", True, None, slow, slow)] * taken
    assert sign_of(trigger, [*window, *mine], []) is sign


@given(TRIGGERS, RESPONSES)
def test_a_late_start_never_turns_a_sure_sign_over(trigger, window):
    sign = sign_of(trigger, window, [])
    if sign is not Sign.UNKNOWN:
        for end in ("least_s", "most_s"):
            known = [Response(0, "2", "chat", r.failed, r.right, getattr(r, end), getattr(r, end)) for r in window]
            assert sign_of(trigger, known, []) is sign


@given(st.lists(st.sampled_from(Sign), max_size=12), st.data())
def test_no_reading_of_a_gap_fires_what_was_neither_fired_nor_open(signs, data):
    """Whatever the UNKNOWN windows were: what surely fired has fired, what was neither fired nor open has not."""
    trigger = ErrorTrigger(kind="errors", above=0.05, window=1.0, consecutive=data.draw(st.integers(1, 4)))
    really = [data.draw(st.sampled_from([Sign.HIT, Sign.CLEAR])) if one is Sign.UNKNOWN else one for one in signs]
    seen, truth = Streak(), Streak()
    for one, real in zip(signs, really, strict=True):
        seen, truth = seen.then(one), truth.then(real)
        assert seen.sure <= truth.sure <= seen.possible
        assert not fired(trigger, seen) or fired(trigger, truth)
